"""CMC on the views of a frozen generator: InfoMin's sheet, section 3.5, "after view learning"."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.random_inputs import fresh_rng, seed_weights
from tfssl import backbones, export, layers, methods, views
from tfssl.methods import _generator
from tfssl.settings import SettingsError
from tfssl.training import SGD

OUTPUT = {"output_mean": (0.1, -0.2, 0.3), "output_std": (0.5, 1.5, 2.0)}
IMAGES = {"color": "rgb", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture
def exported(tmp_path):
    """A generator of random weights, and where it has been written."""
    flow = layers.CouplingFlow("nvp", num_blocks=3)
    rng = fresh_rng()
    for weight in flow.trainable_weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    path = export.export_generator(flow.functional(), tmp_path / "generator", **IMAGES, **OUTPUT)
    return flow, str(path)


def build(path, **settings):
    seed_weights(0)
    plan = harness.make_plan(view_channels=(3,))
    method = methods.get("cmc")(
        harness.small_settings("cmc", generator=path, **settings),
        plan,
        lambda **options: backbones.build("tiny", image_size=harness.SIZE, **options),
    )
    method.compile(optimizer=SGD(0.1), run_eagerly=True)
    return method


def made(flow, images):
    """Standardised channels, in NumPy behind the flow."""
    return (flow(images).numpy() - OUTPUT["output_mean"]) / np.array(OUTPUT["output_std"])


def test_views_are_channels_of_what_the_generator_makes(exported):
    flow, path = exported
    method = build(path, loss="in_batch")
    images = harness.make_batch("cmc", channels=(3,))["views"]
    one, two = method.made_views(images)
    np.testing.assert_allclose(tf.concat([one, two], -1), made(flow, images[0]), atol=1e-4)
    assert (one.shape[-1], two.shape[-1]) == (1, 2)
    encoders = method.views.encoders
    expected = np.concatenate([e(v, training=False) for e, v in zip(encoders, (one, two))], axis=1)
    found = method.evaluated_encoder(images[0], training=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    fresh = method.fresh_encoder(lambda **o: backbones.build("tiny", image_size=16, **o))
    assert fresh(images[0], training=False).shape == found.shape


@pytest.mark.parametrize("settings", [{"loss": "in_batch"}, {}])
def test_the_generator_stays_as_it_is(exported, settings):
    """Property 28: after freezing, g's weights do not change; the encoders' do."""
    flow, path = exported
    method = build(path, **settings)
    before = [w.numpy() for w in method.generator.weights]
    encoders = [w.numpy() for w in method.views.trainable_variables]
    assert len(before) == len(flow.weights)
    assert not {w.ref() for w in method.generator.weights} & {
        v.ref() for v in method.trainable_variables
    }
    logs = harness.step(method, harness.make_batch("cmc", channels=(3,)), times=2)
    assert np.isfinite(list(logs.values())).all() and {"loss/1-2", "loss/2-1"} < set(logs)
    for value, weight in zip(before, method.generator.weights):
        np.testing.assert_array_equal(value, weight)
    assert any((v != w.numpy()).any() for v, w in zip(encoders, method.views.trainable_variables))


def test_an_export_has_the_generator_inside(exported, tmp_path):
    flow, path = exported
    method = build(path, loss="in_batch")
    folder = export.export_saved_model(
        method.evaluated_encoder,
        tmp_path / "backbone",
        image_size=harness.SIZE,
        mean=IMAGES["mean"],
        std=IMAGES["std"],
    )
    pixels = fresh_rng().random((2, harness.SIZE, harness.SIZE, 3)).astype(np.float32)
    loaded = tf.saved_model.load(str(folder)).signatures["float"](images=tf.constant(pixels))
    seen = (pixels - np.float32(IMAGES["mean"])) / np.float32(IMAGES["std"])
    expected = method.evaluated_encoder(seen, training=False)
    np.testing.assert_allclose(loaded["features"], expected, atol=1e-4)


def test_two_crops_for_a_queue(exported):
    method = build(exported[1], memory="queue", num_negatives=20)
    batch = harness.make_batch("cmc", channels=(3, 3))
    assert np.isfinite(harness.step(method, batch)["loss"])


def test_images_must_be_those_of_the_generator(exported, tmp_path):
    cmc, path = methods.get("cmc"), exported[1]
    settings = cmc.Config(generator=path)
    whole = views.build("lab", image_size=16, color_split="rgb", color_groups="3")
    cmc.check_views(settings, whole)
    with pytest.raises(SettingsError, match="generator: expected images .* rgb .* Received: lab"):
        cmc.check_views(settings, views.build("lab", image_size=16, color_groups="3"))
    with pytest.raises(SettingsError, match="expected 1 whole images .*--color_groups=3"):
        cmc.check_views(settings, views.build("lab", image_size=16))
    with pytest.raises(SettingsError, match="expected 2 whole images"):
        cmc.check_views(dataclasses.replace(settings, memory="queue"), whole)
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(SettingsError, match="generator: expected the folder of a view gener"):
            _generator.load_generator(str(missing))
    with pytest.raises(SettingsError, match="share_encoders: expected no value"):
        cmc.Config(generator=path, share_encoders=True)


def test_an_export_says_what_it_is_for(exported, tmp_path):
    found = json.loads((tmp_path / "generator" / "export.json").read_text())
    assert found["color"] == "rgb" and found["output_std"] == list(OUTPUT["output_std"])
    with pytest.raises(ValueError, match="three positive deviations"):
        bad = {**OUTPUT, "output_std": (1.0, 0.0, 1.0)}
        flow = layers.CouplingFlow(num_blocks=3)
        export.export_generator(flow.functional(), tmp_path / "other", **IMAGES, **bad)
