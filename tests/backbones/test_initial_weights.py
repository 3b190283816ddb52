"""Initial weights: their distribution, and that no two tensors share their values."""

import numpy as np
import pytest

from tfssl import backbones


@pytest.fixture(scope="module")
def model():
    return backbones.build("resnet18", image_size=32, stem="cifar")


@pytest.mark.parametrize("name", ["layer1.0.conv1", "layer4.1.conv2", "layer3.0.downsample.0"])
def test_convolutions_are_untruncated_normal_of_the_fan_out(model, name):
    kernel = model.get_layer(name).kernel.numpy()
    deviation = np.sqrt(2 / (kernel.shape[0] * kernel.shape[1] * kernel.shape[3]))
    assert kernel.std() == pytest.approx(deviation, rel=0.03)
    # A normal truncated at two deviations has none beyond; 4.6 % of an untruncated one are.
    assert np.mean(np.abs(kernel) > 2 * deviation) == pytest.approx(0.0455, abs=0.006)


def test_small_stem_is_uniform_of_the_fan_in(model):
    kernel = model.get_layer("conv1").kernel.numpy()
    bound = 1 / np.sqrt(27)
    assert 0.97 * bound < np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_imagenet_stem_is_normal():
    kernel = backbones.build("tiny", image_size=32, stem_channels=64).get_layer("conv1").kernel
    assert kernel.numpy().std() == pytest.approx(np.sqrt(2 / (49 * 64)), rel=0.05)


def test_tensors_of_one_shape_start_different(model):
    state = backbones.torch_state(model)
    kernels = [value for value in state.values() if value.shape == (64, 64, 3, 3)]
    assert len(kernels) == 4
    assert len({kernel.tobytes() for kernel in kernels}) == 4


def test_normalisation_constants(model):
    layer = model.get_layer("layer2.0.bn1")
    assert layer.epsilon == 1e-5 and layer.momentum == 0.9
    assert np.all(layer.gamma.numpy() == 1) and np.all(layer.beta.numpy() == 0)
    assert np.all(layer.moving_mean.numpy() == 0) and np.all(layer.moving_variance.numpy() == 1)
