"""Training: a run from its settings to its result, and the pieces it is made of."""

from tfssl.ops import cosine, warmup_cosine
from tfssl.training.checkpoints import Checkpoints
from tfssl.training.evaluate import circumstances, evaluate
from tfssl.training.experiment import Experiment, describe, prepare, restore
from tfssl.training.finish import export_backbone, summary
from tfssl.training.judged_data import on_judged_data
from tfssl.training.loop import TrainingStopped, train
from tfssl.training.optimizers import LARS, SGD, AdamW, build_optimizer
from tfssl.training.probes import Extractor
from tfssl.training.run_directory import RunDirectory
from tfssl.training.settings import ExperimentConfig, TrainingConfig
from tfssl.training.strategy import is_chief, make_strategy

__all__ = [
    "LARS",
    "SGD",
    "AdamW",
    "Checkpoints",
    "Experiment",
    "ExperimentConfig",
    "Extractor",
    "RunDirectory",
    "TrainingConfig",
    "TrainingStopped",
    "build_optimizer",
    "circumstances",
    "cosine",
    "describe",
    "evaluate",
    "export_backbone",
    "is_chief",
    "make_strategy",
    "on_judged_data",
    "prepare",
    "restore",
    "summary",
    "train",
    "warmup_cosine",
]
