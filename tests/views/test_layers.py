"""What all view layers promise, over the registry."""

import keras_cv
import numpy as np
import pytest
import tensorflow as tf

import tfssl.views as views
from tests.random_inputs import fresh_rng
from tfssl.ops import fold_key

# One example of each layer; a layer without one fails below.
EXAMPLES = {
    "RandomResizedCrop": {"size": 8},
    "RandomCrop": {"size": 5},
    "PatchPair": {"size": 4, "patch": 1, "distance": 3},
    "CentreCrop": {"size": 8, "interpolation": "bicubic", "resize_to": 12},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "ColorConversion": {"space": "ydbdr"},
    "Grayscale": {},
    "Solarize": {"threshold": 100},
    "GaussianBlur": {"sigma": (0.5, 1.5), "window": 5},
    "HorizontalFlip": {},
    "Rotation": {"degrees": 30.0},
    "RandAugment": {"operations": ("Rotate", "Sharpness", "ShearX"), "fill": (255, 0, 10)},
    "Levels": {},
    "FrequencySplit": {"sigma": 0.7},
    "Normalize": {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)},
}
RANDOM = ["ColorJitter", "Grayscale", "Solarize", "GaussianBlur", "HorizontalFlip", "Rotation"]


# A layer that changes the number of channels cannot leave an image alone.
ALWAYS = ("FrequencySplit",)


def make(name, **extra):
    if name in ALWAYS:
        extra.pop("probability", None)
    return getattr(views, name)(**EXAMPLES[name], **extra)


def inputs(count=12, size=11):
    images = fresh_rng().random((count, size, size + 2, 3)).astype(np.float32)
    return {"images": tf.constant(images), "keys": fold_key(1, tf.range(count))}


def test_every_layer_has_an_example_and_keras_cvs_base():
    concrete = {c.__name__ for c in views.VIEW_LAYERS} - {"Crop"}
    assert concrete == set(EXAMPLES)
    for layer in views.VIEW_LAYERS:
        assert issubclass(layer, keras_cv.layers.VectorizedBaseImageAugmentationLayer)


@pytest.mark.parametrize("name", EXAMPLES)
def test_same_key_same_result_in_any_batch(name):
    layer, batch = make(name, probability=0.6), inputs()
    whole = layer(batch)["images"].numpy()
    order = fresh_rng().permutation(12)
    shuffled = layer({k: tf.gather(v, order) for k, v in batch.items()})["images"].numpy()
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-6)
    part = layer({k: v[3:5] for k, v in batch.items()})["images"].numpy()
    np.testing.assert_allclose(part, whole[3:5], atol=1e-6)
    single = layer({k: v[7] for k, v in batch.items()})["images"].numpy()
    np.testing.assert_allclose(single, whole[7], atol=1e-6)
    compiled = tf.function(lambda b: layer(b)["images"], jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(batch), whole, atol=1e-5)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("probability", [0.0, 0.2, 0.8, 1.0])
def test_rate_of_firing_and_untouched_images(name, probability):
    """Over 2,000 draws within four standard deviations; the rest comes back bit for bit."""
    count = 2000
    images = fresh_rng().random((1, 3, 4, 3)).astype(np.float32)
    images = np.repeat(images, count, 0)
    layer = make(name, probability=probability, stream=4)
    run = tf.function(lambda x, k: layer({"images": x, "keys": k})["images"], autograph=False)
    result = run(images, fold_key(7, tf.range(count))).numpy()
    fired = (result != images).any(axis=(1, 2, 3)).sum()
    bound = 4 * np.sqrt(count * probability * (1 - probability))
    assert abs(fired - count * probability) <= bound


@pytest.mark.parametrize("name", ["ColorJitter", "GaussianBlur", "RandomResizedCrop"])
def test_keys_and_streams_give_different_results(name):
    batch = inputs(2)
    batch["images"] = tf.repeat(batch["images"][:1], 2, axis=0)
    one, other = make(name)(batch)["images"].numpy()
    assert np.abs(one - other).max() > 1e-3
    streamed = make(name, stream=1)(batch)["images"].numpy()
    assert np.abs(streamed[0] - one).max() > 1e-3


@pytest.mark.parametrize("name", EXAMPLES)
def test_config_round_trip(name):
    layer = make(name, probability=0.5, stream=9)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    batch = inputs(3)
    np.testing.assert_array_equal(again(batch)["images"], layer(batch)["images"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_float32_under_a_mixed_policy_and_other_entries_pass(name):
    batch = {
        **inputs(3),
        "index": tf.constant([5, 6, 7], tf.int64),
        "label": tf.constant([1, 2, 3]),
    }
    expected = make(name)(batch)["images"]
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    result = make(name)(batch)
    assert result["images"].dtype == tf.float32
    np.testing.assert_array_equal(result["images"], expected)
    assert set(result) == set(batch)
    for key in ("keys", "index", "label"):
        np.testing.assert_array_equal(result[key], batch[key])
        assert result[key].dtype == batch[key].dtype


def test_flip_and_normalize_are_numpys():
    batch = inputs(3)
    images = batch["images"].numpy()
    np.testing.assert_array_equal(make("HorizontalFlip")(batch)["images"], images[:, :, ::-1])
    expected = (images - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.4])
    np.testing.assert_allclose(make("Normalize")(batch)["images"], expected, atol=1e-5)


def test_images_without_keys_are_refused():
    with pytest.raises(ValueError, match="expected {'images', 'keys', ...}. Received: "):
        make("Grayscale")(tf.zeros([2, 4, 4, 3]))


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_bad_probability_is_refused(probability):
    with pytest.raises(ValueError, match=r"expected a probability in \[0, 1\]. Received: "):
        make("Grayscale", probability=probability)


def test_bad_statistics_are_refused():
    with pytest.raises(ValueError, match="Normalize: expected .* Received: "):
        views.Normalize(mean=(0.5,), std=(0.0,))
