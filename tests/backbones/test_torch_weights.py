"""Weights under torchvision's names: exact round trip, and errors that name what is wrong."""

import re

import numpy as np
import pytest

from tests.random_inputs import fresh_rng, normal
from tfssl import backbones


def _model(name="resnet18", **options):
    options = {"image_size": 64, "width": 0.125, **options}
    return backbones.build(name, **options)


@pytest.fixture(scope="module")
def state():
    return backbones.torch_state(_model())


def test_round_trip_is_exact_and_gives_the_same_function(state):
    random = fresh_rng()
    given = {
        name: random.uniform(0.5, 1.5, value.shape).astype(np.float32)
        for name, value in state.items()
    }
    first, second = _model(), _model()
    backbones.load_torch_state(first, given)
    out = backbones.torch_state(first)
    assert list(out) == list(state)
    for name, value in given.items():
        np.testing.assert_array_equal(out[name], value)
        assert out[name].dtype == np.float32 and out[name].flags.c_contiguous
    backbones.load_torch_state(second, out)
    images = normal([2, 64, 64, 3])
    np.testing.assert_array_equal(first(images), second(images))


def test_kernels_are_transposed_element_by_element():
    model = _model("tiny")
    kernel = model.get_layer("conv1").kernel.numpy()
    array = backbones.torch_state(model)["conv1.weight"]
    for h, w, i, o in [(0, 0, 0, 0), (6, 1, 2, 0), (1, 5, 0, 0)]:
        assert array[o, i, h, w] == kernel[h, w, i, o]


def test_classifier_and_counters_are_ignored(state):
    extra = {"fc.weight": np.ones([10, 256]), "fc.bias": np.ones(10)}
    counters = {"bn1.num_batches_tracked": np.array(7)}
    model = _model()
    backbones.load_torch_state(model, {**state, **extra, **counters})
    np.testing.assert_array_equal(
        backbones.torch_state(model)["layer3.1.conv2.weight"], state["layer3.1.conv2.weight"]
    )


def test_wider_floats_are_accepted(state):
    model = _model()
    backbones.load_torch_state(model, {k: v.astype(np.float64) for k, v in state.items()})
    np.testing.assert_array_equal(
        backbones.torch_state(model)["conv1.weight"], state["conv1.weight"]
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("bn1.bias"), "1 missing (bn1.bias)"),
        (
            lambda s: [s.pop(k) for k in list(s) if k.startswith("layer4")],
            "25 missing (layer4.0.conv1.weight, ",
        ),
        (lambda s: s.update({"layer5.0.w": np.ones(1)}), "1 unexpected (layer5.0.w)"),
        (
            lambda s: s.update({"conv1.weight": np.ones([8, 1, 7, 7])}),
            "1 of another shape (conv1.weight (8, 1, 7, 7), expected (8, 3, 7, 7))",
        ),
        (
            lambda s: s.update({"module.bn1.bias": s.pop("bn1.bias")}),
            "1 missing (bn1.bias); 1 unexpected (module.bn1.bias)",
        ),
    ],
)
def test_errors_name_the_arrays_and_write_nothing(change, message, state):
    model = _model()
    before = backbones.torch_state(model)
    given = {name: value + 1 for name, value in state.items()}
    change(given)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        backbones.load_torch_state(model, given)
    assert len(str(raised.value)) < 400
    for name, value in backbones.torch_state(model).items():
        np.testing.assert_array_equal(value, before[name])
