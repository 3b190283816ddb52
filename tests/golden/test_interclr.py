"""InterCLR against its sheet: steps in NumPy, and properties 3, 5, 15 to 17 and 20 of section 9.

The base's own loss and embeddings are taken as they come; they have golden tests of their own.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import ops
from tfssl.methods import interclr

RECORDS, CLUSTERS = 64, 4
TEMPERATURES = {"npid": 0.07, "moco": 0.2}
NEW_WEIGHTS = {"npid": 0.5, "moco": 1.0, "byol": 1.0}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def build(base, *, options=None, **overrides):
    """An InterCLR whose base has options of its own."""
    if options is None:
        options = {"loss": "softmax"} if base == "npid" else {}
    settings = harness.small_settings(base, **options)
    return harness.build("interclr", base=base, base_settings=settings, **overrides)


def means(features, labels, centroids):
    """The mean row of every cluster; an empty one keeps its centroid."""
    members = [features[labels == c] for c in range(len(centroids))]
    return np.stack([m.mean(axis=0) if len(m) else c for m, c in zip(members, centroids)])


class Spy:
    """Remembers what the base has given and what was drawn, one step at a time."""

    def __init__(self, monkeypatch, method):
        self.method = method
        self.clear()
        forward = method.base.forward

        def spied_forward(batch):
            self.base = forward(batch)
            return self.base

        method.base.forward = spied_forward
        self._wrap(monkeypatch, "cluster_members", self.positives)
        self._wrap(monkeypatch, "sample_negatives", self.negatives)

    def clear(self):
        """Forgets the draws of the last step."""
        self.__dict__.setdefault("positives", []).clear()
        self.__dict__.setdefault("negatives", []).clear()

    def _wrap(self, monkeypatch, name, found):
        original = getattr(ops, name)

        def spied(*arguments, **options):
            found.append(original(*arguments, **options))
            return found[-1]

        monkeypatch.setattr(interclr.ops, name, spied)

    def counts(self, view):
        """`[batch, records]`: how often each record is a negative of each anchor."""
        found = self.negatives[view]
        counts = found.counts.numpy()
        if found.indices is None:
            return counts
        indices = np.broadcast_to(found.indices.numpy(), [len(counts), found.indices.shape[-1]])
        table = np.zeros([len(counts), RECORDS])
        rows = np.broadcast_to(np.arange(len(counts))[:, None], indices.shape)
        np.add.at(table, (rows, indices), np.broadcast_to(counts, indices.shape))
        return table


def inter_loss(base, anchors, bank, positives, counts):
    """One view's loss against bank entries: Eq. 5, or BYOL's regression."""
    similar = np.sum(anchors * bank[positives], axis=1)
    if base == "byol":
        return (2 - 2 * similar).mean()
    temperature = TEMPERATURES[base]
    positive = np.exp((similar + 0.5) / temperature)
    negative = (counts * np.exp(anchors @ bank.T / temperature)).sum(axis=1)
    return -np.log(positive / (positive + negative)).mean()


@pytest.mark.parametrize(
    "base, sampler",
    [
        ("npid", "semi_hard"),
        ("npid", "random"),
        ("npid", "hard"),
        ("moco", "semi_easy"),
        ("moco", "semi_hard"),
        ("byol", "semi_hard"),
    ],
)
def test_three_steps(base, sampler, monkeypatch):
    """Loss from the state before the step; then bank, labels and centroids (sections 3 and 5.4)."""
    number = 6 if base == "moco" else 16  # Six are a tenth of the bank: a subset of it is drawn.
    negatives = {} if base == "byol" else {"sampler": sampler, "num_negatives": number}
    method = build(base, min_cluster=0, **negatives)
    bank = method.bank.features.numpy().astype(float)
    labels, centroids = method.clusters.labels.numpy(), method.clusters.centroids.numpy()
    spy = Spy(monkeypatch, method)
    for step in range(3):
        batch = harness.make_batch("interclr", seed=step)
        indices = batch["index"].numpy()
        spy.clear()
        logs = harness.step(method, batch)
        intra, _, embeddings = spy.base
        assert len(embeddings.anchors) == (2 if base == "byol" else 1)
        terms = []
        for view, anchors in enumerate(embeddings.anchors):
            positives = spy.positives[view].numpy()
            assert (labels[positives] == labels[indices]).all()
            counts = None
            if base != "byol":
                counts = spy.counts(view)
                assert (counts.sum(axis=1) == number).all()
                assert not counts[labels == labels[indices][:, None]].any()
            terms.append(inter_loss(base, anchors.numpy(), bank, positives, counts))
        assert logs["inter"] == pytest.approx(sum(terms), rel=1e-4)
        assert logs["intra"] == pytest.approx(float(intra))
        assert logs["loss"] == pytest.approx(0.75 * float(intra) + 0.25 * sum(terms), rel=1e-4)

        weight = NEW_WEIGHTS[base]
        bank[indices] = unit((1 - weight) * bank[indices] + weight * embeddings.stored.numpy())
        before = labels[indices]
        distances = ((bank[indices][:, None] - centroids) ** 2).sum(axis=2)
        labels[indices] = distances.argmin(axis=1)
        centroids = means(bank, labels, centroids)
        np.testing.assert_allclose(method.bank.features, bank, atol=1e-5)
        np.testing.assert_array_equal(method.clusters.labels, labels)
        np.testing.assert_allclose(method.clusters.centroids, centroids, atol=1e-5)
        assert logs["changed-labels"] == pytest.approx((before != labels[indices]).mean())


def test_switches_of_the_released_code(monkeypatch):
    """Section 10, rows 1, 2 and 9: dot products, centroids every third step, never oneself."""
    options = dict(assign="dot", publish_every=3, exclude_self=True)
    method = build("npid", min_cluster=0, num_negatives=16, **options)
    bank = method.bank.features.numpy().astype(float)
    labels, centroids = method.clusters.labels.numpy(), method.clusters.centroids.numpy()
    spy, other_rule = Spy(monkeypatch, method), 0
    for step in range(5):
        batch = harness.make_batch("npid", seed=step)
        indices = batch["index"].numpy()
        spy.clear()
        harness.step(method, batch)
        positives = spy.positives[0].numpy()
        assert (labels[positives] == labels[indices]).all()
        alone = np.bincount(labels, minlength=CLUSTERS)[labels[indices]] == 1
        np.testing.assert_array_equal(positives == indices, alone)

        bank[indices] = unit(bank[indices] + spy.base[2].stored.numpy())
        labels[indices] = (bank[indices] @ centroids.T).argmax(axis=1)
        nearest = ((bank[indices][:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        other_rule += (labels[indices] != nearest).sum()
        if step == 2:
            centroids = means(bank, labels, centroids)
        np.testing.assert_array_equal(method.clusters.labels, labels)
        np.testing.assert_allclose(method.clusters.centroids, centroids, atol=1e-5)
    assert other_rule


@pytest.mark.parametrize("sampling", ["subset", "exact"])
def test_exact_sampling_looks_at_the_whole_bank(sampling, monkeypatch):
    """Section 4: all negatives are of the nearest tenth of other clusters; of a subset not all."""
    method = build("npid", min_cluster=0, num_negatives=3, sampling=sampling)
    spy = Spy(monkeypatch, method)
    inside = []
    for seed in range(3):
        spy.clear()
        batch = harness.make_batch("npid", seed=seed)
        labels = method.clusters.labels.numpy()
        method.compute(batch)
        similar = spy.base[2].anchors[0].numpy() @ method.bank.features.numpy().T
        own = labels == labels[batch["index"].numpy()][:, None]
        tenth = np.round(0.1 * (~own).sum(axis=1)).astype(int)
        ranks = np.argsort(np.argsort(np.where(own, np.inf, -similar), axis=1), axis=1)
        inside += list((ranks < tenth[:, None])[spy.counts(0) > 0])
    assert all(inside) == (sampling == "exact")


def test_later_reading_of_bank_or_labels_would_show(monkeypatch):
    """Property 17: with the bank after the step, or labels after it, the losses are others."""
    plan = harness.make_plan(num_records=8)
    method = build("moco", plan=plan, sampler="random", num_negatives=4, min_cluster=0)
    spy = Spy(monkeypatch, method)
    batch = {**harness.make_batch("moco"), "index": tf.range(8, dtype=tf.int64)}
    for _ in range(2):
        banks, labels = [method.bank.features.numpy()], [method.clusters.labels.numpy()]
        spy.clear()
        logs = harness.step(method, batch)
        banks.append(method.bank.features.numpy())
        labels.append(method.clusters.labels.numpy())
        anchors, drawn = spy.base[2].anchors[0].numpy(), spy.positives[0].numpy()
        counts = spy.counts(0)[:, :8]
        right, wrong = (inter_loss("moco", anchors, bank, drawn, counts) for bank in banks)
        assert logs["inter"] == pytest.approx(right, rel=1e-4)
        assert (labels[0][drawn] == labels[0]).all()
        if int(method.global_step) == 1:
            assert logs["inter"] != pytest.approx(wrong, rel=1e-2)
            assert (labels[1][drawn] != labels[1]).any()


@pytest.mark.parametrize(
    "base, options",
    [
        ("npid", {}),
        ("npid", {"loss": "softmax", "bank_start": "embeddings"}),
        ("moco", {}),
        ("byol", {}),
    ],
)
def test_weight_one_is_the_base_to_the_bit(base, options):
    """Property 5: the same losses and the same weights after three steps."""
    alone = harness.build(base, seed=4, **options)
    inside = build(base, options=options, intra_weight=1.0, seed=4)
    assert inside.bank is None and inside.pseudo_labels is None
    rows = tf.constant(np.random.default_rng(6).normal(size=[RECORDS, 128]), tf.float32)
    for method in (alone, inside):
        method.start_epoch(0, lambda network: rows)
    for step in range(3):
        batch = harness.make_batch(base, seed=step)
        first, second = harness.step(alone, batch), harness.step(inside, batch)
        assert first["loss"] == second["loss"] == second["intra"]
    for one, two in zip(alone.trainable_variables, inside.base.trainable_variables):
        np.testing.assert_array_equal(one, two)
    assert inside.chance_level == alone.chance_level


@pytest.mark.parametrize("base", ["npid", "moco", "byol"])
def test_total_is_linear_in_the_weight(base):
    """Property 5: lambda 0 is the inter-image loss alone, and between the two it is a mean."""
    batch = harness.make_batch(base)
    losses = {w: build(base, intra_weight=w).compute(batch) for w in (0.0, 0.25, 1.0)}
    logs = losses[0.25][1]
    assert float(losses[0.0][0]) == pytest.approx(float(logs["inter"]), rel=1e-6)
    assert float(losses[1.0][0]) == pytest.approx(float(logs["intra"]), rel=1e-6)
    mean = 0.25 * float(logs["intra"]) + 0.75 * float(logs["inter"])
    assert float(losses[0.25][0]) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("base", ["npid", "moco", "byol"])
def test_gradient_of_the_inter_branch(base):
    """Property 3: only the anchors receive a gradient; all that is remembered is constant."""
    method = build(base, intra_weight=0.0)
    trained = method.trainable_variables
    known = {id(v) for v in trained}
    state = [v for v in method.variables if id(v) not in known and v.dtype.is_floating]
    assert any(v is method.bank.features for v in state)
    with tf.GradientTape() as tape:
        tape.watch(state)
        loss, _ = method.compute(harness.make_batch(base))
    gradients = tape.gradient(loss, [*state, *trained])
    assert gradients[: len(state)] == [None] * len(state)
    assert all(g is not None for g in gradients[len(state) :])


def test_names_of_clusters_do_not_matter():
    """Property 16: other numbers for the same clusters leave the loss as it is."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLUSTERS, RECORDS)
    names = rng.permutation(CLUSTERS)
    losses = []
    for given in (labels, names[labels]):
        method = build("npid", num_negatives=16, sampler="hard", exclude_self=False)
        method.clusters.recompute(method.bank.features, tf.constant(given))
        losses.append(float(method.compute(harness.make_batch("npid"))[1]["inter"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_one_cluster_leaves_the_intra_branch():
    """Property 15: nothing to tell apart, and nothing that is not finite."""
    method = build("moco", num_clusters=2, min_cluster=0)
    method.clusters.recompute(method.bank.features, tf.zeros([RECORDS], tf.int32))
    logs = harness.step(method, harness.make_batch("moco"))
    assert logs["inter"] == 0
    assert logs["loss"] == pytest.approx(0.75 * logs["intra"], rel=1e-6)


def test_byol_against_its_own_target_is_the_intra_loss():
    """Property 20: with the image's own target as the bank entry both branches are one."""
    method = build("byol", num_clusters=RECORDS, min_cluster=0)
    batch = harness.make_batch("byol")
    # Of two equal views the targets are equal; the bank keeps one of them.
    batch["views"] = batch["views"][:1] * 2
    _, _, embeddings = method.base.forward(batch)
    rows = method.bank.features.numpy()
    rows[batch["index"].numpy()] = embeddings.stored.numpy()
    method.bank.fill(rows)
    method.clusters.recompute(method.bank.features, tf.range(RECORDS))
    logs = method.compute(batch)[1]
    assert float(logs["inter"]) == pytest.approx(float(logs["intra"]), rel=1e-5)
    assert 0 < float(logs["intra"]) < 8
