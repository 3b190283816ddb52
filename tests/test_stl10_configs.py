"""The configs of STL-10 with the networks of the paper, at their full size."""

import pathlib

import numpy as np
import pytest

from tfssl import config, methods, views

ROOT = pathlib.Path(__file__).parents[1]
# Unlabelled and training images of tensorflow-datasets' stl10.
RECORDS = 105_000
# Of half an AlexNet with a linear head of 64, for one channel and for two: section 4.2.
HALVES = (14_678_224, 14_678_656)
HEAD = 64 * (2048 + 1)
# Kernel and channels of half a network of crops, and its head.
CROPS = ((3, 48), (3, 96), (3, 192), (3, 192), (3, 96), (3, 96), (1, 96))
CROPS_HEAD = 64 * (96 + 1)


def crops_parameters(channels):
    """Kernels without bias, and two numbers a channel for its normalisation."""
    before = [channels, *(depth for _, depth in CROPS)]
    return sum(k * k * b * depth + 2 * depth for (k, depth), b in zip(CROPS, before))


# Of each view its encoder with its head; SplitBrain has no head of that kind.
PARAMETERS = {
    "cmc_nce": HALVES,
    "cmc_patch": HALVES,
    "cmc_crops": [crops_parameters(channels) + CROPS_HEAD for channels in (1, 2)],
    "splitbrain": [parameters - HEAD for parameters in HALVES],
    # A channel more in the first layer, 3 x 3 x 48 weights, than two have.
    "cmc_frequency": [HALVES[1] + 432] * 2,
}
# Of each view; of others lightness and colour.
CHANNELS = {"cmc_frequency": (3, 3)}


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def build(name, monkeypatch):
    """The method of a config with its own networks, and what it is planned for."""
    monkeypatch.chdir(ROOT)
    wanted = config.read_flagfile(f"configs/stl10/{name}.cfg")
    family = views.build_from(wanted.views)
    plan = methods.Plan(
        wanted.training.batch_size,
        steps_per_epoch=RECORDS // wanted.training.batch_size,
        total_steps=RECORDS,
        num_records=RECORDS,
        view_channels=family.channels,
        view_size=family.sizes[0],
    )
    cls = methods.get(wanted.training.method)
    cls.check_views(wanted.method, family)
    cls.check_plan(wanted.method, plan)
    method = cls(
        wanted.method,
        plan,
        lambda **more: wanted.backbone.build(image_size=min(family.sizes), **more),
    )
    return method, plan


def test_every_config_has_its_numbers():
    found = {path.stem for path in (ROOT / "configs" / "stl10").glob("*.cfg")}
    # View learning has a generator in front: see its own tests.
    assert found - {"view_learning", "view_learning_semi"} == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_networks(name, monkeypatch):
    """Property 15: the networks of section 4.2 as the configs of Table 7 build them."""
    method, plan = build(name, monkeypatch)
    assert plan.view_size == 64 and plan.view_channels == CHANNELS.get(name, (1, 2))
    if name == "splitbrain":
        parts = [part.trainable_variables for part in method.evaluated_encoder.parts]
    else:
        parts = [network.trainable_variables for network in method.views.networks]
        assert [network.output_shape[-1] for network in method.views.networks] == [64, 64]
    assert [count(part) for part in parts] == list(PARAMETERS[name])
    encoder = method.evaluated_encoder
    assert encoder.feature_dim == (192 if name == "cmc_crops" else 4096)
    if name == "cmc_patch":
        # 192 channels a place.
        places = [head.trainable_variables for head in method.contrast.place_heads]
        assert [count(part) for part in places] == [64 * (192 + 1)] * 2
    if name == "cmc_nce":
        assert method.contrast.bank.features.shape == (RECORDS, 2, 64)
