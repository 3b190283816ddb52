"""Exported backbones: equal to evaluation view plus backbone, usable and trainable elsewhere."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones, export, views
from tfssl.export.encoder_copy import copy_encoder
from tfssl.export.preprocessing import preprocess
from tfssl.views import convert_color

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_backbone(channels=3):
    """A small functional stand-in with everything an export has to carry."""
    images = tf.keras.Input([None, None, channels])
    x = tf.keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(images)
    x = tf.keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="bn")(x)
    stem = tf.keras.layers.ReLU()(x)
    stage = tf.keras.layers.Conv2D(5, 3, padding="same", activation="relu")(stem)
    pooled = tf.keras.layers.GlobalAveragePooling2D(dtype="float32")(stage)
    model = tf.keras.Model(images, pooled, name="standin")
    model.stage_outputs = {"stem": stem, "stage1": stage}
    rng = fresh_rng()
    # Uneven statistics, so that training and inference mode give other numbers.
    bn = model.get_layer("bn")
    bn.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in bn.get_weights()])
    return model


def _evaluation_view(pixels, size, resize_to=None, interpolation="bicubic"):
    """The evaluation view of one uint8 image, as the view family makes it."""
    options = {"image_size": size, "eval_resize": resize_to, "interpolation": interpolation}
    family = views.build("eval", mean=MEAN, std=STD, xla=False, **options)
    key = tf.zeros([], tf.int64)
    crops = family.crop(tf.constant(pixels), key)
    (view,) = family.finish(tuple(c[tf.newaxis] for c in crops), key[tf.newaxis])
    return view[0].numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A backbone and where it was exported, shared by the tests that only read."""
    backbone = make_backbone()
    path = tmp_path_factory.mktemp("exported") / "b"
    return backbone, export.export_saved_model(backbone, path, image_size=24, mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported[1]))


@pytest.mark.parametrize("height, width", [(24, 24), (40, 31), (31, 40), (64, 63), (12, 17)])
def test_every_signature_equals_evaluation_view_plus_backbone(exported, loaded, height, width):
    backbone, _ = exported
    pixels = fresh_rng().integers(0, 256, (3, height, width, 3)).astype(np.uint8)
    floats = (pixels / 255.0).astype(np.float32)
    seen = np.stack([_evaluation_view(image, 24) for image in pixels])
    both = tf.keras.Model(backbone.inputs, [backbone.outputs[0], *backbone.stage_outputs.values()])
    features, stem, stage = (t.numpy() for t in both(seen, training=False))
    for name in ("serving_default", "uint8", "float", "stages_uint8", "stages_float"):
        images = floats if "float" in name else pixels
        found = loaded.signatures[name](images=tf.constant(images))
        np.testing.assert_allclose(found["features"], features, atol=1e-5)
        if "stages" in name:
            np.testing.assert_allclose(found["stem"], stem, atol=1e-5)
            np.testing.assert_allclose(found["stage1"], stage, atol=1e-5)
        else:
            assert set(found) == {"features"}


@pytest.mark.parametrize(
    "size, height, width, resize_to, interpolation",
    [
        (65, 65, 65, None, "bicubic"),
        (96, 130, 201, None, "bilinear"),
        (30, 45, 45, None, "bicubic"),
        (30, 40, 51, 40, "bilinear"),
        (20, 20, 30, 33, "bicubic"),
        (20, 20, 30, 33, "bilinear"),
    ],
)
def test_preprocessing_equals_the_evaluation_view(size, height, width, resize_to, interpolation):
    # Noise of full contrast makes bicubic kernels overshoot wherever they can.
    pixels = fresh_rng().choice([0, 255], (2, height, width, 3)).astype(np.uint8)
    images = tf.keras.Input([None, None, 3])
    resize = {"resize_to": resize_to, "interpolation": interpolation}
    symbolic = preprocess(images, image_size=size, mean=MEAN, std=STD, **resize)
    model = tf.keras.Model(images, symbolic)
    expected = np.stack([_evaluation_view(image, size, **resize) for image in pixels])
    found = model(pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_images_of_the_right_size_are_only_normalised():
    values = fresh_rng().uniform(size=(2, 20, 20, 3)).astype(np.float32)
    images = tf.keras.Input([None, None, 3])
    model = tf.keras.Model(images, preprocess(images, image_size=20, mean=MEAN, std=STD))
    expected = (values - np.float32(MEAN)) / np.float32(STD)
    np.testing.assert_allclose(model(values), expected, rtol=1e-6, atol=1e-7)


def test_it_compiles_with_xla(exported):
    model = tf.keras.models.load_model(exported[1], compile=False)
    images = tf.constant(fresh_rng().uniform(size=(2, 40, 31, 3)), tf.float32)
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(images), model(images, training=False), atol=1e-5)


ELSEWHERE = """
import sys
sys.modules["tfssl"] = None  # importing it raises ImportError
import numpy as np, tensorflow as tf
path, arrays = sys.argv[1:]
given = np.load(arrays)
saved = tf.saved_model.load(path)
np.testing.assert_allclose(
    saved.signatures["uint8"](images=tf.constant(given["images"]))["features"],
    given["features"], atol=1e-5)
floats = tf.constant(given["images"] / np.float32(255))
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(saved(floats, training=True) ** 2)
assert all(g is not None for g in tape.gradient(loss, saved.trainable_variables))
assert len(saved.trainable_variables) == given["trainable"]

encoder = tf.keras.models.load_model(path, compile=False)
assert len(encoder.trainable_variables) == given["trainable"]
np.testing.assert_allclose(encoder(floats, training=False), given["features"], atol=1e-5)
model = tf.keras.Sequential([encoder, tf.keras.layers.Dense(2)])
model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
before = [w.copy() for w in encoder.get_weights()]
model.fit(floats, np.arange(len(floats)) % 2, epochs=1, batch_size=len(floats), verbose=0)
assert all((a != b).any() for a, b in zip(before, encoder.get_weights())), "nothing trained"
maps = encoder.get_layer("backbone")(tf.zeros([1, 16, 16, 3]))
assert set(maps) == {"features", "stem", "stage1"}
try:
    encoder(floats * 255)
except tf.errors.InvalidArgumentError as error:
    assert "expected float images in [0, 1]" in str(error)
else:
    raise SystemExit("0..255 was accepted as float")
print("fine")
"""


def test_a_process_without_the_library_uses_and_fine_tunes_it(exported, tmp_path):
    backbone, path = exported
    images = fresh_rng().integers(0, 256, (4, 33, 30, 3)).astype(np.uint8)
    seen = np.stack([_evaluation_view(image, 24) for image in images])
    np.savez(
        tmp_path / "given.npz",
        images=images,
        features=backbone(seen, training=False),
        trainable=len(backbone.trainable_variables),
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(path), str(tmp_path / "given.npz")],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "fine", done.stderr[-2000:]


@pytest.mark.slow
def test_half_precision_becomes_float32(tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    half = make_backbone()
    path = export.export_saved_model(half, tmp_path / "b", image_size=24, mean=MEAN, std=STD)
    tf.keras.mixed_precision.set_global_policy("float32")
    full = make_backbone()
    full.set_weights(half.get_weights())
    images = fresh_rng().uniform(size=(2, 24, 24, 3)).astype(np.float32)
    expected = full((images - np.float32(MEAN)) / np.float32(STD), training=False)
    found = tf.saved_model.load(str(path)).signatures["float"](images=tf.constant(images))
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)


@pytest.mark.slow
def test_a_backbone_on_two_replicas_is_exported_and_not_changed(tmp_path, two_replicas):
    with two_replicas.scope():
        backbone = make_backbone()
    names, weights = [w.name for w in backbone.weights], backbone.get_weights()
    path = export.export_saved_model(backbone, tmp_path / "b", image_size=24, mean=MEAN, std=STD)
    assert backbone.name == "standin" and [w.name for w in backbone.weights] == names
    for before, after in zip(weights, backbone.get_weights()):
        np.testing.assert_array_equal(before, after)
    images = fresh_rng().uniform(size=(2, 24, 24, 3)).astype(np.float32)
    expected = backbone((images - np.float32(MEAN)) / np.float32(STD), training=False)
    found = tf.saved_model.load(str(path)).signatures["float"](images=tf.constant(images))
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)


def test_an_export_of_two_replicas_normalises_on_its_own(two_replicas):
    """Synchronised layers are slow on one device, and lose their guard when they are copied."""
    with two_replicas.scope():
        backbone = backbones.build("tiny", image_size=16)
    synchronised = [layer for layer in backbone.layers if getattr(layer, "synchronized", False)]
    assert synchronised
    copy = copy_encoder(backbone)
    assert not [layer for layer in copy.layers if getattr(layer, "synchronized", False)]


def test_page_and_description_say_what_the_model_takes(exported):
    _, path = exported
    assert isinstance(path, pathlib.Path)
    described = json.loads((path / "export.json").read_text())
    assert described["mean"] == list(MEAN) and described["std"] == list(STD)
    assert (described["image_size"], described["resize_to"], described["dim"]) == (24, 27, 5)
    assert described["stages"] == {"stem": [12, 12, 6], "stage1": [12, 12, 5]}
    page = (path / "README.md").read_text()
    for words in ("0.485, 0.456, 0.406", "`stages_float`", "[12, 12, 6]", "24 x 24", "[batch, 5]"):
        assert words in page


@pytest.mark.slow
def test_other_numbers_of_channels_and_no_stages(tmp_path):
    backbone = make_backbone(channels=1)
    del backbone.stage_outputs
    path = export.export_saved_model(
        backbone, str(tmp_path / "b"), image_size=24, mean=[0.5], std=[0.25]
    )
    images = fresh_rng().uniform(size=(2, 24, 24, 1)).astype(np.float32)
    found = tf.saved_model.load(str(path)).signatures["stages_float"](images=tf.constant(images))
    assert set(found) == {"features"}
    expected = backbone((images - 0.5) / 0.25, training=False)
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)


def test_a_backbone_of_the_library_is_exported(tmp_path):
    backbone = backbones.build("tiny", image_size=32)
    path = export.export_saved_model(backbone, tmp_path / "b", image_size=32, mean=MEAN, std=STD)
    images = fresh_rng().uniform(size=(2, 32, 32, 3)).astype(np.float32)
    maps = tf.keras.Model(backbone.inputs, backbone.stage_outputs)
    expected = maps((images - np.float32(MEAN)) / np.float32(STD), training=False)
    loaded = tf.saved_model.load(str(path))
    found = loaded.signatures["stages_float"](images=tf.constant(images))
    assert set(found) == {"features", *expected}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    assert len(loaded.trainable_variables) == len(backbone.trainable_variables)


def test_colours_are_converted_inside(tmp_path):
    """RGB in; the page and the description say what the backbone sees."""
    backbone, numbers = make_backbone(), {"mean": (50, 6, -7), "std": (50, 92, 101)}
    path = export.export_saved_model(
        backbone, tmp_path / "b", image_size=24, color="lab", **numbers
    )
    pixels = fresh_rng().integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    lab = convert_color(pixels, "lab").numpy()
    seen = (lab - np.float32(numbers["mean"])) / np.float32(numbers["std"])
    found = tf.saved_model.load(str(path)).signatures["uint8"](images=tf.constant(pixels))
    expected = backbone(seen, training=False)
    np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-4)
    assert json.loads((path / "export.json").read_text())["color"] == "lab"
    assert "RGB becomes lab" in (path / "README.md").read_text()


class _Custom(tf.keras.layers.Layer):
    def call(self, inputs):
        return tf.reduce_mean(inputs, [1, 2])


def _with_custom_layer():
    images = tf.keras.Input([None, None, 3])
    return tf.keras.Model(images, _Custom()(images))


@pytest.mark.parametrize(
    "backbone, arguments, words",
    [
        (make_backbone, {"mean": (0.5,)}, "3 numbers each"),
        (make_backbone, {"std": (0.2, 0.2, 0.0)}, r"std=\[0.2, 0.2, 0.0\]"),
        (make_backbone, {"mean": (0.5, 0.5, np.nan)}, "nan"),
        (make_backbone, {"image_size": 0}, "image_size=0"),
        (make_backbone, {"resize_to": 23}, "resize_to=23"),
        (make_backbone, {"color": "cie"}, "color='cie'"),
        (make_backbone, {"interpolation": "nearest"}, "interpolation='nearest'"),
        (
            lambda: make_backbone(channels=1),
            {"mean": (0.5,), "std": (0.2,), "color": "lab"},
            "1 channels, color=lab",
        ),
        (_with_custom_layer, {}, "_Custom"),
        (lambda: tf.keras.Sequential([tf.keras.layers.Dense(3)]), {}, "functional"),
        (lambda: _Custom(), {}, "functional"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, backbone, arguments, words):
    options = {"image_size": 24, "mean": MEAN, "std": STD, **arguments}
    with pytest.raises(ValueError, match=words):
        export.export_saved_model(backbone(), tmp_path / "b", **options)
    assert not any(tmp_path.iterdir())
