"""The contrast of views against a bank of noise: its level, its draws and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_cmc import unit
from tests.random_inputs import fresh_rng
from tfssl import losses, ops
from tfssl.methods import cmc
from tfssl.methods._multiview import view_pairs
from tfssl.methods._multiview_contrast import Draws, MultiviewContrast, Term

TERMS = [Term(0, 1, 1.0, "1-2"), Term(1, 0, 1.0, "2-1")]


def contrast_of(records, terms=TERMS, views=2, **options):
    plan = harness.make_plan(num_records=records)
    return MultiviewContrast(cmc.Config(**options), plan, views, terms)


def draws(rows, number=0):
    return Draws(ops.fold_key(number, tf.range(rows)), ops.fold_key(number))


def isotropic(rows, dim, views=2):
    return tf.constant(unit(fresh_rng().normal(size=[rows, views, dim])), tf.float32)


@pytest.mark.parametrize("dim, temperature, expected", [(128, 0.07, 2.21), (64, 0.1, 2.17)])
def test_partition_sums_of_a_fresh_bank(dim, temperature, expected):
    """Property 3: Z / N of uniform rows and isotropic anchors, from the first batch on.

    About exp(1 / (2 d tau^2)), for the scores are nearly normal.
    """
    sizes = dict(projection_dim=dim, temperature=temperature, num_negatives=8192)
    contrast = contrast_of(20_000, loss="nce", **sizes)
    anchors, indices = isotropic(24, dim), tf.range(24)
    contrast.loss(anchors, anchors, indices, draws(24))
    first = contrast.partition.value.numpy()
    np.testing.assert_allclose(first / 20_000, expected, atol=0.06)
    assert np.exp(1 / (2 * dim * temperature**2)) == pytest.approx(expected, abs=0.02)
    logs = contrast.loss(isotropic(2, dim), anchors[:2], tf.range(2), draws(2, 1))[1]
    np.testing.assert_array_equal(contrast.partition.value, first)
    assert float(logs["partition/1-2"]) == pytest.approx(first[0] / 20_000, rel=1e-6)


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_partition_sums_are_of_images_that_have_both_views(kind):
    """Section 1.11. A term that no image of the first batch has waits for one that does."""
    pairs, views = view_pairs(3, paradigm="full"), 3
    terms = [Term(i, j, 1.0, f"{i + 1}-{j + 1}") for i, j in pairs]
    records = unit(fresh_rng().normal(size=[40, views, 6]))
    contrast = contrast_of(
        40, terms, views, loss="nce", negatives=kind, projection_dim=6, num_negatives=5
    )
    contrast.bank.fill(tf.constant(records, tf.float32))
    expected = {}
    # Of the views 1 and 3 no image of the first batch has both.
    for number, present in enumerate(([[1, 1, 0], [1, 1, 0], [0, 1, 1]], [[1, 1, 1]] * 3)):
        anchors, mask = isotropic(3, 6, views), np.array(present, bool)
        drawn = draws(3, number)
        arguments = anchors, anchors, tf.range(3), drawn, tf.constant(mask)
        loss, logs = contrast.loss(*arguments)
        assert np.isfinite(float(loss)) and np.isfinite(list(logs.values())).all()
        keys = drawn.rows if kind == "own" else tf.tile(drawn.shared[tf.newaxis], [3])
        others = ops.keyed_integers(keys, 5, below=40).numpy()
        for i, j in pairs:
            both = mask[:, i] & mask[:, j]
            rows = np.concatenate([records[:3, np.newaxis, j], records[others, j]], axis=1)
            scores = np.einsum("bd,bnd->bn", anchors[:, i], rows) / 0.07
            if both.any():
                z = 40 * np.exp(scores[both]).mean()
                expected.setdefault(f"{i + 1}-{j + 1}", z)
                share = np.exp(scores[both, 0]).mean() / expected[f"{i + 1}-{j + 1}"]
                received = float(logs[f"probability/{i + 1}-{j + 1}"])
                assert received == pytest.approx(share, rel=1e-3)
        z = [expected.get(term.name, 0) for term in terms]
        np.testing.assert_allclose(contrast.partition.value, z, rtol=1e-3)
    assert len(expected) == len(terms) and number == 1


def test_a_partition_sum_near_the_largest_number():
    """Multiples of Z need not be float32 numbers."""
    contrast = contrast_of(
        50_000, loss="nce", projection_dim=4, num_negatives=512, temperature=1 / 76
    )
    rows = tf.constant(np.tile(unit(np.ones([1, 4])), [50_000, 2, 1]).reshape(-1, 2, 4), tf.float32)
    contrast.bank.fill(rows)
    loss, _ = contrast.loss(rows[:2], rows[:2], tf.range(2), draws(2))
    np.testing.assert_allclose(np.log(contrast.partition.value), 76 + np.log(50_000), rtol=1e-5)
    assert np.isfinite(float(loss))


@pytest.mark.parametrize("number, expected", [(4096, 9.12), (16384, 10.50)])
def test_the_loss_of_a_fresh_bank(number, expected):
    """Property 4: log(m + 1) + 1 / (2 d tau^2), where the own scores are all that is noise."""
    batch = 16
    contrast = contrast_of(20_000, num_negatives=number)
    anchors = isotropic(batch, 128)
    loss, logs = contrast.loss(anchors, anchors, tf.range(batch), draws(batch))
    level = np.log(number + 1) + 1 / (2 * 128 * 0.07**2)
    assert level == pytest.approx(expected, abs=0.01)
    for name in ("1-2", "2-1"):
        found = float(logs[f"loss/{name}"])
        assert found == pytest.approx(level, abs=5 * 1.3 / np.sqrt(batch))
        # Without the own scores, whose mean is 0, little is left of the noise.
        assert found + float(logs[f"positive/{name}"]) / 0.07 == pytest.approx(level, abs=0.05)
    assert float(loss) == pytest.approx(float(logs["loss/1-2"] + logs["loss/2-1"]), rel=1e-6)


@pytest.mark.parametrize("views", [2, 3, 4])
def test_numbers_of_terms(views):
    """Property 6: 2 (M - 1) and M (M - 1) directions, log(m + 1) each where logits are equal."""
    for paradigm, count in (("core", 2 * (views - 1)), ("full", views * (views - 1))):
        pairs = view_pairs(views, paradigm=paradigm)
        assert len(pairs) == count == len(set(pairs)) and all((j, i) in pairs for i, j in pairs)
        terms = [Term(i, j, 1.0, f"{i}-{j}") for i, j in pairs]
        contrast = contrast_of(20, terms, views, projection_dim=6, num_negatives=8)
        nothing = tf.zeros([3, views, 6])
        loss, logs = contrast.loss(nothing, nothing, tf.range(3), draws(3))
        assert float(loss) == pytest.approx(count * np.log(9), rel=1e-6)
        assert sum(name.startswith("loss/") for name in logs) == count


def test_two_views_are_a_full_graph_and_a_core():
    """Property 6: Eqs. 4, 7 and 8 have the same two directions for M = 2, whichever the core."""
    cores = [view_pairs(2, paradigm="core", core_view=core) for core in (0, 1)]
    assert cores == [view_pairs(2, paradigm="full")] * 2 == [[(0, 1), (1, 0)]] * 2


@pytest.mark.parametrize("loss", ["softmax", "nce", "in_batch"])
@pytest.mark.parametrize("paradigm", ["full", "core"])
def test_orders_of_views(paradigm, loss):
    """Property 6: L_F is the same in any order, L_C in any of the views beside the core."""
    memory = {} if loss == "in_batch" else {"num_negatives": 8}
    pairs = view_pairs(4, paradigm=paradigm)
    terms = [Term(i, j, 1.0, f"{i}-{j}") for i, j in pairs]
    options = dict(terms=terms, views=4, loss=loss, projection_dim=6, **memory)
    anchors, keys, rows = isotropic(5, 6, 4), isotropic(5, 6, 4), isotropic(20, 6, 4)

    def loss_of(order):
        contrast = contrast_of(20, **options)
        if contrast.bank is not None:
            contrast.bank.fill(tf.gather(rows, order, axis=1))
        views = [tf.gather(t, order, axis=1) for t in (anchors, keys)]
        return float(contrast.loss(*views, tf.range(5), draws(5))[0])

    expected = loss_of(range(4))
    for order in ([0, 3, 1, 2], [0, 2, 1, 3], [1, 0, 2, 3], [3, 2, 1, 0]):
        same = paradigm == "full" or order[0] == 0
        assert (loss_of(order) == pytest.approx(expected, rel=1e-5)) == same, order


def drawn_by(contrast, batches, rows, dim, monkeypatch):
    """The records that the losses of so many batches have drawn, `[batches, rows, m]`."""
    found = []

    def watched(loss, anchors, bank, indices, *arguments):
        del loss, bank, arguments
        found.append(indices.numpy())
        return tf.zeros(anchors.shape[:2]), tf.zeros([*anchors.shape[:2], indices.shape[1]])

    monkeypatch.setattr(ops, "bank_losses", watched)
    anchors = isotropic(rows, dim)
    for number in range(batches):
        contrast.loss(anchors, anchors, tf.range(rows), draws(rows, number))
    return np.stack(found)


def test_draws_are_uniform_with_replacement(monkeypatch):
    """Property 11: chi-square, m / N collisions an anchor, rows that differ between anchors.

    One draw serves both directions. Nothing takes the own record or a repeated one out.
    """
    records, number, rows, batches = 40, 200, 32, 25
    contrast = contrast_of(records, projection_dim=2, num_negatives=number)
    drawn = drawn_by(contrast, batches, rows, 2, monkeypatch)
    assert drawn.shape == (batches, rows, number)
    seen = np.bincount(drawn.ravel(), minlength=records)
    total = drawn.size / records
    assert len(seen) == records
    # Chi-square with 39 degrees of freedom: mean 39, standard deviation 8.8.
    assert np.sum((seen - total) ** 2 / total) < 39 + 6 * np.sqrt(2 * 39)
    collisions = (drawn == np.arange(rows)[:, np.newaxis]).sum(axis=2)
    share = number / records
    deviation = np.sqrt(share * (1 - 1 / records) / collisions.size)
    assert collisions.mean() == pytest.approx(share, abs=5 * deviation)
    # Of anchors and batches none has the draw of another.
    assert len(np.unique(drawn.reshape(-1, number), axis=0)) == batches * rows


def test_the_positive_is_the_own_row_of_the_other_view():
    """Property 11: column 0 is y. Rows that tell their record and view, no two alike."""
    rows = unit(fresh_rng().normal(size=[30, 2, 8]))
    contrast = contrast_of(30, projection_dim=8, num_negatives=4, bank_start="directions")
    contrast.bank.fill(tf.constant(rows, tf.float32))
    indices = fresh_rng().permutation(30)[:10]
    anchors = tf.constant(rows[indices][:, ::-1], tf.float32)
    _, logs = contrast.loss(anchors, anchors, tf.constant(indices), draws(10))
    # The key's own row as the anchor: a cosine of 1, which no other row has.
    assert [float(logs[f"positive/{t.name}"]) for t in TERMS] == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize("repeats", [2, 200, 20_000])
def test_noise_contrastive_gradient_of_a_whole_bank(repeats):
    """Property 9: every one of N = 7 rows is noise, m / N times; the gap falls as 1 / m.

    dL/ds_j = w_j (P_j - [j is the positive]), w_j = (m/N) / (P_j + m/N), with the Z of all rows.
    """
    rng, temperature, positive = fresh_rng(), 0.5, 3
    bank, anchor = rng.normal(size=[7, 4]), unit(rng.normal(size=[1, 4]))
    p = np.exp(bank @ anchor[0] / temperature)
    z, p = p.sum(), p / p.sum()
    indices = tf.tile(tf.range(7)[tf.newaxis], [1, repeats])

    options = {"temperature": temperature, "num_data": 7, "z": z}
    loss = losses.decomposed_nce(num_draws=7 * repeats, **options)
    tensor = tf.constant(anchor)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        own = tf.linalg.matvec(tensor, bank[positive])
        each, _ = ops.bank_losses(loss, tensor, tf.constant(bank), indices, own)
    received = tape.gradient(each, tensor).numpy()[0] * temperature
    softmax = p - np.eye(7)[positive]
    weights = repeats / (p + repeats)
    # Scores become float32: a coordinate near zero is a difference of larger ones.
    rounding = 1e-6 * np.abs(bank).max()
    np.testing.assert_allclose(received, (weights * softmax) @ bank, rtol=1e-5, atol=rounding)
    gap = np.abs((weights - 1) * softmax).max()
    assert gap * repeats == pytest.approx(np.abs(p * softmax).max(), rel=1 / repeats)
    difference = np.abs(received - softmax @ bank).max()
    assert difference <= 7 * np.abs(bank).max() * gap + rounding
