"""From settings to everything a run consists of, checked before any work starts."""

import dataclasses
from typing import Callable, Dict, Optional, Tuple

import numpy as np
import tensorflow as tf

from tfssl import data, methods, views
from tfssl.settings import SettingsError, flags_named
from tfssl.training.checkpoints import Checkpoints
from tfssl.training.checks import check, check_sizes, labelled_records, learning_rate_of
from tfssl.training.follow_step import FollowStep
from tfssl.training.optimizers import (
    build_grouped_optimizer,
    build_optimizer,
    peak_learning_rate,
)
from tfssl.training.run_directory import RunDirectory
from tfssl.training.settings import ExperimentConfig
from tfssl.training.strategy import check_batch, make_strategy


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The parts of one run.

    Attributes:
        config: the settings behind the parts.
        strategy: where the replicas are.
        train, test: record sources; test is None where the data has no test split.
        family: the view family of training.
        plan: the sizes of the run.
        method: the compiled method.
        build_encoder: makes a fresh backbone of the run's kind; its keywords are those of
            `BackboneConfig.build`.
        learning_rate: learning rate of a step.
    """

    config: ExperimentConfig
    strategy: tf.distribute.Strategy
    train: data.Source
    test: Optional[data.Source]
    family: views.ViewFamily
    plan: methods.Plan
    method: methods.Method
    build_encoder: Callable[..., tf.keras.Model]
    learning_rate: Callable[[tf.Tensor], tf.Tensor]

    def batches(self, start_step: int, order: Optional[np.ndarray] = None) -> tf.data.Dataset:
        """Training batches as of `own_batches`, each replica's rows to each replica."""
        return data.distribute(
            self.strategy, lambda context: self.own_batches(start_step, order, context)
        )

    def own_batches(
        self,
        start_step: int,
        order: Optional[np.ndarray] = None,
        context: Optional[tf.distribute.InputContext] = None,
        *,
        num_steps: Optional[int] = None,
    ) -> tf.data.Dataset:
        """Training batches from a step on, the same whenever the run was resumed.

        Args:
            start_step: optimizer steps done.
            order: the records that the epoch of this step visits; the batches then end with it.
                None: every record once an epoch, to the end of the run.
            context: the part of each batch that one input pipeline reads; None for all of it.
            num_steps: no more than so many steps; None: to the end of the run.
        """
        run, plan = self.config.training, self.plan
        common = {
            "seed": run.seed,
            "start_step": start_step,
            "micro_batches": run.accumulation,
            "input_context": context,
        }
        batches = data.training_batches(
            self.train,
            self.family,
            batch_size=plan.batch_size,
            num_steps=num_steps,
            epochs=-(-plan.total_steps // plan.steps_per_epoch),
            order=order,
            **common,
        )
        labelled = labelled_records(self.config, self.train)
        if labelled is None:
            return batches
        return data.with_labelled_batches(
            batches, labelled, self.family, batch_size=plan.labelled_batch_size, **common
        )


def prepare(config: ExperimentConfig) -> Experiment:
    """Builds all parts of a run.

    Raises:
        SettingsError: settings that do not fit each other, the data or this machine.
    """
    run = config.training
    method_class = methods.get(run.method)
    _set_process_state(run)
    strategy = make_strategy(run.strategy)
    check_batch(run.batch_size // run.accumulation, strategy)
    _check_xla(run, strategy)
    family = views.build_from(config.views)
    check(config, family)
    train, test = data.open_splits(config.data)
    _check_labels(run, train, test)
    plan = check_sizes(config, family, train)

    sizes = [*family.sizes, *([family.patch_size] if family.patch_size else [])]

    def build_encoder(**options) -> tf.keras.Model:
        return config.backbone.build(image_size=min(sizes), **options)

    learning_rate = learning_rate_of(config, plan)
    with strategy.scope(), flags_named(f"{run.method}_"):
        method = method_class(config.method, plan, build_encoder)
        optimizer = _optimizer(config, method, learning_rate)
        # All slots exist from the start, also those of a head that is frozen at first.
        optimizer.build(method.trainable_variables)
        _hold_rates(config, method, optimizer)
        if run.precision == "mixed_float16":
            optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
        method.compile(optimizer=optimizer, jit_compile=run.xla_step)
    return Experiment(
        config, strategy, train, test, family, plan, method, build_encoder, learning_rate
    )


def restore(config: ExperimentConfig, run: RunDirectory) -> Tuple[Experiment, int]:
    """A run's parts as they were at its newest checkpoint, on one device, and that step.

    Raises:
        SettingsError: the run has no readable checkpoint.
    """
    # Where and how fast a run was trained says nothing about where it is read.
    alone = dataclasses.replace(
        config.training, strategy="one_device", deterministic=False, xla_step=False
    )
    experiment = prepare(dataclasses.replace(config, training=alone))
    keep = config.training.keep_checkpoints
    step = Checkpoints(experiment.method, run.checkpoints, keep=keep, chief=False).restore_latest()
    if not step:
        raise SettingsError(f"{run.path}: expected a run with a checkpoint. Received: none yet.")
    return experiment, step


def _set_process_state(run) -> None:
    """Seeds, determinism and precision are settings of the whole process."""
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
        # On a busy CPU several threads may add up partial sums, or do operations, in another order.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(run.seed)
    tf.keras.mixed_precision.set_global_policy(run.precision)


def _check_xla(run, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if run.xla_step and replicas > 1:
        raise SettingsError(
            "--xla_step: expected one replica, because XLA cannot compile what replicas exchange. "
            f"Received: {replicas} replicas. Remedy: drop it, kernels are compiled anyway."
        )


def _check_labels(run, train: data.Source, test: Optional[data.Source]) -> None:
    if run.online_knn and (train.labels is None or test is None or test.labels is None):
        missing = "no test split" if test is None else "no labels"
        raise SettingsError(
            f"--online_knn={run.online_knn}: expected a training and a test split with labels. "
            f"Received: {missing}. Remedy: drop the flag, or name splits with class sub-folders."
        )


def _optimizer(config: ExperimentConfig, method: methods.Method, learning_rate: Callable):
    """The optimizer of a method, or of each group of variables that has a rate of its own."""

    def scaled(factor: float) -> FollowStep:
        return FollowStep(method.global_step, lambda step: factor * learning_rate(step))

    groups = method.scaled_rate_variables
    if groups:
        return build_grouped_optimizer(config.optimizer, scaled, groups)
    return build_optimizer(config.optimizer, FollowStep(method.global_step, learning_rate))


def _hold_rates(config: ExperimentConfig, method: methods.Method, optimizer) -> None:
    """Variables that keep the peak learning rate are made known to the optimizer."""
    held = method.constant_rate_variables
    if held and not hasattr(optimizer, "hold_learning_rate"):
        raise SettingsError(
            f"--optimizer: expected sgd or lars, because {config.training.method} keeps some "
            f"learning rates constant. Received: {config.optimizer.optimizer}. Remedy: "
            "--optimizer=sgd."
        )
    if held:
        rate = peak_learning_rate(config.optimizer, config.training.batch_size)
        optimizer.hold_learning_rate(held, rate)


def describe(experiment: Experiment) -> Dict[str, object]:
    """The facts a person wants to see before a run starts."""
    config, plan = experiment.config, experiment.plan
    patch = experiment.family.patch_size
    patches = f" and patches of {patch}" if patch else ""
    return {
        "method": config.training.method,
        "records": len(experiment.train.drawable),
        "views": " ".join(map(str, experiment.family.sizes)) + patches,
        "batch": plan.batch_size,
        "steps": f"{plan.total_steps} ({plan.steps_per_epoch} an epoch)",
        "optimizer": f"{config.optimizer.optimizer}, weight decay {config.optimizer.decay:g}",
        "peak learning rate": peak_learning_rate(config.optimizer, plan.batch_size),
        "replicas": experiment.strategy.num_replicas_in_sync,
        "weights": sum(int(tf.size(v)) for v in experiment.method.trainable_variables),
    }
