"""Runs of view learning: two learning rates, labelled rows, what a stop and a start leave."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import seed_weights
from tests.training.short_runs import QUICK, SHORT, start
from tfssl import config, data, training, views
from tfssl.settings import SettingsError
from tfssl.training.optimizers import GroupedOptimizer

FLAGS = [
    *(flag for flag in SHORT if not flag.startswith(("--optimizer", "--lr"))),
    "--num_views=1",
    "--method=view_learning",
    "--view_learning_num_blocks=3",
    "--view_learning_projection_dim=16",
    "--optimizer=adam",
    "--lr=6e-4",
    "--lr_schedule=constant",
    "--weight_decay=0",
]
LABELLED = [
    *FLAGS,
    "--view_learning_objective=semi_supervised",
    "--labelled_records=40",
    "--labelled_batch_size=16",
]


@pytest.mark.slow
def test_the_first_steps_of_adam_are_the_learning_rates(tmp_path):
    """The first step of Adam moves a weight by the learning rate, whatever its gradient is."""
    experiment, _ = start(tmp_path, flags=LABELLED)
    assert experiment.plan.labelled_batch_size == 16 and experiment.plan.num_classes == 10
    batch = next(iter(experiment.own_batches(0)))
    assert batch["labelled"]["label"].shape == (16,) and "label" not in batch
    method = experiment.method
    assert isinstance(method.optimizer, GroupedOptimizer)
    batches = iter(experiment.batches(0))
    advance = method.make_train_function()
    for kind, rate in (("critics", 6e-4), ("generator", 2e-4)):
        variables = method.variables_in(kind)
        before = [v.numpy() for v in variables]
        advance(batches)
        moved = np.concatenate([np.ravel(np.abs(v - w)) for v, w in zip(variables, before)])
        # Where the gradient is much larger than Adam's epsilon.
        assert np.quantile(moved, 0.9) == pytest.approx(rate, rel=1e-2)
        assert moved.max() < 1.01 * rate
    assert [int(o.iterations) for o in method.optimizer.optimizers] == [1, 1]


@pytest.mark.slow
def test_a_run_in_two_parts_is_the_run(tmp_path):
    """Six steps, and the same from the checkpoint of the fourth."""
    seed_weights(3)
    experiment, run = start(tmp_path, flags=LABELLED)
    training.train(experiment, run)
    expected = [v.numpy() for v in experiment.method.variables]
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    # Every second step is the critics'; both have left a figure in each row.
    rows = [row for row in rows if "loss" in row]
    assert len(rows) == 3
    for row in rows:
        assert row["loss"] == pytest.approx((row["loss/1-2"] + row["loss/2-1"]) / 2, rel=1e-4)
        assert {"loss/critics", "loss/generator", "change", "accuracy/1"} <= set(row)

    shutil.rmtree(run.checkpoints / "step-0000000006")
    experiment, run = start(tmp_path, flags=LABELLED)
    training.train(experiment, run)
    for value, variable in zip(expected, experiment.method.variables):
        np.testing.assert_array_equal(value, variable.numpy())


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """A finished run of five steps of the critics and one of a generator with scales."""
    flags = [flag for flag in LABELLED if flag != "--nofinal_export"]
    more = ["--view_learning_flow=nvp", "--view_learning_critic_steps=5", "--log_every=1"]
    experiment, run = start(tmp_path_factory.mktemp("odd"), flags=[*flags, *more])
    training.train(experiment, run)
    return experiment, run


@pytest.mark.slow
def test_rows_leave_out_what_no_step_has_shown(odd_run):
    rows = [json.loads(line) for line in odd_run[1].metrics.read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    assert ["loss/critics" in row for row in rows] == [True] * 5 + [False]
    assert ["cross_entropy/1" in row for row in rows] == [False] * 5 + [True]


@pytest.mark.slow
def test_the_export_has_the_generator_inside(odd_run):
    experiment, run = odd_run
    encoder, family = experiment.method.evaluated_encoder, experiment.family
    loaded = tf.saved_model.load(str(run.backbone))
    assert len(loaded.trainable_variables) == len(encoder.trainable_variables)
    image = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    expected = encoder((image - np.float32(family.mean)) / np.float32(family.std), training=False)
    found = loaded.signatures["float"](images=tf.constant(image))["features"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("flag", ["--labelled_records=40", "--labelled_batch_size=16"])
@pytest.mark.parametrize("flags", [FLAGS, QUICK], ids=["view_learning", "simsiam"])
def test_flags_of_labelled_records_without_an_effect_are_refused(flags, flag):
    message = f"expected no flags of labelled records.*Received: {flag.split('=')[0]}"
    with pytest.raises(SettingsError, match=message):
        training.prepare(config.parse([*flags, flag])[0])


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--labelled_records=50000", "--labelled_records: expected at most .* Received: 50000"),
        ("--labelled_batch_size=64", "--labelled_batch_size: .* records, 40. Received: 64"),
        ("--accumulation=2", "--accumulation: expected 1 for method ViewLearning"),
    ],
)
def test_what_does_not_fit_is_refused(flag, message):
    with pytest.raises(SettingsError, match=message):
        training.prepare(config.parse([*LABELLED, flag])[0])


@pytest.mark.slow
def test_a_run_leaves_its_generator_for_others(tmp_path):
    """Its channels have mean 0 and deviation 1 on the training images; CMC trains on its views."""
    experiment, run = start(tmp_path / "first", flags=[*FLAGS, "--steps=2"])
    training.train(experiment, run)
    first, last = (
        tf.io.decode_png(path.read_bytes()).numpy().astype(int)
        for path in (run.views, run.learned_views)
    )
    # A column of crops, which stay the same, one in grey, and one in red and green.
    assert first.shape == last.shape == (8 * 34 + 2, 3 * 34 + 2, 3)
    np.testing.assert_array_equal(first[:, :36], last[:, :36])
    assert np.ptp(last[:, 36:68], axis=2).max() == 0 and np.ptp(last[2:34, 70:102]) > 20
    generator = tf.keras.models.load_model(run.generator, compile=False)
    family = views.build_from(experiment.config.views, family="eval")
    batches = data.evaluation_batches(experiment.train, family, batch_size=256, with_labels=False)
    seen = [batch["views"][0][batch["mask"]] for batch in batches]
    channels = [generator(images).numpy().reshape(-1, 3) for images in seen]
    channels = np.concatenate(channels).astype(np.float64)
    np.testing.assert_allclose(channels.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(channels.std(axis=0), 1, atol=1e-3)

    flags = [flag for flag in SHORT if flag != "--steps=6"]
    flags += ["--num_views=1", "--method=cmc", "--cmc_loss=in_batch", "--steps=2"]
    named = f"--cmc_generator={run.generator}"
    second, other = start(tmp_path / "second", flags=[*flags, named])
    assert second.method.num_views == 2
    result = training.train(second, other)
    assert tf.io.decode_png(other.views.read_bytes()).shape == (8 * 34 + 2, 3 * 34 + 2, 3)
    assert not other.learned_views.exists()
    assert np.isfinite(result["final"]["information/1-2"])
    with pytest.raises(SettingsError, match="--cmc_generator: expected the folder of a view gen"):
        training.prepare(config.parse([*flags, f"--cmc_generator={tmp_path}"])[0])
