"""The grid of a sweep: all combinations, names of their own, and mistakes before any work."""

import itertools

import pytest
from absl import flags

from tests.random_inputs import fresh_rng
from tests.training.short_runs import TINY
from tfssl import config
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.sweeps import SweepConfig
from tfssl.training.sweeps.grid import make_grid, read_axes

# As the tool defines them: those of a run, and those of the sweep.
FLAGS = flags.FlagValues()
config.define(FLAGS)
for owner in (SweepConfig, EvaluationConfig):
    config.define_settings(owner, FLAGS)
flags.DEFINE_multi_string("grid", [], "Axes.", flag_values=FLAGS)


def grid_of(*arguments, seeds=None):
    return make_grid([*TINY, *arguments], seeds, config.reader(FLAGS), config.expand)


def test_the_product_of_all_axes_and_seeds():
    random = fresh_rng()
    betas = [f"{value:.4f}" for value in random.uniform(0, 0.99, 3)]
    rates = [f"{value:.4f}" for value in random.uniform(0.1, 1, 2)]
    seeds = (3, 0, int(random.integers(10, 1000)))
    # Two axes in one text, one in another, given in two ways.
    before = FLAGS.flags_into_string()
    grid = grid_of(
        f"--grid=mira_beta={','.join(betas)};lr={','.join(rates)}",
        "--grid",
        "mira_teacher=true,false",
        seeds=seeds,
    )
    assert grid.axes == ("mira_beta", "lr", "mira_teacher")
    found = [
        (
            settings.training.seed,
            f"{settings.method.beta:.4f}",
            f"{settings.optimizer.lr:.4f}",
            str(settings.method.teacher).lower(),
        )
        for settings in [cell.config for cell in grid.cells]
    ]
    # All points of a seed come first, so that a half-done sweep shows the whole grid.
    assert found == list(itertools.product(map(int, seeds), betas, rates, ["true", "false"]))
    assert [(cell.seed, *cell.point) for cell in grid.cells] == found
    assert len({cell.name for cell in grid.cells}) == 36 and len(grid.points) == 12
    assert FLAGS.flags_into_string() == before
    for cell in grid.cells:
        assert config.parse(cell.flags_text.splitlines())[0] == cell.config


def test_names_are_readable_and_do_not_depend_on_the_other_cells():
    alone = grid_of("--grid=mira_beta=-0.0", "--seed=7")
    assert [cell.name for cell in alone.cells] == ["mira_beta=-0.0,seed=7"]
    among = grid_of("--grid=mira_beta=0.25,0.5,-0.0", seeds=(5, 7))
    assert alone.cells[0] in among.cells


def test_names_suit_a_file_system(tmp_path):
    splits = [f'"train[:{percent}%]"' for percent in (50, 60)]
    long = tmp_path / ("ä" * 120) / ("b" * 120)
    given = [f"--grid=train_split={','.join(splits)}", f"--grid=data_dir={long}/1,{long}/2"]
    grid = grid_of("--dataset=tfds:cifar10", *given)
    assert len({cell.name for cell in grid.cells}) == 4
    for cell in grid.cells:
        (tmp_path / cell.name).mkdir()
        assert cell.name.isascii() and not set(cell.name) & set('/[]%:" ')
    assert grid.cells[0].config.data.train_split == "train[:50%]"


def test_a_value_may_be_a_config(tmp_path):
    for name, lines in {"a": "--lr=0.5\n", "b": "--lr=0.25\n--mira_beta=0.5\n"}.items():
        (tmp_path / f"{name}.cfg").write_text(lines + "--weight_decay=0\n")
    files = ",".join(str(tmp_path / f"{name}.cfg") for name in "ab")
    # Flags before the grid are defaults for its configs, flags behind it override them.
    grid = grid_of("--mira_beta=0.25", "--lr=7", f"--grid=flagfile={files}", "--weight_decay=0.125")
    first, second = [cell.config for cell in grid.cells]
    assert (first.optimizer.lr, second.optimizer.lr) == (0.5, 0.25)
    assert (first.method.beta, second.method.beta) == (0.25, 0.5)
    assert first.optimizer.weight_decay == second.optimizer.weight_decay == 0.125
    assert grid.points == tuple((f"{tmp_path}/{name}",) for name in "ab")


def test_a_value_may_take_flags_along():
    decay = '+lr_schedule=steps+lr_decay_epochs="1,2"'
    grid = grid_of(f"--grid=mira_teacher=true+mira_momentum=0.5{decay},false")
    first, second = [cell.config for cell in grid.cells]
    assert (first.method.teacher, second.method.teacher) == (True, False)
    assert first.method.momentum == 0.5 and first.optimizer.lr_decay_epochs == "1,2"
    along = "mira_momentum=0.5+lr_schedule=steps+lr_decay_epochs=1,2"
    assert grid.points == ((f"true+{along}",), ("false",))


def test_quotes_keep_separators_together():
    (axis,) = read_axes('lr_decay_epochs="30,40",20,"","a;b+c=1"')
    assert [choice.arguments for choice in axis.choices] == [
        ("--lr_decay_epochs=30,40",),
        ("--lr_decay_epochs=20",),
        ("--lr_decay_epochs=",),
        ("--lr_decay_epochs=a;b+c=1",),
    ]
    # A plus sign in front of anything else than a flag is part of the value.
    assert read_axes("lr=1e+3")[0].choices[0].arguments == ("--lr=1e+3",)


def test_seeds_override_the_flag_and_a_grid_may_be_missing():
    assert [cell.seed for cell in grid_of("--seed=7").cells] == [7]
    grid = grid_of("--seed=7", seeds=(1, 2))
    assert [cell.name for cell in grid.cells] == ["seed=1", "seed=2"]
    assert grid.points == ((),)


@pytest.mark.parametrize(
    "given, words",
    [
        (["--grid=lr"], ["--grid", "flag=value", "'lr'"]),
        (["--grid=lr = 0.1"], ["'lr = 0.1'", "no space before the =", "lr=0.1,0.2"]),
        (["--grid=--lr=0.1"], ["'--lr=0.1'", "without dashes", "lr=0.1,0.2"]),
        (["--grid"], ["--grid", "flag=value", "''"]),
        (["--grid=lr=1,,2"], ["values of lr", "between two commas"]),
        (['--grid=lr="1,2'], ["quotes in pairs"]),
        (["--grid=lr=1,2", "--grid=lr=3,4"], ["each flag once", "lr twice"]),
        (["--grid=seed=1,2"], ["--seeds"]),
        (["--grid=lr=1+seed=1,2"], ["--seeds"]),
        (["--grid=lr=0.5,0.50"], ["differ", "lr=0.5,seed", "lr=0.50,seed"]),
        (["--grid=lr=1,2", "--lr=3"], ["differ", "lr=1,seed", "lr=2,seed"]),
        (["--grid=mira_beta=0.5,1.5"], ["cell mira_beta=1.5", "< 1", "1.5"]),
        (["--grid=mira_betta=0.5"], ["cell mira_betta=0.5", "mira_betta"]),
        (["--grid=method=mira,simclr"], ["cell method=simclr", "belongs to method mira"]),
        (["--grid=num_views=2,1"], ["cell num_views=1", "views"]),
        (["--grid=jigsaw=false,true"], ["cell jigsaw=true", "without patches"]),
        (["--lr=big"], ["cell without a grid", "big"]),
        (["--grid=flagfile=missing.cfg"], ["cell flagfile=missing", "missing.cfg"]),
        (["--grid=dataset=folder:a b,folder:a-b"], ["names of their own", "dataset=folder-a-b"]),
        (["--grid=dataset=folder:a,folder:A"], ["names of their own", "folder-a,", "folder-A,"]),
    ],
)
def test_mistakes_are_one_sentence_that_names_the_cell(given, words):
    with pytest.raises(SettingsError) as error:
        grid_of(*given)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "grid, words",
    [
        (
            "num_views=1;method=npid,pirl",
            ["cell num_views=1,method=pirl", "the patches of a jigsaw", "--jigsaw"],
        ),
        ("method=simclr;accumulation=1,2", ["cell method=simclr,accumulation=2", "expected 1"]),
    ],
)
def test_a_cell_is_checked_for_its_own_method(grid, words):
    of_all = [flag for flag in TINY if not flag.startswith("--mira")]
    with pytest.raises(SettingsError) as error:
        make_grid([*of_all, f"--grid={grid}"], None, config.reader(FLAGS))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "grid, flag",
    [
        ("lr=0.1,0.2;protocol=linear", "--protocol"),
        ("protocol=knn,linear", "--protocol"),
        ("lr=0.1,0.2+protocol=linear", "--protocol"),
        ('seeds="0,1";lr=0.1,0.2', "--seeds"),
        ('grid="lr=0.1,0.2"', "--grid"),
        ("plot=false;lr=0.1,0.2", "--plot"),
    ],
)
def test_flags_of_the_sweep_are_refused_in_a_value(grid, flag):
    with pytest.raises(SettingsError, match=f"but {flag} belongs to the sweep.*{flag} outside"):
        grid_of(f"--grid={grid}")


@pytest.mark.parametrize("line", ["--grid=lr=1,2", "--seeds=0,1", "--noplot"])
def test_flags_of_the_sweep_are_refused_in_a_config(tmp_path, line):
    (tmp_path / "base.cfg").write_text(f"{line}\n")
    (tmp_path / "a.cfg").write_text(f"# Flags of a run.\n--flagfile={tmp_path}/base.cfg\n--lr=1\n")
    flag = line.partition("=")[0]
    with pytest.raises(SettingsError, match=f"flagfile=.*a, but {flag} belongs to the sweep"):
        grid_of(f"--grid=flagfile={tmp_path}/a.cfg")
    # Nothing of a run is mistaken for one of the sweep.
    (tmp_path / "base.cfg").write_text("--nodeterministic\n--test_split=\n-mira_beta=0.5\n")
    assert len(grid_of(f"--grid=flagfile={tmp_path}/a.cfg").cells) == 1
