"""Flags come from the settings classes, and every mistake is one sentence before work starts."""

import dataclasses
import pathlib

import pytest

from tfssl import config, methods, settings
from tfssl.settings import SettingsError
from tfssl.training import ExperimentConfig, RunDirectory

ROOT = pathlib.Path(__file__).parents[1]


def parse(*arguments):
    return config.parse(arguments)[0]


def test_defaults_are_those_of_the_classes():
    wanted = parse()
    for field in dataclasses.fields(ExperimentConfig):
        if field.name != "method":
            assert getattr(wanted, field.name) == field.type()
    assert wanted.method == methods.get(wanted.training.method).Config()


def test_flags_reach_their_setting():
    wanted = parse("--mira_beta=0.5", "--lr=0.25", "--batch_size=64", "--nomira_teacher")
    assert wanted.method.beta == 0.5
    assert wanted.optimizer.lr == 0.25
    assert wanted.training.batch_size == 64
    assert wanted.method.teacher is False


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--mira_beta=1"], ["--mira_beta", ">= 0 and < 1", "1.0"]),
        (["--mira_beta=nan"], ["--mira_beta", "nan"]),
        (["--mira_beta=big"], ["mira_beta", "big"]),
        (["--mira_betta=0.5"], ["mira_betta"]),
        (["--batch_size=0"], ["--batch_size", ">= 1", "0"]),
        (["--batch_size=10", "--accumulation=3"], ["--accumulation", "divisor", "3", "10"]),
        (["--deterministic", "--xla_step"], ["--xla_step", "--deterministic"]),
        (["--method=magic"], ["method", "mira", "magic"]),
        (["--views=magic"], ["--views", "mira", "magic"]),
        (["--optimizer=magic"], ["--optimizer", "lars", "magic"]),
        (["--flagfile=configs/missing.cfg"], ["configs/missing.cfg"]),
        (["stray"], ["stray"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(SettingsError) as error:
        parse(*arguments)
    for word in words:
        assert word in str(error.value)


def test_a_flagfile_of_resolved_flags_repeats_the_settings(tmp_path):
    wanted = parse("--mira_beta=0.625", "--nomira_teacher", "--steps=7", "--deterministic")
    path = tmp_path / "flags.cfg"
    path.write_text(config.to_flagfile(wanted))
    assert config.read_flagfile(str(path)) == wanted
    assert "run_dir" not in path.read_text()


def test_flags_a_flagfile_does_not_name_are_added_with_their_defaults():
    text = config.to_flagfile(parse("--mira_beta=0.625"))
    older = "".join(
        line for line in text.splitlines(True) if not line.startswith("--gauge_records")
    )
    assert older != text and config.complete_flagfile(older) == text


def test_a_run_is_read_with_its_data_elsewhere(tmp_path):
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(SettingsError, match="no flags.cfg"):
        config.read_run(run)
    run.claim(config.to_flagfile(parse("--dataset=tfds:cifar10", "--data_dir=here", "--seed=7")))
    assert config.read_run(run).data.data_dir == "here"
    moved = config.read_run(run, data_dir="there")
    assert moved.data.data_dir == "there" and moved.training.seed == 7


def test_flagfiles_nest_and_later_lines_win(tmp_path):
    base, outer = tmp_path / "base.cfg", tmp_path / "outer.cfg"
    base.write_text("# base\n--lr=1\n--epochs=7\n")
    outer.write_text(f"--flagfile={base}\n--lr=2\n")
    wanted = parse(f"--flagfile={outer}", "--seed=3")
    assert (wanted.optimizer.lr, wanted.training.epochs, wanted.training.seed) == (2, 7, 3)


def test_no_setting_has_two_flags():
    names = [
        prefix + field.name
        for owner, prefix in config._owners(methods.names())
        for field in settings.plain_fields(owner)
    ]
    assert len(names) == len(set(names))


def test_every_setting_explains_itself():
    for owner, _ in config._owners(methods.names()):
        for field in settings.plain_fields(owner):
            assert len(field.metadata["help"]) > 8, field.name
