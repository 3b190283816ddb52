"""Settings of CMC, predictive learning and SplitBrain that do not fit are refused."""

import pytest

from tests.contract import harness
from tfssl import views
from tfssl.methods import cmc, predictive, splitbrain
from tfssl.settings import SettingsError


def family(name, **options):
    return views.build(name, image_size=harness.SIZE, xla=False, **options)


def refused(cls, options, message):
    """Making the settings ends with the message, which ends with what was received."""
    with pytest.raises(SettingsError, match=f"{message}.*Received: ") as raised:
        cls(**options)
    assert raised.value.field == message.partition(":")[0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "in_batch", "memory": "queue"}, "memory: .*the batch is the memory"),
        ({"loss": "patch", "memory": "queue"}, "memory: .*the batch is the memory"),
        ({"loss": "in_batch", "num_negatives": 5}, "num_negatives: .*the batch is the memory"),
        ({"loss": "patch", "num_negatives": 5}, "num_negatives: .*the batch is the memory"),
        ({"loss": "in_batch", "negatives": "shared"}, "negatives: .*the batch is the memory"),
        ({"loss": "in_batch", "bank_weight": 0.1}, "bank_weight: .*the batch is the memory"),
        ({"loss": "patch", "bank_start": "directions"}, "bank_start: .*the batch is the memory"),
        ({"loss": "patch", "bank_dtype": "float16"}, "bank_dtype: .*the batch is the memory"),
        ({"loss": "patch", "temperature": 0.1}, "temperature: .*has neither temperature"),
        ({"loss": "patch", "hidden_dim": 64}, "hidden_dim: .*nor hidden layers"),
        ({"loss": "patch", "jigsaw_weight": 0.5}, "jigsaw_weight: .*nor jigsaws"),
        ({"patch_layer": "conv2"}, "patch_layer: .*the loss is not patch"),
        ({"loss": "nce", "patch_heads": "dim"}, "patch_heads: .*the loss is not patch"),
        ({"loss": "in_batch", "patch_mask": "constant"}, "patch_mask: .*the loss is not patch"),
        ({"memory": "queue", "negatives": "shared"}, "negatives: .*the keys are in a queue"),
        ({"memory": "queue", "bank_weight": 0.1}, "bank_weight: .*the keys are in a queue"),
        ({"memory": "queue", "bank_start": "directions"}, "bank_start: .*are in a queue"),
        ({"memory": "queue", "bank_dtype": "float16"}, "bank_dtype: .*the keys are in a queue"),
        ({"momentum": 0.9}, "momentum: .*there is no queue"),
        ({"loss": "in_batch", "bn_groups": 2}, "bn_groups: .*there is no queue"),
        ({"core_view": 1}, "core_view: .*no view is more than another"),
        ({"jigsaw_cross_view": True}, "jigsaw_cross_view: .*there are no jigsaws"),
        ({"partition_momentum": 0.9}, "partition_momentum: .*only loss nce"),
        ({"loss": "nce", "memory": "queue"}, "loss: expected softmax with a queue"),
        ({"loss": "nce", "bank_start": "embeddings"}, "loss: .*starts with embeddings"),
        ({"loss": "hinge"}, "loss: expected one of softmax, nce, in_batch, patch"),
        ({"jigsaw_weight": 1.0}, "jigsaw_weight: expected >= 0 and < 1"),
        ({"temperature": 0.0}, "temperature: expected > 0"),
        ({"bank_weight": 0.0}, "bank_weight: expected > 0 and <= 1"),
        ({"num_negatives": 0}, "num_negatives: expected >= 1"),
    ],
)
def test_cmc_refuses_what_has_no_effect(options, message):
    refused(cmc.Config, options, message)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "patch", "patch_layer": "conv2", "patch_heads": "dim", "patch_mask": "constant"},
        {"loss": "in_batch", "temperature": 0.2, "hidden_dim": 8, "jigsaw_weight": 0.5},
        {"memory": "queue", "momentum": 0.9, "bn_groups": 2, "num_negatives": 8},
        {"loss": "nce", "partition_momentum": 0.9, "bank_start": "directions"},
        {"paradigm": "core", "core_view": 1},
        {"jigsaw_weight": 0.5, "jigsaw_cross_view": True},
    ],
)
def test_cmc_takes_what_has_one(options):
    cmc.Config(**options)


WHOLE = "expected views that are groups of channels.*whole images.*Remedy: --views=lab"


@pytest.mark.parametrize(
    "options, made, message",
    [
        ({}, ("simclr", {}), f"method cmc: {WHOLE}"),
        ({}, ("patches", {}), f"method cmc: {WHOLE}"),
        ({"memory": "queue"}, ("lab", {}), "expected 2 .*crops.*Received: 1.*--num_views=2"),
        ({}, ("lab", {"num_views": 2}), "expected 1 .*crops.*Received: 2.*--num_views=1"),
        ({"share_encoders": True}, ("crop", {}), "expected two or more views that one encoder"),
        ({"share_encoders": True, "memory": "queue"}, ("patches", {}), "share_encoders: .*a queue"),
        ({"share_encoders": True}, ("mira", {"local_crops": 2, "local_size": 8}), "of one size"),
        (
            {"paradigm": "core", "core_view": 2},
            ("lab", {}),
            "core_view: expected the number of a view, below 2. Received: 2",
        ),
        (
            {"paradigm": "core", "core_view": 3, "memory": "queue"},
            ("lab", {"num_views": 2, "color_groups": "1,1,1"}),
            "core_view: .*below 3. Received: 3",
        ),
        ({"share_encoders": True}, ("lab", {}), "share_encoders: expected whole images"),
        (
            {"share_encoders": True},
            ("lab", {"color_groups": "1,1,1"}),
            "share_encoders: expected whole images.*groups of channels",
        ),
    ],
)
def test_views_that_do_not_fit_cmc(options, made, message):
    name, changes = made
    with pytest.raises(SettingsError, match=message):
        cmc.CMC.check_views(cmc.Config(**options), family(name, **changes))


@pytest.mark.parametrize(
    "options, made",
    [
        ({}, ("lab", {})),
        ({"memory": "queue"}, ("ydbdr", {"num_views": 2})),
        ({"share_encoders": True}, ("patches", {})),
        ({"share_encoders": True}, ("simclr", {})),
        ({"paradigm": "core", "core_view": 2}, ("lab", {"color_groups": "1,1,1"})),
    ],
)
def test_views_that_fit_cmc(options, made):
    name, changes = made
    cmc.CMC.check_views(cmc.Config(**options), family(name, **changes))


def test_cmc_wants_patches_exactly_where_it_has_jigsaws():
    weighed = cmc.Config(jigsaw_weight=0.5)
    cmc.CMC.check_patches(weighed, 8)
    cmc.CMC.check_patches(cmc.Config(), None)
    with pytest.raises(SettingsError, match="patches of a jigsaw. Received: none.*--jigsaw"):
        cmc.CMC.check_patches(weighed, None)
    with pytest.raises(SettingsError, match="expected views without patches.*Received: --jigsaw"):
        cmc.CMC.check_patches(cmc.Config(), 8)


@pytest.mark.parametrize(
    "options, plan, message",
    [
        (
            {"memory": "queue", "num_negatives": 7},
            {},
            "num_negatives: expected at least the batch, 8 images. Received: 7",
        ),
        (
            {"memory": "queue", "num_negatives": 64, "bn_groups": 3},
            {},
            "bn_groups: expected 1, or two or more groups.*Received: 3",
        ),
        (
            {"memory": "queue", "num_negatives": 64, "bn_groups": 2},
            {"micro_batches": 2},
            "bn_groups: expected 1, or two or more groups.*Received: 2",
        ),
        (
            {"loss": "nce", "temperature": 0.011},
            {},
            "temperature: expected at least 0.012 with loss nce and 64 images.*loss softmax",
        ),
        ({"loss": "in_batch"}, {"micro_batches": 2}, "--accumulation: expected 1.*in_batch"),
        ({"loss": "patch"}, {"micro_batches": 4}, "--accumulation: .*patch.*Received: 4"),
        ({"loss": "in_batch"}, {"batch_size": 1}, "--batch_size: expected .*2.*Received: 1"),
        ({"loss": "patch"}, {"batch_size": 1}, "--batch_size: expected .*2.*Received: 1"),
    ],
)
def test_runs_that_do_not_fit_cmc(options, plan, message):
    with pytest.raises(SettingsError, match=message):
        cmc.CMC.check_plan(cmc.Config(**options), harness.make_plan(**plan))


def test_runs_that_fit_cmc():
    for options, plan in (
        ({"memory": "queue", "num_negatives": 8, "bn_groups": 2}, {}),
        ({"loss": "nce", "temperature": 0.013}, {}),
        ({"temperature": 0.001}, {"micro_batches": 4}),
        ({"loss": "in_batch"}, {"batch_size": 2}),
    ):
        cmc.CMC.check_plan(cmc.Config(**options), harness.make_plan(**plan))


def test_a_layer_that_the_backbone_has_not():
    plan = harness.make_plan(view_channels=(1, 2))
    options = dict(loss="patch", patch_layer="conv3")
    with pytest.raises(SettingsError, match="patch_layer: .*stem, stage1. Received: 'conv3'") as e:
        harness.build("cmc", plan=plan, **options)
    assert e.value.field == "patch_layer"


@pytest.mark.parametrize(
    "cls, options, message",
    [
        (predictive.Config, {"distance": "l3"}, "distance: expected one of l2, l1"),
        (predictive.Config, {"paradigm": "ring"}, "paradigm: expected one of full, core"),
        (splitbrain.Config, {"loss": "l2"}, "loss: expected one of classification, regression"),
        (
            splitbrain.Config,
            {"loss": "regression", "soft_targets": True},
            "soft_targets: .*regression has no bins",
        ),
        (
            splitbrain.Config,
            {"loss": "regression", "centres": "points.txt"},
            "centres: .*regression has no bins",
        ),
    ],
)
def test_settings_of_pixels(cls, options, message):
    refused(cls, options, message)


LAB = "method splitbrain: expected lightness and colour of Lab. Received: "


@pytest.mark.parametrize(
    "method, made, message",
    [
        (predictive.Predictive, ("simclr", {}), f"method predictive: {WHOLE}"),
        (predictive.Predictive, ("lab", {"num_views": 2}), "method predictive: expected 1 of an"),
        (splitbrain.SplitBrain, ("simclr", {}), f"method splitbrain: {WHOLE}"),
        (splitbrain.SplitBrain, ("lab", {"num_views": 2}), "method splitbrain: expected 1 of an"),
        (splitbrain.SplitBrain, ("ydbdr", {}), f"{LAB}ydbdr in groups 1,2.*--views=lab"),
        (splitbrain.SplitBrain, ("lab", {"color_groups": "1,1,1"}), f"{LAB}lab in groups 1,1,1"),
        (splitbrain.SplitBrain, ("lab", {"color_groups": "2,1"}), f"{LAB}lab in groups 2,1"),
    ],
)
def test_views_that_do_not_fit_methods_of_pixels(method, made, message):
    name, changes = made
    with pytest.raises(SettingsError, match=message):
        method.check_views(method.Config(), family(name, **changes))


def test_views_that_fit_methods_of_pixels():
    for method in (predictive.Predictive, splitbrain.SplitBrain):
        method.check_views(method.Config(), family("lab"))
    split = family("crop", color_split="yuv", color_groups="1,1,1")
    predictive.Predictive.check_views(predictive.Config(), split)
