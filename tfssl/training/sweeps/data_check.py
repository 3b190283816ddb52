"""The data of a sweep's runs, opened before the first one starts."""

from typing import Dict, List, Optional, Sequence

from tfssl import data, views
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.checks import check_sizes
from tfssl.training.judged_data import judged_config, read_out
from tfssl.training.sweeps.grid import Cell


def check_data(cells: Sequence[Cell], evaluation: Optional[EvaluationConfig] = None) -> None:
    """Opens what cells train and are judged on, each once, and refuses what they cannot use.

    Data that a run may download are left to the run.

    Args:
        cells: those that will be trained or judged.
        evaluation: the protocol that judges them; None for none.

    Raises:
        SettingsError: data that cannot be opened, a batch or a schedule that does not fit them, or
            no labels where some are needed. The message names the cell.
    """
    groups: Dict[data.DataConfig, List[Cell]] = {}
    for cell in cells:
        if not cell.config.data.download:
            groups.setdefault(cell.config.data, []).append(cell)
    for settings, group in groups.items():
        cell = group[0]
        try:
            train, test = data.open_splits(settings)
            for cell in group:
                check_sizes(cell.config, views.build_from(cell.config.views), train)
                if cell.config.training.online_knn:
                    _check_labels("--online_knn", train, test)
            cell = group[0]
            if evaluation is not None and evaluation.needs_labels:
                judged = judged_config(settings, evaluation)
                if judged != settings:
                    train, test = data.open_splits(judged)
                train, test = (s and read_out(s, evaluation) for s in (train, test))
                if evaluation.judges_classes:
                    _check_labels("--protocol", train, test)
        except ValueError as error:
            raise SettingsError(f"cell {cell.name}: {error}") from error


def _check_labels(flag: str, train: data.Source, test: Optional[data.Source]) -> None:
    """Raises SettingsError where labels are certainly missing."""
    # They are not read: that can take minutes.
    missing = [split.name for split in (train, test) if split and not split.may_have_labels]
    if missing or test is None:
        raise SettingsError(
            f"{flag}: expected a training and a test split with labels. Received: "
            f"{'no test split' if test is None else 'no labels in ' + missing[0]}. Remedy: drop "
            "the flag, or name splits that have labels."
        )
