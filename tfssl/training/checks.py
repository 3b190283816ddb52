"""What settings need of each other and of the data, and the sizes of the run that follow."""

from typing import Callable, Optional

from tfssl import data, methods, views
from tfssl.settings import SettingsError, flags_named
from tfssl.training.optimizers import learning_rate_at
from tfssl.training.settings import ExperimentConfig


def check(config: ExperimentConfig, family: views.ViewFamily) -> None:
    """Everything that can be known of settings without data, devices and networks.

    Args:
        config: the settings.
        family: the view family of training, `views.build_from(config.views)`.

    Raises:
        SettingsError: settings that do not fit each other.
    """
    method_class = methods.get(config.training.method)
    _check_accumulation(method_class, config.training.accumulation)
    _check_clips(config.data, family)
    method_class.check_clips(family)
    with flags_named(f"{config.training.method}_"):
        method_class.check_views(config.method, family)
        method_class.check_patches(config.method, family.patch_size)
    given = {
        "--labelled_records": config.data.labelled_records,
        "--labelled_batch_size": config.training.labelled_batch_size,
    }
    method_class.check_labelled(config.method, [f for f, v in given.items() if v is not None])


def check_sizes(
    config: ExperimentConfig, family: views.ViewFamily, train: data.Source
) -> methods.Plan:
    """The sizes of a run on its training records.

    Raises:
        SettingsError: clips of another size than the views, a batch larger than the data, a
            schedule that does not fit the run, or more clusters than images.
    """
    if family.clips and train.image_shape[0] != family.sizes[0]:
        raise SettingsError(
            f"--image_size: expected {train.image_shape[0]}, the side of the clips of "
            f"{train.name}. Received: {family.sizes[0]}."
        )
    with flags_named(""):
        plan = _plan(config, family, train)
    learning_rate_of(config, plan)
    name = config.training.method
    with flags_named(f"{name}_"):
        methods.get(name).check_plan(config.method, plan)
    return plan


def labelled_records(config: ExperimentConfig, train: data.Source) -> Optional[data.Source]:
    """The records whose labels the method learns from; None where it learns from none."""
    if not methods.get(config.training.method).needs_labelled(config.method):
        return None
    return data.labelled(train, config.data.labelled_records, seed=config.training.seed)


def learning_rate_of(config: ExperimentConfig, plan: methods.Plan) -> Callable:
    """The learning rate of a step.

    Raises:
        SettingsError: a schedule that does not fit the run.
    """

    def learning_rate(step):
        return learning_rate_at(
            step,
            config.optimizer,
            batch_size=plan.batch_size,
            steps_per_epoch=plan.steps_per_epoch,
            total_steps=plan.total_steps,
        )

    learning_rate(0)  # Impossible schedules are refused here, not at the first step.
    return learning_rate


def _check_accumulation(method_class, accumulation: int) -> None:
    if accumulation > 1 and method_class.splits_batch is not True:
        raise SettingsError(
            f"--accumulation: expected 1 for method {method_class.__name__}, because "
            f"{method_class.splits_batch}. Received: {accumulation}."
        )


def _check_clips(config: data.DataConfig, family: views.ViewFamily) -> None:
    """Clips need a family that takes them, which takes nothing else."""
    if config.gives_clips and not family.clips:
        raise SettingsError(
            f"--views: expected clip_frame with --dataset={config.dataset}, whose records are "
            f"clips. Received: {family.name}, which takes images."
        )
    if family.clips and not config.gives_clips:
        raise SettingsError(
            f"--dataset: expected moving_mnist:<backgrounds> with --views={family.name}, which "
            f"takes clips. Received: {config.dataset}, whose records are images."
        )


def _plan(config: ExperimentConfig, family: views.ViewFamily, train: data.Source) -> methods.Plan:
    run, rows, classes = config.training, 0, 0
    labelled = labelled_records(config, train)
    if labelled is not None:
        rows = run.batch_size if run.labelled_batch_size is None else run.labelled_batch_size
        classes = 1 + int(labelled.known_labels.max())
        data.check_labelled_rows(labelled, rows, parts=run.accumulation)
    steps_per_epoch = data.steps_per_epoch(train, run.batch_size)
    total = run.epochs * steps_per_epoch
    return methods.Plan(
        batch_size=run.batch_size,
        steps_per_epoch=steps_per_epoch,
        total_steps=total if run.steps is None else run.steps,
        num_records=train.num_records,
        micro_batches=run.accumulation,
        seed=run.seed,
        view_channels=family.channels,
        view_size=family.sizes[0],
        labelled_batch_size=rows,
        num_classes=classes,
    )
