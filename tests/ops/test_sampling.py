"""Samplers by brute force: properties 11 to 16 of the InterCLR sheet, section 9."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

RECORDS, CLUSTERS, DIM = 400, 8, 6


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def problem():
    """A bank whose first cluster holds half of it, and a batch of anchors."""
    rng = fresh_rng()
    bank = unit(rng.normal(size=[RECORDS, DIM])).astype(np.float32)
    half = RECORDS // 2
    labels = np.where(np.arange(RECORDS) < half, 0, rng.integers(1, CLUSTERS, RECORDS))
    labels = rng.permutation(labels).astype(np.int32)
    batch = rng.integers(0, RECORDS, 12)
    anchors = unit(bank[batch] + 0.1 * rng.normal(size=[12, DIM])).astype(np.float32)
    return bank, labels, anchors, labels[batch]


def keys(seed, rows=12):
    return ops.fold_key(seed, tf.range(rows, dtype=tf.int64))


def sample(kind, problem, seed=0, num_negatives=15):
    """`(indices or 0, counts)` of any sampler."""
    bank, labels, anchors, own = map(tf.constant, problem)
    number = dict(num_negatives=num_negatives)
    if kind == "random":
        found = ops.random_negatives(bank, labels, anchors, own, keys=keys(seed), **number)
    elif kind.startswith("subset"):
        easy, draws = kind == "subset_easy", dict(key=ops.fold_key(seed), keys=keys(seed))
        found = ops.subset_negatives(bank, labels, anchors, own, easy=easy, **draws, **number)
    else:
        chosen = {"share": None} if kind == "hard" else {"easy": kind == "semi_easy"}
        found = ops.pool_negatives(bank, labels, anchors, own, keys=keys(seed), **chosen, **number)
    return (tf.constant(0) if found.indices is None else found.indices), found.counts


def as_counts(problem, indices, found):
    """Counts `[batch, records]` of what a sampler gave."""
    batch, records = len(problem[2]), len(problem[0])
    counts, indices = np.zeros([batch, records], int), indices.numpy()
    if indices.ndim == 0:
        counts += found.numpy()
    elif indices.ndim == 1:
        assert len(set(indices)) == len(indices)
        counts[:, indices] += found.numpy()
    else:
        np.add.at(counts, (np.arange(batch)[:, None], indices), 1)
        counts *= found.numpy()
    return counts


def draw(kind, problem, seed=0, num_negatives=15):
    return as_counts(problem, *sample(kind, problem, seed, num_negatives))


def draw_often(kind, problem, draws, num_negatives):
    """The sum of the counts of so many draws; a graph makes them fast."""
    run = tf.function(lambda seed: sample(kind, problem, seed, num_negatives), autograph=False)
    return sum(as_counts(problem, *run(tf.constant(seed))) for seed in range(draws))


def pools(problem, size, easy=False):
    """For each anchor the records of its pool, best first, by a sort."""
    bank, labels, anchors, own = problem
    order = []
    for anchor, label in zip(anchors, own):
        candidates = np.flatnonzero(labels != label)
        similar = bank[candidates] @ anchor * (-1 if easy else 1)
        wanted = size(len(candidates))
        order.append(candidates[np.argsort(-similar, kind="stable")[:wanted]])
    return order


KINDS = ["hard", "semi_hard", "random", "semi_easy", "subset", "subset_easy"]


@pytest.mark.parametrize("kind", KINDS)
def test_negatives_are_of_other_clusters_and_k_in_number(kind, problem):
    """Property 11, with a cluster of half the bank."""
    labels, own = problem[1], problem[3]
    for seed in range(5):
        counts = draw(kind, problem, seed)
        np.testing.assert_array_equal(counts.sum(axis=1), [15] * 12)
        assert not counts[labels == own[:, None]].any()


def test_pools_by_brute_force(problem):
    """Property 12."""
    for kind, easy in (("semi_hard", False), ("semi_easy", True)):
        counts = draw(kind, problem, num_negatives=12)
        for row, pool in zip(counts, pools(problem, lambda n: max(1, round(0.1 * n)), easy)):
            assert set(np.flatnonzero(row)) <= set(pool)
            assert row.max() == 1 or len(pool) < 12
    for row, best in zip(draw("hard", problem), pools(problem, lambda n: 15)):
        np.testing.assert_array_equal(np.flatnonzero(row), np.sort(best))


@pytest.mark.slow
def test_members_of_a_pool_are_equally_likely(problem):
    """Property 13: chi-square of many draws, for the pool's K of M."""
    draws = 400
    total = draw_often("semi_hard", problem, draws, num_negatives=8)
    for row, pool in zip(total, pools(problem, lambda n: max(1, round(0.1 * n)))):
        expected = draws * 8 / len(pool)
        variance = draws * (8 / len(pool)) * (1 - 8 / len(pool))
        # Sum of squares of M dependent standard normals: M - 1 degrees of freedom.
        statistic = ((row[pool] - expected) ** 2).sum() / variance * (len(pool) - 1) / len(pool)
        assert statistic < len(pool) - 1 + 6 * np.sqrt(2 * (len(pool) - 1))


@pytest.mark.slow
def test_random_negatives_are_uniform(problem):
    """Property 13: over all records of other clusters, with replacement."""
    total = draw_often("random", problem, 50, num_negatives=200)
    labels, own = problem[1], problem[3]
    for row, label in zip(total, own):
        seen = row[labels != label]
        expected = 50 * 200 / len(seen)
        statistic = ((seen - expected) ** 2 / expected).sum()
        assert abs(statistic - len(seen)) < 6 * np.sqrt(2 * len(seen))


@pytest.mark.slow
def test_a_subset_stands_for_a_pool_of_a_tenth():
    """Property 13, option D: the pool's share has mean 0.1 and the predicted deviation."""
    rng = fresh_rng()
    records, k = 2000, 40
    bank = unit(rng.normal(size=[records, DIM])).astype(np.float32)
    labels = np.zeros(records, np.int32)
    labels[0] = 1
    anchor = tf.constant(bank[:1])
    similar = bank @ bank[0]
    place = np.zeros(records, int)
    place[1:][np.argsort(-similar[1:], kind="stable")] = np.arange(1, records)
    shares, first = [], np.zeros(records)

    @tf.function(autograph=False)
    def drawn_with(seed):
        return ops.subset_negatives(
            *(tf.constant(bank), tf.constant(labels), anchor, tf.constant([1])),
            num_negatives=k,
            key=ops.fold_key(seed),
            keys=keys(seed, 1),
        )

    for seed in range(500):
        found = drawn_with(tf.constant(seed))
        chosen = found.indices.numpy()[found.counts.numpy()[0] > 0]
        assert len(chosen) == k
        shares.append(place[chosen].max() / records)
        first[chosen] += 1
    deviation = np.sqrt(0.09 / (10 * k) * (1 - 10 * k / records))
    assert np.mean(shares) == pytest.approx(0.1, abs=5 * deviation / np.sqrt(500) + 1e-3)
    assert np.std(shares) == pytest.approx(deviation, rel=0.15)
    # Well inside the pool every record is drawn as often as any other: k in 200.
    inside = first[(place > 0) & (place <= 120)]
    assert np.abs(inside - 100).max() < 6 * 10


@pytest.mark.parametrize("exact", [True, False])
def test_order_of_difficulty(problem, exact):
    """Property 14."""
    bank, _, anchors, _ = problem
    similar = anchors @ bank.T
    kinds = ["hard", *(["semi_hard"] if exact else ["subset"]), "random"]
    kinds += ["semi_easy"] if exact else ["subset_easy"]
    means = [np.mean((draw(kind, problem) * similar).sum(axis=1) / 15) for kind in kinds]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("kind", ["hard", "semi_hard", "random", "semi_easy"])
def test_too_few_candidates(kind, problem):
    """Property 15: with replacement where a pool is too small, nothing where there is none."""
    bank, labels, anchors, own = problem
    few = np.where(np.arange(RECORDS) < 3, 1, 0).astype(np.int32)
    counts = draw(kind, (bank, few, anchors, np.zeros(12, np.int32)), num_negatives=20)
    np.testing.assert_array_equal(counts.sum(axis=1), [20] * 12)
    assert not counts[:, 3:].any() and (counts.max(axis=1) > 1).all()
    alone = np.zeros(RECORDS, np.int32)
    counts = draw(kind, (bank, alone, anchors, np.zeros(12, np.int32)), num_negatives=20)
    assert not counts.any()


@pytest.mark.parametrize("kind", ["subset", "subset_easy"])
def test_a_subset_with_few_of_other_clusters(kind, problem):
    """Property 15: the number of negatives stays, while the subset meets another cluster at all."""
    bank, _, anchors, own = problem
    few = np.where(np.arange(RECORDS) < 8, 1, 0).astype(np.int32)
    met = 0
    for seed in range(5):
        indices, found = sample(kind, (bank, few, anchors, np.zeros(12, np.int32)), seed, 20)
        others = found.numpy()[:, few[indices] == 1]
        assert not found.numpy()[:, few[indices] == 0].any()
        np.testing.assert_array_equal(others.sum(axis=1), [20 if others.size else 0] * 12)
        met += others.shape[1]
    # 200 of 400 records: about 4 of the 8 each time.
    assert met > 0 and (others > 0).any()


@pytest.mark.parametrize("kind", ["semi_hard", "semi_easy"])
def test_small_and_large_pools_in_one_batch(kind, problem):
    """Property 15, row by row: half the bank is of cluster 0, so pools of others differ in size."""
    bank, labels, anchors, _ = problem
    for first in (0, 1):
        own = (np.arange(12, dtype=np.int32) + first) % 2
        pool_sizes = [max(1, round(0.1 * (labels != label).sum())) for label in own]
        assert min(pool_sizes) < 30 <= max(pool_sizes)
        counts = draw(kind, (bank, labels, anchors, own), num_negatives=30)
        np.testing.assert_array_equal(counts.sum(axis=1), [30] * 12)
        members = pools(
            (bank, labels, anchors, own), lambda n: max(1, round(0.1 * n)), kind == "semi_easy"
        )
        for row, pool in zip(counts, members):
            assert set(np.flatnonzero(row)) <= set(pool)
            assert (row.max() == 1) == (len(pool) >= 30)


@pytest.mark.parametrize("kind", KINDS)
def test_repeats_from_its_keys(kind, problem):
    np.testing.assert_array_equal(draw(kind, problem, 3), draw(kind, problem, 3))
    if kind != "hard":
        assert not np.array_equal(draw(kind, problem, 3), draw(kind, problem, 4))


def test_cluster_numbers_do_not_matter(problem):
    """Property 16: the same sets of records, whatever the clusters are called."""
    bank, labels, anchors, own = problem
    names = fresh_rng().permutation(CLUSTERS).astype(np.int32)
    renamed = (bank, names[labels], anchors, names[own])
    for kind in KINDS:
        np.testing.assert_array_equal(draw(kind, problem, 7), draw(kind, renamed, 7))
    drawn = [
        ops.cluster_members(
            tf.constant(p[1]), tf.constant(p[3]), key=ops.fold_key(1), num_clusters=CLUSTERS
        )
        for p in (problem, renamed)
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_inside_an_xla_program(kind, problem):
    """One program with the whole step, as on a TPU."""
    received = tf.function(lambda: sample(kind, problem, 2), jit_compile=True, autograph=False)()
    np.testing.assert_array_equal(as_counts(problem, *received), draw(kind, problem, 2))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sampler", ops.SAMPLERS)
def test_samplers_by_name_give_cosines_with_a_gradient(sampler, exact, problem):
    """The same draws as of the function behind the name; a tenth of 400 is more than 15."""
    bank, labels, anchors, own = map(tf.constant, problem)
    options = dict(num_negatives=15, key=ops.fold_key(0), keys=keys(0), exact=exact)
    with tf.GradientTape() as tape:
        tape.watch([anchors, bank])
        found = ops.sample_negatives(sampler, bank, labels, anchors, own, **options)
        total = tf.reduce_sum(found.scores)
    to_anchors, to_bank = tape.gradient(total, [anchors, bank])
    scaled = {"semi_hard": "subset", "semi_easy": "subset_easy"}
    kind = sampler if exact else scaled.get(sampler, sampler)
    indices = tf.constant(0) if found.indices is None else found.indices
    received = as_counts(problem, indices, found.counts)
    np.testing.assert_array_equal(received, draw(kind, problem))

    rows = problem[0] if found.indices is None else problem[0][found.indices.numpy()]
    rows = np.broadcast_to(rows, [12, *rows.shape[-2:]]).astype(float)
    np.testing.assert_allclose(found.scores, np.einsum("bnd,bd->bn", rows, anchors), atol=1e-5)
    np.testing.assert_allclose(to_anchors, rows.sum(axis=1), atol=1e-3)
    assert to_bank is None


def test_an_unknown_sampler_is_refused(problem):
    arguments = map(tf.constant, problem)
    with pytest.raises(ValueError, match="expected a sampler of hard.*Received: 'soft'"):
        ops.sample_negatives("soft", *arguments, num_negatives=1, key=None, keys=None)
