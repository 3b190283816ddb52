"""What the runs of a sweep share between their views, and how accurate they are."""

import json
import pathlib
from typing import Any, Dict, List

from tfssl.plots import Shared
from tfssl.settings import SettingsError
from tfssl.training.run_directory import RunDirectory
from tfssl.training.sweeps.tables import last_values


def shared_information(path: pathlib.Path, *, information: str, accuracy: str) -> List[Shared]:
    """Reads the finished runs of a sweep.

    Args:
        path: the sweep's directory.
        information: "information", the protocol of that name; or a scalar of `metrics.jsonl`, such
            as `information/1-2`, the bound that training has found.
        accuracy: "knn", that of the end of training; or a protocol by the name of its result file,
            such as "linear".

    Returns:
        The runs, named as the sweep names them, with the accuracies of their untrained encoders
        where they have been measured.

    Raises:
        SettingsError: no finished runs, or one that has not been measured.
    """
    runs = [RunDirectory(run) for run in sorted(path.glob("runs/*"))]
    finished = [run for run in runs if run.finished() is not None]
    if not finished:
        raise SettingsError(
            f"--sweep_dir={path}: expected a sweep with finished runs. Received: {len(runs)} runs."
        )
    found = []
    for run in finished:
        contenders = run.finished()["knn"] if accuracy == "knn" else _results(run, accuracy)
        if "trained" not in contenders:
            raise _missing(run, accuracy, "--accuracy: expected a protocol that has an accuracy")
        trained, untrained = (contenders.get(k, {}).get("top1") for k in ("trained", "untrained"))
        found.append(Shared(run.path.name, _nats(run, information), trained, untrained))
    return found


def _nats(run: RunDirectory, name: str) -> float:
    """The information of a run by the name of what has measured it."""
    if "/" not in name:
        results = _results(run, name)
        if "views" not in results:
            raise _missing(run, name, "--information: expected what has measured information")
        return results["views"]["estimate"]
    values = last_values(run)
    if name not in values:
        raise SettingsError(
            f"--information={name}: expected a scalar of metrics.jsonl. Received: none of that "
            f"name in {run.path}."
        )
    return values[name]


def _results(run: RunDirectory, protocol: str) -> Dict[str, Any]:
    """What a protocol has found."""
    path = run.evaluation(protocol)
    if not path.is_file():
        raise _missing(run, protocol, "expected a run judged by it")
    return json.loads(path.read_text())["results"]


def _missing(run: RunDirectory, protocol: str, expected: str) -> SettingsError:
    there = sorted(path.stem for path in run.evaluation("").parent.glob("*.json"))
    return SettingsError(
        f"{expected}. Received: no such result of {protocol} in {run.path}, which has "
        f"{', '.join(there) or 'none'}. Remedy: the name of one that it has, the sweep's command "
        "with that --protocol, or tools/evaluate.py for this run."
    )
