"""A run whose views are channels of an image: trained, judged in parts, handed over."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import seed_weights
from tests.training.short_runs import SHORT, start
from tfssl import config, training
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError

pytestmark = pytest.mark.slow
FLAGS = [
    *(flag for flag in SHORT if flag not in ("--views=digits", "--nofinal_export")),
    "--views=lab",
    "--method=cmc",
    "--cmc_num_negatives=64",
    "--cmc_projection_dim=16",
    "--cmc_bank_start=embeddings",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The finished run, restored as tools/evaluate.py restores it."""
    seed_weights(1)
    experiment, run = start(tmp_path_factory.mktemp("several"), flags=FLAGS)
    training.train(experiment, run)
    return training.restore(config.read_run(run), run)[0], run


def judge(experiment, **settings):
    if settings.get("protocol") != "information":
        settings["max_train_records"] = 256
    return training.evaluate(experiment, EvaluationConfig(**settings))


def test_what_it_leaves(run):
    _, directory = run
    result = json.loads(directory.result.read_text())
    assert {"loss/1-2", "information/2-1", "positive/1-2"} <= set(result["final"])
    picture = tf.io.decode_png(directory.views.read_bytes()).numpy()
    # The first view is drawn in grey, the second is not.
    first = picture[2:34, 2:34].astype(int)
    second = picture[2:34, 36:68].astype(int)
    assert np.ptp(first, axis=2).max() == 0 and np.ptp(second, axis=2).max() > 20


def test_views_and_layers_are_judged_apart(run):
    experiment, _ = run
    whole, one, two = (judge(experiment, view=view)["trained"] for view in (None, 1, 2))
    assert whole["dim"] == one["dim"] + two["dim"]
    layer = judge(experiment, layer="stage1", view=2)["trained"]
    assert layer["dim"] > two["dim"]
    with pytest.raises(SettingsError, match="--layer: expected one of stem, stage1"):
        judge(experiment, layer="conv5")
    with pytest.raises(SettingsError, match="--view: expected the number of one of 2 views"):
        judge(experiment, view=3)


def test_embeddings_are_judged(run):
    """Layer 7 of section 4.2: what the head makes of the features, of all views and of one."""
    experiment, _ = run
    whole, one = (judge(experiment, layer="embedding", view=view)["trained"] for view in (None, 2))
    assert (whole["dim"], one["dim"]) == (32, 16)
    found = judge(experiment, layer="embedding", view=2, baselines=True)
    assert found["trained"] == one and found["untrained"]["dim"] == 16
    assert found["untrained"]["top1"] != one["top1"]
    images = tf.random.stateless_uniform([5, 32, 32, 3], [0, 1])
    method = experiment.method
    rows = method.embedding_network(images, training=False)
    parts = tf.split(images, [1, 2], axis=-1)
    for row, network, part in zip(tf.split(rows, 2, axis=1), method.views.networks, parts):
        np.testing.assert_allclose(row, network(part, training=False), atol=1e-5)


def test_a_method_without_a_head_has_no_embedding(tmp_path):
    kept = [flag for flag in FLAGS if "cmc" not in flag]
    experiment, _ = start(tmp_path, flags=[*kept, "--method=predictive"])
    with pytest.raises(SettingsError, match="predictive has no head.*Received: embedding"):
        judge(experiment, layer="embedding")


def test_other_data_may_judge(run, tmp_path):
    experiment, _ = run
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for label, level in (("dark", 40), ("light", 200)):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(level - 20, level + 20, [24, 24, 3], dtype=np.uint8)
                (folder / f"{i}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    found = judge(experiment, labelled_dataset=f"folder:{tmp_path}", k=3)["trained"]
    assert (found["num_train"], found["num_test"], found["num_classes"]) == (12, 6, 2)


def test_the_information_of_its_views(run):
    experiment, _ = run
    options = {"protocol": "information", "information_steps": 10, "information_width": 0.05}
    found = judge(experiment, **options)["views"]
    assert np.isfinite(found["estimate"])
    assert (found["critic"], found["steps"], found["batch_size"]) == ("images", 10, 256)
    assert found["first_shape"][-1] == 1 and found["second_shape"][-1] == 2
    turned = judge(experiment, information_views="2,1", **options)["views"]
    assert turned["first_shape"][-1] == 2 and turned["second_shape"][-1] == 1
    with pytest.raises(SettingsError, match="expected numbers up to 2, .*Received: 1,3"):
        judge(experiment, information_views="1,3", **options)


def test_the_export_takes_rgb(run):
    """Colours are converted inside: the features are those of evaluation."""
    experiment, directory = run
    exported = tf.saved_model.load(str(directory.backbone))
    index = tf.range(8, dtype=tf.int64)
    images = experiment.train.load_batch(index)
    found = exported.signatures["uint8"](images=images)["features"]
    features = training.Extractor(experiment)(
        experiment.method.evaluated_encoder, experiment.train, with_labels=False
    )
    np.testing.assert_allclose(found, features.features[:8], rtol=1e-3, atol=1e-4)
    described = json.loads((pathlib.Path(directory.backbone) / "export.json").read_text())
    assert described["color"] == "lab" and described["channels"] == 3
