"""The numbers of the InterCLR sheet, sections 5 and 6, against configs/imagenet as it resolves."""

import pathlib
from typing import Dict, NamedTuple

import pytest

from tfssl import config
from tfssl.training.optimizers import learning_rate_at

ROOT = pathlib.Path(__file__).parents[1]
# Variables of lower rank have no weight decay: none is left out, or biases and normalisation.
NONE, BIASES_AND_NORMS = 0, 2


class Row(NamedTuple):
    """What one config must resolve to.

    Attributes:
        epochs, batch, parts: of the run; micro-batches of a step.
        optimizer, decay, excluded: its name, its weight decay, and what has none.
        rates: the learning rate after so many epochs, all scaling done.
        method: settings of the method.
    """

    epochs: int
    batch: int
    parts: int
    optimizer: str
    decay: float
    excluded: int
    rates: Dict[int, float]
    method: Dict[str, object]


def cosine(peak, epochs, *, warmup=0, end=0.0):
    """A cosine at its ends and in its middle, and the middle of the warm-up."""
    rates = {warmup: peak, (warmup + epochs) // 2: (peak + end) / 2, epochs: end}
    return {**rates, warmup // 2: peak / 2} if warmup else rates


NPID_RATES = {0: 0.03, 119: 0.03, 120: 0.003, 159: 0.003, 160: 0.0003, 199: 0.0003}
BANK = dict(projection_dim=128, bank_weight=0.5, negatives="own")
NPID = dict(BANK, loss="nce", num_negatives=4096, temperature=0.07, hidden_dim=0)
MOCO = dict(projection_dim=128, queue_size=65536, momentum=0.999, margin=0.0)
SIMCLR = dict(hidden_dim=2048, projection_dim=128, temperature=0.1)
PIRL = dict(BANK, temperature=0.07, hidden_dim=0, jigsaw_weight=0.5)
AGGREGATION = dict(num_clusters=30000, num_clusterings=10, num_neighbors=4096, warm_start_epochs=10)

ROWS = {
    "npid": Row(200, 256, 1, "sgd", 1e-4, NONE, NPID_RATES, NPID),
    "npid_v2": Row(
        *(200, 256, 1, "sgd", 1e-4, NONE, cosine(0.03, 200)),
        dict(BANK, loss="softmax", num_negatives=16384, temperature=0.1, hidden_dim=2048),
    ),
    "moco_v1": Row(
        *(200, 256, 1, "sgd", 1e-4, NONE, NPID_RATES),
        dict(MOCO, hidden_dim=0, temperature=0.07),
    ),
    "moco_v2": Row(
        *(200, 256, 1, "sgd", 1e-4, NONE, cosine(0.03, 200)),
        dict(MOCO, hidden_dim=2048, temperature=0.2),
    ),
    "simclr": Row(
        *(1000, 4096, 1, "lars", 1e-6, BIASES_AND_NORMS, cosine(4.8, 1000, warmup=10)),
        SIMCLR,
    ),
    "simclr_bs256": Row(
        *(200, 256, 1, "lars", 1e-6, BIASES_AND_NORMS, cosine(0.3, 200, warmup=10)),
        SIMCLR,
    ),
    "byol": Row(
        *(200, 4096, 16, "lars", 1e-6, BIASES_AND_NORMS, cosine(4.8, 200, warmup=10)),
        dict(hidden_dim=4096, projection_dim=256, momentum=0.99),
    ),
    "simsiam": Row(
        *(200, 256, 1, "sgd", 1e-4, NONE, cosine(0.05, 200)),
        dict(hidden_dim=2048, projection_dim=2048, predictor_dim=512, constant_predictor_lr=True),
    ),
    "pirl": Row(
        *(800, 1024, 1, "sgd", 1e-4, NONE, cosine(0.12, 800, end=1.2e-4)),
        dict(PIRL, loss="nce", num_negatives=32000),
    ),
    # Of this variant the sheet names no schedule.
    "pirl_200ep": Row(
        *(200, 256, 1, "sgd", 1e-4, NONE, {0: 0.03}),
        dict(PIRL, loss="softmax", num_negatives=65536),
    ),
    "local_aggregation": Row(
        *(200, 128, 1, "sgd", 1e-4, BIASES_AND_NORMS),
        {0: 0.03, 151: 0.03, 152: 0.003, 188: 0.003, 189: 0.0003, 199: 0.0003},
        dict(NPID, **AGGREGATION, kmeans_iterations=20),
    ),
    "deepcluster": Row(
        *(200, 512, 1, "sgd", 1e-5, NONE, {0: 0.1, 199: 0.1}),
        dict(num_clusters=10000, pca_dim=256, cluster_epochs=1, uniform=True, sobel=True),
    ),
    "odc": Row(
        *(440, 512, 1, "sgd", 1e-5, NONE, {0: 0.06, 399: 0.06, 400: 0.024, 439: 0.024}),
        dict(hidden_dim=512, projection_dim=256, dropout=0.5, bank_weight=0.5)
        | dict(num_clusters=10000, min_cluster=20, publish_every=10)
        | dict(reweight=True, replacement=True),
    ),
}
# Section 10, rows 1, 2, 3, 9 and 22; section 3 for the iterations.
DEFAULTS = dict(assign="l2", publish_every=1, min_cluster=20, exclude_self=False)
INTERCLR = dict(intra_weight=0.75, num_clusters=10000, labels="online", warm_start_epochs=0)
INTERCLR.update(DEFAULTS, offline_epochs=1, kmeans_iterations=20)
# BYOL has neither negatives nor a margin.
CONTRASTIVE = dict(INTERCLR, margin=-0.5, num_negatives=16384, sampler="semi_hard")
CONTRASTIVE.update(sampling="subset")
BASES = {
    "interclr_npid": ("npid_v2", CONTRASTIVE),
    "interclr_moco": ("moco_v2", CONTRASTIVE),
    "interclr_byol": ("byol", INTERCLR),
}


def resolve(name, monkeypatch):
    """The settings of a config of ImageNet; nested flagfiles are named from the root."""
    monkeypatch.chdir(ROOT)
    return config.read_flagfile(f"configs/imagenet/{name}.cfg")


def assert_numbers(chosen, expected):
    """Compares settings that the table names."""
    assert {name: getattr(chosen, name) for name in expected} == expected


def assert_run(wanted, row):
    """Compares everything but the method: run, optimizer, learning rate."""
    run, optimizer = wanted.training, wanted.optimizer
    assert (run.epochs, run.batch_size, run.accumulation) == row[:3] and run.steps is None
    assert (optimizer.optimizer, optimizer.decay, optimizer.exclude_rank_below) == row[3:6]
    assert (optimizer.momentum, optimizer.nesterov, optimizer.clip_norm) == (0.9, False, None)
    assert optimizer.trust_coefficient == 0.001 and optimizer.lars_adaptation == "lars"
    assert wanted.backbone.backbone == "resnet50" and wanted.backbone.width == 1
    length = 1_281_167 // row.batch
    sizes = dict(batch_size=row.batch, steps_per_epoch=length, total_steps=row.epochs * length)
    rates = {epoch: learning_rate_at(epoch * length, optimizer, **sizes) for epoch in row.rates}
    # A warm-up is one step ahead of a line from 0.
    assert rates == pytest.approx(row.rates, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("name", ROWS)
def test_a_method_has_the_sheets_numbers(name, monkeypatch):
    wanted = resolve(name, monkeypatch)
    assert_run(wanted, ROWS[name])
    assert_numbers(wanted.method, ROWS[name].method)


@pytest.mark.parametrize("name", BASES)
def test_interclr_has_the_sheets_numbers_and_its_bases(name, monkeypatch):
    wanted, (base, numbers) = resolve(name, monkeypatch), BASES[name]
    assert_run(wanted, ROWS[base])
    assert_numbers(wanted.method, numbers)
    assert_numbers(wanted.method.base_settings, ROWS[base].method)
