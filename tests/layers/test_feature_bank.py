"""FeatureBank: property 6 of the InterCLR sheet, section 9, its checkpoint and its replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import layers


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_starts_with_random_directions():
    one, same, other = (layers.FeatureBank(500, 16, seed=s).features.numpy() for s in (1, 1, 2))
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), np.ones(500), atol=1e-6)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.abs(one.mean(axis=0)).max() < 5 * 0.25 / np.sqrt(500)


@pytest.mark.parametrize("new_weight", [0.5, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["eager", "graph", "xla"])
def test_update_by_hand(new_weight, kind):
    rng = fresh_rng()
    bank = layers.FeatureBank(30, 4, new_weight=new_weight)
    update = bank.update
    if kind != "eager":
        update = tf.function(bank.update, jit_compile=kind == "xla", autograph=False)
    expected = bank.features.numpy().astype(float)
    for _ in range(10):
        indices, rows = rng.permutation(30)[:8], 9 * rng.normal(size=[8, 4]).astype(np.float32)
        old = expected[indices]
        change = update(tf.constant(indices), tf.constant(rows))
        expected[indices] = unit((1 - new_weight) * old + new_weight * unit(rows))
        np.testing.assert_allclose(change.old, old, atol=1e-5)
        np.testing.assert_allclose(change.new, expected[indices], atol=1e-5)
        np.testing.assert_allclose(bank.features, expected, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(bank.features, axis=1), np.ones(30), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_weight_one_stores_the_normalised_embedding_itself(scale):
    """Property 6: to the bit, not normalised a second time; other rows stay."""
    bank = layers.FeatureBank(600, 16, new_weight=1.0)
    rows = tf.constant(scale * fresh_rng().normal(size=[500, 16]), tf.float32)
    untouched = bank.features.numpy()[500:]
    bank.update(tf.range(500), rows)
    normalise = tf.function(
        lambda r: tf.math.l2_normalize(r, axis=1), jit_compile=True, autograph=False
    )
    np.testing.assert_array_equal(bank.features[:500], normalise(rows))
    np.testing.assert_array_equal(bank.features[500:], untouched)


@pytest.mark.parametrize("kind", ["graph", "xla"])
def test_an_embedding_opposite_to_its_row_replaces_it(kind):
    """Property 6: their mean has no direction, and every row keeps the length 1."""
    bank = layers.FeatureBank(3, 2, new_weight=0.5)
    bank.fill(tf.constant([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]))
    update = tf.function(bank.update, jit_compile=kind == "xla", autograph=False)
    update(tf.constant([0, 2]), -bank.rows(tf.constant([0, 2])))
    np.testing.assert_allclose(bank.features, [[-1, 0], [0, 1], [-0.6, -0.8]], atol=1e-6)


def test_rows_of_several_views():
    """A record's rows lie side by side; those of absent views stay as they were."""
    rng = fresh_rng()
    bank = layers.FeatureBank(20, (3, 4))
    before, indices = bank.features.numpy(), rng.permutation(20)[:6]
    rows, present = rng.normal(size=[6, 3, 4]), rng.random([6, 3]) < 0.5
    bank.update(tf.constant(indices), tf.constant(rows, tf.float32), tf.constant(present))
    expected = before.copy()
    moved = unit(0.5 * before[indices] + 0.5 * unit(rows))
    expected[indices] = np.where(present[..., None], moved, before[indices])
    np.testing.assert_allclose(bank.features, expected, atol=5e-6)
    assert bank.rows(tf.constant([[1, 2]])).shape == [1, 2, 3, 4]


def test_a_uniform_start():
    """Properties 3 and 4 of the CMC sheet: Z / N, and the loss of a bank that holds noise."""
    bank = layers.FeatureBank(4096, 128, start="uniform").features.numpy()
    bound = np.sqrt(3 / 128)
    assert np.abs(bank).max() <= bound and bank.std() == pytest.approx(bound / 3**0.5, rel=5e-3)
    assert np.sum(bank**2, axis=1).mean() == pytest.approx(1, abs=5e-3)
    for dim, temperature, expected in ((128, 0.07, 2.21), (64, 0.1, 2.17)):
        bank = layers.FeatureBank(20_000, dim, start="uniform", seed=3).features.numpy()
        anchors = unit(fresh_rng().normal(size=[400, dim]))
        e = np.exp(anchors @ bank.T / temperature)
        assert e.mean() == pytest.approx(expected, abs=0.05)
    positive, negative = e[:, 0], e[:, 1:4097]
    loss = -np.log(positive / (positive + negative.sum(axis=1)))
    expected = np.log1p(4096) + 1 / (2 * 64 * 0.1**2)
    assert loss.mean() == pytest.approx(expected, abs=5 * 1.3 / np.sqrt(400))


def test_of_equal_indices_the_last_counts():
    bank = layers.FeatureBank(5, 2, new_weight=1.0)
    untouched = bank.features.numpy()[[0, 1, 3]]
    rows = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
    change = bank.update(tf.constant([2, 4, 2, 2]), rows)
    np.testing.assert_array_equal(bank.features.numpy()[[2, 4]], [[-1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(bank.features.numpy()[[0, 1, 3]], untouched)
    np.testing.assert_array_equal(change.counted, [False, True, False, True])
    np.testing.assert_array_equal(change.new.numpy()[[0, 2, 3]], [[-1.0, 0.0]] * 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_halves_the_memory(dtype):
    bank = layers.FeatureBank(10, 8, dtype=dtype)
    assert bank.features.dtype == dtype and bank.rows(tf.constant([3])).dtype == tf.float32
    rows = fresh_rng().normal(size=[4, 8]).astype(np.float32)
    change = bank.update(tf.range(4), rows)
    # What a running sum adds is what the bank holds, after rounding.
    np.testing.assert_array_equal(change.new, bank.rows(tf.range(4)))
    np.testing.assert_allclose(np.linalg.norm(change.new, axis=1), np.ones(4), atol=1e-2)


def test_no_gradient_passes():
    bank = layers.FeatureBank(10, 8)
    embeddings = tf.Variable(tf.ones([2, 8]))
    with tf.GradientTape() as tape:
        tape.watch(bank.features)
        change = bank.update(tf.range(2), embeddings)
        total = tf.reduce_sum(change.new) + tf.reduce_sum(bank.rows(tf.range(3)))
    assert tape.gradient(total, [embeddings, bank.features]) == [None, None]
    assert not bank.trainable_weights and len(bank.non_trainable_weights) == 1


def test_fill_and_checkpoint(tmp_path):
    bank = layers.FeatureBank(6, 3)
    rows = fresh_rng().normal(size=[6, 3])
    bank.fill(rows)
    np.testing.assert_allclose(bank.features, unit(rows), atol=1e-6)
    path = tf.train.Checkpoint(bank=bank).write(str(tmp_path / "bank"))
    other = layers.FeatureBank(6, 3, seed=5)
    tf.train.Checkpoint(bank=other).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(bank.features, other.features)


def test_two_replicas_keep_equal_banks(two_replicas):
    rng = fresh_rng()
    alone = layers.FeatureBank(40, 4)
    with two_replicas.scope():
        bank = layers.FeatureBank(40, 4)

    @tf.function(autograph=False)
    def step(indices, rows):
        two_replicas.run(lambda: bank.update(indices, rows))

    for _ in range(20):
        indices = tf.constant(rng.integers(0, 40, 8))
        rows = tf.constant(rng.normal(size=[8, 4]).astype(np.float32))
        step(indices, rows)
        alone.update(indices, rows)
    copies = [copy.numpy() for copy in two_replicas.experimental_local_results(bank.features)]
    np.testing.assert_array_equal(copies[0], copies[1])
    np.testing.assert_allclose(copies[0], alone.features, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{"num_records": 0}, {"dim": 0}, {"new_weight": 0.0}, {"dtype": "int8"}]
)
def test_wrong_arguments(change):
    with pytest.raises(ValueError, match="expected .*Received: "):
        layers.FeatureBank(**{"num_records": 3, "dim": 2, **change})
