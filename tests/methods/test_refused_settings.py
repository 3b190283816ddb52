"""Settings that do not fit each other or the data are refused in one sentence."""

import math

import pytest

from tests.contract import harness
from tfssl import methods
from tfssl.methods import byol, interclr, moco, npid
from tfssl.methods._instance import softmax_level
from tfssl.settings import SettingsError


@pytest.mark.parametrize("name", ["deepcluster", "odc", "local_aggregation", "interclr"])
def test_more_clusters_than_images(name):
    with pytest.raises(SettingsError, match="num_clusters: expected at most .* 64. Received: 65"):
        harness.build(name, num_clusters=65)


@pytest.mark.parametrize("name", ["odc", "interclr"])
def test_clusters_are_small_only_below_half_the_mean_size(name):
    harness.build(name, num_clusters=8, min_cluster=4)
    with pytest.raises(SettingsError, match="min_cluster: expected at most half .*Received: 5"):
        harness.build(name, num_clusters=8, min_cluster=5)


@pytest.mark.parametrize("name", ["local_aggregation", "interclr"])
def test_a_warm_start_ends_before_the_run(name):
    plan = harness.make_plan(steps_per_epoch=4, total_steps=12)
    harness.build(name, plan=plan, warm_start_epochs=2)
    with pytest.raises(SettingsError, match="warm_start_epochs: expected fewer .*, 3. Received: 3"):
        harness.build(name, plan=plan, warm_start_epochs=3)


def test_offline_labels_have_no_small_clusters():
    harness.build("interclr", num_clusters=8, min_cluster=50, labels="offline")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"margin": 0.1}, "margin: expected 0 with loss nce.*Remedy: loss softmax"),
        ({"bank_start": "embeddings"}, "bank_start: expected random with loss nce"),
    ],
)
def test_noise_contrastive_estimation_refuses(options, message):
    with pytest.raises(SettingsError, match=message):
        npid.Config(**options)
    npid.Config(loss="softmax", **options)


def test_a_partition_sum_beyond_float32():
    harness.build("npid", temperature=0.02)
    with pytest.raises(SettingsError, match="temperature: expected at least 0.012 with loss nce"):
        harness.build("npid", temperature=0.011)
    harness.build("npid", temperature=0.011, loss="softmax")


@pytest.mark.parametrize(
    "batch, parts, groups, fits",
    [
        (16, 1, 4, True),
        (16, 2, 4, True),
        (16, 4, 4, False),  # One group a part: keys stay beside the same images.
        (24, 3, 8, False),
        (32, 8, 4, False),
        (16, 1, 3, False),
        (16, 4, 1, True),
    ],
)
def test_groups_of_moco_divide_every_part(batch, parts, groups, fits):
    plan = harness.make_plan(batch_size=batch, micro_batches=parts)
    if fits:
        harness.build("moco", plan=plan, bn_groups=groups, queue_size=64)
        return
    with pytest.raises(SettingsError, match=f"bn_groups: expected 1, or .*Received: {groups}"):
        harness.build("moco", plan=plan, bn_groups=groups, queue_size=64)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"base": "byol", "margin": 0.0}, "margin: .*BYOL has no negatives. Received: 0.0"),
        ({"base": "byol", "sampler": "random"}, "sampler: .*BYOL has no negatives"),
        ({"base": "byol", "num_negatives": 5}, "num_negatives: .*BYOL has no negatives"),
        ({"sampler": "random", "sampling": "exact"}, "sampling: .*sampler random has no pool"),
        ({"offline_epochs": 2}, "offline_epochs: .*labels are online"),
        ({"labels": "offline", "publish_every": 2}, "publish_every: .*labels are offline"),
        ({"base": "byol", "base_settings": moco.Config()}, "base_settings: expected those of byol"),
        ({"base": "npid", "base_settings": npid.Config()}, "expected loss softmax.*Received: nce"),
        ({"num_clusters": 1}, "num_clusters: expected >= 2"),
    ],
)
def test_interclr_refuses_what_has_no_effect(options, message):
    with pytest.raises(SettingsError, match=message):
        interclr.Config(**options)


def test_interclr_has_the_bases_of_its_paper():
    base = interclr.Config(base="npid").base_settings
    assert (base.loss, base.num_negatives, base.hidden_dim) == ("softmax", 16384, 2048)
    assert base.temperature == 0.1
    assert interclr.Config(base="byol").base_settings == byol.Config()
    # As the base alone NPID is what it likes to be.
    interclr.Config(base="npid", base_settings=npid.Config(), intra_weight=1.0)


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize("name", ["npid", "moco"])
def test_the_chance_level_has_the_margin(name, margin):
    options = {"loss": "softmax"} if name == "npid" else {}
    sizes = {**harness.SMALL, "temperature": 1.0}
    method = harness.build(name, sizes=sizes, margin=margin, **options)
    number = 16 if name == "npid" else 20
    assert method.chance_level == pytest.approx(math.log1p(number * math.exp(margin)), rel=1e-2)


def test_chance_levels_of_extreme_temperatures_are_finite():
    assert softmax_level(10, 1000.0) == pytest.approx(1000 + math.log(10))
    assert softmax_level(10, -1000.0) == pytest.approx(0)
    options = {"loss": "softmax", "temperature": 0.002}
    assert math.isfinite(harness.build("npid", **options).chance_level)
    assert methods.get("moco").Config(temperature=0.002, margin=1.9)
