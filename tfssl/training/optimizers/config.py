"""The optimizer's settings, and the learning rate they mean at every step."""

import dataclasses
import math
from typing import Optional

from tfssl.ops import schedules
from tfssl.settings import Settings, SettingsError, setting
from tfssl.training.optimizers.lars import ADAPTATIONS

OPTIMIZERS = ("lars", "sgd", "adamw", "adam", "lamb", "novograd", "radam")
_ADAMS = ("adamw", "adam", "lamb", "novograd", "radam")
# A setting that the chosen optimizer would not read is an error rather than a surprise.
_READ_BY = {
    "momentum": ("lars", "sgd"),
    "nesterov": ("sgd",),
    "trust_coefficient": ("lars",),
    "lars_adaptation": ("lars",),
    "adam_beta_1": _ADAMS,
    "adam_beta_2": _ADAMS,
    "adam_epsilon": _ADAMS,
    "clip_norm": ("lars", "sgd", "adamw", "adam"),
}
_READ_BY_SCHEDULE = {
    "min_lr": ("cosine", "cosine_epochs"),
    "lr_decay_epochs": ("steps",),
    "lr_decay_factor": ("steps",),
}


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Settings):
    """Which optimizer, and its learning rate over the run."""

    optimizer: str = setting(
        "lars",
        "Optimizer. lars, sgd: PyTorch's momentum and coupled weight decay. adamw: decoupled "
        "decay. lamb, novograd, radam: from tensorflow-addons (TensorFlow 2.15 only).",
        choices=OPTIMIZERS,
    )
    lr: float = setting(
        0.3, "Learning rate, used as it is unless --lr_scaling says otherwise.", low=0.0
    )
    lr_scaling: str = setting(
        "none",
        "What multiplies --lr and --min_lr. none: nothing. linear: batch_size / 256. "
        "sqrt: sqrt(batch_size) / 4, the same as linear at a batch of 4096. The resulting peak "
        "is printed when the run starts.",
        choices=("none", "linear", "sqrt"),
    )
    lr_schedule: str = setting(
        "cosine",
        "Learning rate after the warm-up. cosine: down to --min_lr, a new value every step. "
        "cosine_epochs: cos(pi e / epochs), held through epoch e = 1, 2, ... steps: times "
        "--lr_decay_factor at each of --lr_decay_epochs. constant: no change.",
        choices=("cosine", "cosine_epochs", "steps", "constant"),
    )
    min_lr: float = setting(0.0, "Learning rate at the end of a cosine; scaled like --lr.", low=0.0)
    lr_decay_epochs: str = setting(
        "", "Epochs done when the learning rate drops, separated by commas, as in 120,160."
    )
    lr_decay_factor: float = setting(
        0.1, "What multiplies the learning rate at each of --lr_decay_epochs.", above=0.0, high=1.0
    )
    warmup_epochs: float = setting(
        0.0, "Epochs of linear warm-up, fractions allowed; 0 for none.", low=0.0
    )
    warmup_start_lr: float = setting(
        0.0, "Learning rate where the warm-up starts, absolute (never scaled).", low=0.0
    )
    momentum: float = setting(0.9, "Momentum of lars and sgd.", low=0.0, below=1.0)
    nesterov: bool = setting(False, "Nesterov momentum in sgd.")
    weight_decay: Optional[float] = setting(
        None,
        "Weight decay: coupled in lars and sgd, decoupled in adamw. Unset: 1e-6, and 0 where none "
        "is possible (adam) or where it could leave nothing out (novograd, radam).",
        low=0.0,
    )
    exclude_rank_below: int = setting(
        2,
        "Variables of lower rank have no weight decay, and no adaptation in lars and lamb: 2 "
        "leaves out biases and normalisation, 0 leaves out nothing.",
        low=0,
        high=2,
    )
    trust_coefficient: float = setting(0.001, "Trust coefficient of lars.", above=0.0)
    lars_adaptation: str = setting(
        "lars",
        "Trust ratio of lars. lars: trust |p| / |g + wd p|. larc: trust |p| / (|g| + wd |p|). "
        "larc_clip: the same, at most the learning rate.",
        choices=ADAPTATIONS,
    )
    adam_beta_1: float = setting(0.9, "Decay of the first moment, Adam family.", low=0.0, below=1.0)
    adam_beta_2: float = setting(
        0.999, "Decay of the second moment, Adam family.", low=0.0, below=1.0
    )
    adam_epsilon: float = setting(1e-8, "Added to the root in the Adam family.", above=0.0)
    clip_norm: Optional[float] = setting(
        None, "Largest norm of all gradients together; unset for no clipping.", above=0.0
    )

    def check(self) -> None:
        """Refuses settings that the chosen optimizer or schedule would not read."""
        for table, chosen, flag in (
            (_READ_BY, self.optimizer, "optimizer"),
            (_READ_BY_SCHEDULE, self.lr_schedule, "lr_schedule"),
        ):
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if value != field.default and chosen not in table.get(field.name, (chosen,)):
                    raise SettingsError(
                        f"{field.name} is read by {flag} {', '.join(table[field.name])} only, "
                        f"expected {field.default!r} otherwise. "
                        f"Received: {field.name}={value!r}, {flag}={chosen}."
                    )
        if self.optimizer == "adam" and self.decay > 0:
            raise SettingsError(
                "adam has no weight decay, expected weight_decay=0. "
                f"Received: weight_decay={self.weight_decay}. Remedy: --optimizer=adamw."
            )
        if self.nesterov and self.momentum == 0:
            raise SettingsError("nesterov expects momentum > 0. Received: momentum=0.")
        if self.warmup_start_lr and not self.warmup_epochs:
            raise SettingsError(
                "warmup_start_lr expects warmup_epochs > 0. "
                f"Received: warmup_start_lr={self.warmup_start_lr}, warmup_epochs=0."
            )
        if (self.lr_schedule == "steps") != bool(_decay_epochs(self.lr_decay_epochs)):
            raise SettingsError(
                "lr_schedule=steps and lr_decay_epochs expect each other. Received: "
                f"lr_schedule={self.lr_schedule}, lr_decay_epochs={self.lr_decay_epochs!r}."
            )

    @property
    def decay(self) -> float:
        """The weight decay, also where it was left to the optimizer's default."""
        if self.weight_decay is None:
            return 0.0 if self.optimizer in ("adam", "novograd", "radam") else 1e-6
        return self.weight_decay


def peak_learning_rate(config: OptimizerConfig, batch_size: int) -> float:
    """The learning rate after the warm-up, with `--lr_scaling` applied to the global batch size."""
    return config.lr * _scale(config, batch_size)


def learning_rate_at(
    step: schedules.Step,
    config: OptimizerConfig,
    *,
    batch_size: int,
    steps_per_epoch: int,
    total_steps: int,
) -> schedules.Value:
    """The learning rate of a step, as the settings say.

    Args:
        step: integer scalar >= 0, Python number or tensor; optimisation steps done so far.
        config: the settings.
        batch_size: global batch size.
        steps_per_epoch: optimisation steps in an epoch, >= 1.
        total_steps: optimisation steps in the run, >= 1.

    Returns:
        A Python float, or a float32 scalar where `step` is a tensor.

    Raises:
        SettingsError: a warm-up as long as the run.
    """
    peak = peak_learning_rate(config, batch_size)
    minimum = config.min_lr * _scale(config, batch_size)
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps:
        raise SettingsError(
            "warmup_epochs expects a warm-up shorter than the run. "
            f"Received: warmup_epochs={config.warmup_epochs:g}, {warmup_steps} warm-up steps of "
            f"{total_steps} steps. Remedy: a smaller --warmup_epochs, or more --epochs."
        )
    if config.lr_schedule == "cosine":
        return schedules.warmup_cosine(
            step,
            peak=peak,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            warmup_start=config.warmup_start_lr,
            minimum=minimum,
        )

    def after_warmup(t: schedules.Step) -> schedules.Value:
        if config.lr_schedule == "constant":
            return schedules.constant(t, value=peak)
        if config.lr_schedule == "steps":
            milestones = [round(e * steps_per_epoch) for e in _decay_epochs(config.lr_decay_epochs)]
            return schedules.step_decay(
                t, start=peak, milestones=milestones, factor=config.lr_decay_factor
            )
        # InfoMin and CMC count epochs from 1: the first is already below the peak.
        epochs = math.ceil(total_steps / steps_per_epoch)
        return schedules.cosine(
            t // steps_per_epoch + 1, start=peak, end=minimum, total_steps=epochs
        )

    return schedules.warmup(
        step, steps=warmup_steps, start=config.warmup_start_lr, then=after_warmup
    )


def _scale(config: OptimizerConfig, batch_size: int) -> float:
    """What `--lr_scaling` multiplies learning rates by."""
    if batch_size < 1:
        raise ValueError(f"expected batch_size >= 1. Received: batch_size={batch_size}.")
    return {"none": 1.0, "linear": batch_size / 256, "sqrt": math.sqrt(batch_size) / 4}[
        config.lr_scaling
    ]


def _decay_epochs(text: str) -> tuple[float, ...]:
    """The epochs in `--lr_decay_epochs`; raises SettingsError where they are not increasing."""
    try:
        epochs = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        epochs = (0.0,)
    edges = (0.0, *epochs)
    if any(not late > early for early, late in zip(edges, edges[1:])):
        raise SettingsError(
            "lr_decay_epochs: expected increasing positive numbers separated by commas. "
            f"Received: {text!r}."
        )
    return epochs
