"""A stage for sweeps: their tools are stand-ins, programs of the standard library."""

import pytest
from absl import flags

from tests.training.short_runs import TINY
from tfssl import config
from tfssl.training import sweeps

# Fails at --lr=0.5; at --lr=0.25 waits for SIGTERM, at the first time. The loss tells the flags.
TRAIN = """
import json, pathlib, signal, sys, time
given = dict(a[2:].partition("=")[::2] for a in sys.argv[1:])
run = pathlib.Path(given["run_dir"])
with open(run.parents[1] / "calls", "a") as calls:
    calls.write("train " + run.name + "\\n")
run.mkdir(parents=True, exist_ok=True)
lines = [a for a in sys.argv[1:] if not a.startswith("--run_dir")]
(run / "flags.cfg").write_text("\\n".join(lines) + "\\n")
print("bar 1\\rbar 2")
if given["lr"] == "0.5":
    sys.exit("error: no such luck")
if given["lr"] == "0.25" and not (run / "waited").exists():
    def stop(*_):
        (run / "waited").write_text("")
        sys.exit(2)
    signal.signal(signal.SIGTERM, stop)
    (run / "waiting").write_text("")
    time.sleep(60)
    sys.exit(3)
loss = float(given["lr"]) + int(given["seed"])
(run / "metrics.jsonl").write_text(
    json.dumps({"step": 2, "loss": 2 * loss, "inter": 1.0})
    + "\\n" + json.dumps({"step": 4, "loss": loss, "inter": loss}) + "\\n"
)
result = {"method": "mira", "steps": 4, "train_seconds": 1.0, "final": {"loss": loss}, "knn": {}}
(run / "result.json").write_text(json.dumps(result))
"""
EVALUATE = """
import json, pathlib, sys
given = dict(a[2:].partition("=")[::2] for a in sys.argv[1:])
run = pathlib.Path(given["run_dir"])
with open(run.parents[1] / "calls", "a") as calls:
    calls.write("evaluate " + run.name + "\\n")
(run / "evaluation").mkdir(exist_ok=True)
content = json.loads((run.parents[1] / "judgement.json").read_text())
(run / "evaluation" / "linear.json").write_text(json.dumps(content))
"""


FLAGS = flags.FlagValues()
config.define(FLAGS)


class Stage:
    """A directory with the stand-ins, and sweeps in it."""

    def __init__(self, path):
        self.path, self.said = path, []
        for name, program in (("train", TRAIN), ("evaluate", EVALUATE)):
            (path / f"{name}.py").write_text(program)
        self.directory = sweeps.SweepDirectory(path)

    def sweep(self, grid, *given, seeds=(0, 1), evaluation=None, **settings):
        read = config.reader(FLAGS)
        self.grid = sweeps.make_grid([*TINY, *given, f"--grid={grid}"], seeds, read)
        self.directory.check(self.grid.cells, config.complete_flagfile)
        chosen = config.to_arguments(evaluation) if evaluation else ()
        return sweeps.Sweep(
            self.grid,
            self.directory,
            sweeps.Worker(self.directory, self.path, evaluation, chosen),
            sweeps.SweepConfig(**{"plot": False, **settings}),
            command="the command",
            say=self.said.append,
        )

    def calls(self):
        """What the stand-ins were called for since the last question."""
        path = self.path / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def files(self):
        """Every file of the runs with its time of change."""
        return {p: p.stat().st_mtime_ns for p in (self.path / "runs").rglob("*") if p.is_file()}


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)
