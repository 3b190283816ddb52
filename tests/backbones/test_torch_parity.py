"""The same weights give the same features, maps, gradients and statistics as in PyTorch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones
from tfssl.backbones import builder, resnet

torch = pytest.importorskip("torch")

from tests.backbones.torch_resnet import Basic, Bottleneck, ResNet, randomise  # noqa: E402

# Our arguments, and those of the reference.
CASES = {
    "resnet18_imagenet": (
        dict(name="resnet18", width=0.25),
        dict(block=Basic, depths=(2, 2, 2, 2)),
    ),
    "resnet18_cifar": (
        dict(name="resnet18", width=0.25, stem="cifar"),
        dict(block=Basic, depths=(2, 2, 2, 2), stem="cifar"),
    ),
    "resnet34_two_channels": (
        dict(name="resnet34", width=0.125, stem="cifar_stride2", channels=2),
        dict(block=Basic, depths=(3, 4, 6, 3), stem="cifar_stride2", channels=2),
    ),
    "resnet50": (dict(name="resnet50", width=0.25), dict(block=Bottleneck, depths=(3, 4, 6, 3))),
    "resnext": (
        dict(name="resnext_shallow", width=0.125),
        dict(block=Bottleneck, depths=(1, 1, 1, 1), groups=32, base=8),
    ),
}
SIZE = 45  # odd maps on the way down show a padding on the wrong side


@pytest.fixture
def shallow_resnext(monkeypatch):
    row = resnet.Architecture((1, 1, 1, 1), groups=32, group_width=8)
    monkeypatch.setitem(resnet.ARCHITECTURES, "resnext_shallow", row)
    monkeypatch.setattr(builder, "NAMES", builder.NAMES + ("resnext_shallow",))


def _pair(case, dtype):
    ours, theirs = CASES[case]
    generator = torch.Generator().manual_seed(20221107)
    module = ResNet(width=round(64 * ours["width"]), **theirs)
    module = randomise(module, generator).to(getattr(torch, dtype))
    model = backbones.build(image_size=SIZE, **ours)
    backbones.load_torch_state(model, {k: v.numpy() for k, v in module.state_dict().items()})
    return model, module


def _images(case, dtype, batch=3):
    channels = CASES[case][0].get("channels", 3)
    return fresh_rng().normal(size=(batch, SIZE, SIZE, channels)).astype(dtype)


def _to_torch(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def _assert_close(ours, theirs, tolerance):
    scale = max(np.abs(theirs).max(), 1e-3)
    np.testing.assert_allclose(np.asarray(ours) / scale, theirs / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_features_maps_and_gradients_in_float64(case, training, shallow_resnext, float64):
    model, module = _pair(case, "float64")
    module.train(training)
    images = _images(case, "float64")
    weights = fresh_rng().normal(size=(len(images), model.feature_dim))

    reference = module(_to_torch(images))
    (reference * torch.from_numpy(weights)).sum().backward()
    everything = tf.keras.Model(model.inputs, {"pooled": model.output, **model.stage_outputs})
    with tf.GradientTape() as tape:
        outputs = everything(images, training=training)
        loss = tf.reduce_sum(outputs["pooled"] * weights)
    gradients = tape.gradient(loss, model.trainable_variables)

    _assert_close(outputs["pooled"], reference.detach().numpy(), 1e-9)
    for name, theirs in zip(model.stage_outputs, module.maps):
        _assert_close(outputs[name], theirs.detach().numpy().transpose(0, 2, 3, 1), 1e-9)
    by_name = {variable.ref(): g for variable, g in zip(model.trainable_variables, gradients)}
    for name, parameter in module.named_parameters():
        layer, part = name.rsplit(".", 1)
        layer = model.get_layer(layer)
        variable = layer.beta if part == "bias" else getattr(layer, "kernel", None)
        variable = layer.gamma if variable is None else variable
        ours = by_name[variable.ref()].numpy()
        ours = ours.transpose(3, 2, 0, 1) if ours.ndim == 4 else ours
        _assert_close(ours, parameter.grad.numpy(), 1e-9)


@pytest.mark.parametrize("case", ["resnet18_imagenet", "resnext"])
def test_running_statistics_follow_pytorch_in_float32(case, shallow_resnext):
    model, module = _pair(case, "float32")
    module.train()
    for _ in range(2):
        images = _images(case, "float32")
        features = model(images, training=True)
        reference = module(_to_torch(images)).detach().numpy()
        _assert_close(features, reference, 1e-4)
    theirs = {k: v for k, v in module.state_dict().items() if "running" in k}
    ours = backbones.torch_state(model)
    assert len(theirs) == 2 * sum(name.endswith("running_var") for name in ours)
    for name, value in theirs.items():
        _assert_close(ours[name], value.numpy(), 1e-4)


def test_state_has_the_names_and_values_of_the_module():
    model, module = _pair("resnet50", "float32")
    theirs = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    ours = backbones.torch_state(model)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value.numpy())


@pytest.mark.parametrize("groups", [1, 4])
def test_initial_spread_is_that_of_kaiming_normal(groups):
    kernel = torch.empty(256, 128 // groups, 3, 3)
    torch.nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
    inputs = tf.keras.Input((8, 8, 128))
    from tfssl.backbones.convolution import convolution

    layer = tf.keras.Model(inputs, convolution(inputs, 256, 3, groups=groups, name="c")).layers[-1]
    assert layer.kernel.shape == (3, 3, 128 // groups, 256)
    assert np.std(layer.kernel.numpy()) == pytest.approx(float(kernel.std()), rel=0.03)
