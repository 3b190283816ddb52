"""The settings of a run as a whole."""

import dataclasses
from typing import Optional

from tfssl.backbones import BackboneConfig
from tfssl.data import DataConfig
from tfssl.settings import Settings, SettingsError, setting
from tfssl.training.optimizers import OptimizerConfig
from tfssl.views import ViewsConfig


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Settings):
    """What is trained, for how long, on what, and what is reported."""

    method: str = setting("mira", "The method: a module of tfssl/methods.")
    epochs: int = setting(100, "Passes over the training records.", low=1)
    steps: Optional[int] = setting(
        None,
        "Stop after so many optimizer steps; schedules end there too. Unset: by --epochs.",
        low=1,
    )
    batch_size: int = setting(256, "Records in an optimizer step, over all replicas.", low=1)
    labelled_batch_size: Optional[int] = setting(
        None,
        "Labelled records beside the batch in a step, over all replicas. Unset: as many as the "
        "batch has. Only for methods that learn from labels.",
        low=1,
    )
    accumulation: int = setting(
        1,
        "Micro-batches a step is split into, to save memory; must divide the batch. Each is a "
        "batch of its own to batch statistics and assignments; only gradients add up.",
        low=1,
    )
    seed: int = setting(5678, "Seeds weights, shuffling and views.", low=0)
    strategy: str = setting(
        "auto",
        "Distribution: auto uses all GPUs (mirrored) or one device; multiworker reads TF_CONFIG.",
        choices=("auto", "one_device", "mirrored", "multiworker", "tpu"),
    )
    precision: str = setting(
        "float32",
        "Keras policy of the networks; losses and assignments stay in float32.",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    deterministic: bool = setting(
        False,
        "Bit-equal runs on one kind of processor: deterministic kernels, one thread, slower.",
    )
    xla_step: bool = setting(
        False, "Compile the whole step with XLA (one replica); on CPU slower than the plain graph."
    )
    log_every: int = setting(20, "Steps between two rows of metrics.", low=1)
    save_every: Optional[int] = setting(
        None, "Steps between two checkpoints. Unset: once an epoch.", low=1
    )
    keep_checkpoints: int = setting(2, "How many of the newest checkpoints are kept.", low=2)
    online_knn: Optional[int] = setting(
        None,
        "Epochs between two kNN evaluations on the test split. Unset or 0: only at the end.",
        low=0,
    )
    final_export: bool = setting(
        True, "After training, write the evaluated encoder to <run_dir>/backbone, a SavedModel."
    )
    final_knn: bool = setting(
        True,
        "After training, kNN accuracy beside raw pixels and the untrained encoder, given labels.",
    )
    knn_records: int = setting(
        50000, "Training records that vote in kNN evaluations, spread evenly; 0: all.", low=0
    )
    gauge_records: int = setting(
        512, "Training records on which feature spread and rank are measured each epoch.", low=2
    )

    def check(self) -> None:
        """The batch must split into equal micro-batches; XLA and determinism exclude each other."""
        if self.batch_size % self.accumulation:
            raise SettingsError(
                "--accumulation: expected a divisor of --batch_size. Received: "
                f"accumulation={self.accumulation}, batch_size={self.batch_size}."
            )
        if self.xla_step and self.deterministic:
            raise SettingsError(
                "--xla_step and --deterministic exclude each other: the gradient of max pooling "
                "has no deterministic XLA kernel on CPU. Remedy: drop one of the two."
            )


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides a run's result; where it is written is not part of it."""

    training: TrainingConfig
    data: DataConfig
    views: ViewsConfig
    backbone: BackboneConfig
    optimizer: OptimizerConfig
    method: Settings
