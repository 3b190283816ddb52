"""Settings as command-line flags, and flags as settings.

The frozen dataclasses of the rooms are the single source of names, defaults, ranges and help. This
file turns them into absl flags, reads them back, and writes the flagfile that repeats a run. It is
the only library file that knows absl.flags. A method's own settings carry its name: `beta` of
method `mira` is `--mira_beta`.
"""

import copy
import dataclasses
import sys
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from absl import flags

from tfssl import methods, settings
from tfssl.training import ExperimentConfig, RunDirectory

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one flag for every setting of every room and of every method."""
    for owner, prefix in _owners(methods.names()):
        define_settings(owner, flag_values, prefix)


def define_settings(
    owner: type, flag_values: flags.FlagValues = flags.FLAGS, prefix: str = ""
) -> None:
    """Defines one flag for every field of one settings class."""
    for field in settings.plain_fields(owner):
        _DEFINE[settings.value_type(owner, field)](
            prefix + field.name,
            field.default,
            _help(field),
            flag_values=flag_values,
            # --help shows the flags of the program itself.
            module_name=sys.argv[0],
        )


def settings_from_flags(owner: type, flag_values: flags.FlagValues, prefix: str = ""):
    """An instance of one settings class from its flags; raises SettingsError."""
    values = {f.name: flag_values[prefix + f.name].value for f in settings.plain_fields(owner)}
    for field in settings.part_fields(owner):
        method = values[field.metadata["part"]]
        # A name that is no method is refused by the owner below.
        if method in methods.names():
            values[field.name] = settings_from_flags(
                methods.get(method).Config, flag_values, f"{method}_"
            )
    with settings.flags_named(prefix):
        return owner(**values)


def settings_if_given(owner: type, flag_values: flags.FlagValues):
    """An instance of one settings class where one of its flags was given, else None."""
    given = any(flag_values[field.name].present for field in settings.plain_fields(owner))
    chosen = settings_from_flags(owner, flag_values)
    return chosen if given else None


def parse(arguments: Sequence[str], flag_values: Optional[flags.FlagValues] = None):
    """Settings from command-line arguments, without the program's name.

    Args:
        arguments: flags such as `--mira_beta=0.5` or `--flagfile=configs/digits/mira.cfg`.
        flag_values: flags already defined; a fresh set where None.

    Returns:
        `(ExperimentConfig, FlagValues)`.

    Raises:
        SettingsError: an unknown flag, a value out of range, an impossible combination, or a
            flag of a method that was not chosen.
    """
    if flag_values is None:
        flag_values = flags.FlagValues()
        define(flag_values)
    try:
        rest = flag_values(["program", *arguments])[1:]
    except flags.Error as error:
        raise settings.SettingsError(f"{error}") from error
    if rest:
        raise settings.SettingsError(
            f"expected flags only (--name=value). Received: {' '.join(rest)}."
        )
    return from_flags(flag_values), flag_values


def from_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """The checked settings behind parsed flags; raises SettingsError (see `parse`)."""
    chosen = flag_values["method"].value
    if chosen not in methods.names():
        raise settings.SettingsError(
            f"method: expected one of {', '.join(methods.names())}. Received: {chosen!r}."
        )
    _refuse_flags_of_other_methods(chosen, flag_values)
    parts = {}
    for field in dataclasses.fields(ExperimentConfig):
        owner, prefix = _section(field, chosen)
        parts[field.name] = settings_from_flags(owner, flag_values, prefix)
    return ExperimentConfig(**parts)


def reader(flag_values: flags.FlagValues) -> Callable:
    """A function that reads arguments with the same flags, whose values it leaves alone.

    It maps arguments to `(ExperimentConfig, flagfile)`, see `parse` and `to_flagfile`.
    """

    def read(arguments: Sequence[str]) -> Tuple[ExperimentConfig, str]:
        known = copy.deepcopy(flag_values)
        known.unparse_flags()
        experiment = parse(arguments, known)[0]
        return experiment, to_flagfile(experiment)

    return read


def to_flagfile(config: ExperimentConfig) -> str:
    """All resolved flags, one a line: `--flagfile` of this text gives the same settings."""
    return "".join(f"{line}\n" for line in _lines(config).values())


def complete_flagfile(text: str) -> str:
    """A flagfile's text with the defaults of all flags it does not name; raises SettingsError."""
    return to_flagfile(parse(text.splitlines())[0])


def to_arguments(owner: settings.Settings) -> List[str]:
    """One settings object as command-line arguments; see `settings_from_flags`."""
    return list(_lines_of(owner, "").values())


def expand(arguments: Sequence[str]) -> List[str]:
    """Command-line arguments with every flagfile replaced by its lines; raises SettingsError."""
    try:
        return flags.FlagValues().read_flags_from_files(list(arguments), force_gnu=False)
    except flags.Error as error:
        raise settings.SettingsError(f"{error}") from error


def read_flagfile(path: str) -> ExperimentConfig:
    """The settings in a flagfile, such as a run's `flags.cfg`."""
    return parse([f"--flagfile={path}"])[0]


def read_run(run: RunDirectory, data_dir: Optional[str] = None) -> ExperimentConfig:
    """The settings of a run, with another place of its data where one is given.

    Raises:
        SettingsError: the directory holds no run, or its data have no place.
    """
    if not run.flags.is_file():
        raise settings.SettingsError(
            f"--run_dir={run.path}: expected the directory of a run. Received: no flags.cfg in it."
        )
    config = read_flagfile(str(run.flags))
    if data_dir is None:
        return config
    moved = dataclasses.replace(config.data, data_dir=data_dir)
    return dataclasses.replace(config, data=moved)


def _owners(method_names: Iterable[str]) -> List[Tuple[type, str]]:
    """Every settings class with the prefix of its flags."""
    fields = dataclasses.fields(ExperimentConfig)
    common = [_section(field, "") for field in fields if field.name != "method"]
    return common + [(methods.get(name).Config, f"{name}_") for name in method_names]


def _section(field: dataclasses.Field, method: str) -> Tuple[type, str]:
    """The settings class of one part of ExperimentConfig and the prefix of its flags."""
    if field.name == "method":
        return methods.get(method).Config, f"{method}_"
    return field.type, ""


def _help(field: dataclasses.Field) -> str:
    """Help text with the range behind it."""
    allowed = settings.describe_range(field)
    return field.metadata["help"] + (f" ({allowed})" if allowed else "")


def _refuse_flags_of_other_methods(chosen: str, flag_values: flags.FlagValues) -> None:
    """A flag that would have no effect is an error, not a surprise."""
    config = methods.get(chosen).Config
    parts = [field.metadata["part"] for field in settings.part_fields(config)]
    used = {chosen, *(flag_values[f"{chosen}_{name}"].value for name in parts)}
    for name in methods.names():
        for field in settings.plain_fields(methods.get(name).Config):
            flag = f"{name}_{field.name}"
            if name not in used and flag_values[flag].present:
                raise settings.SettingsError(
                    f"--{flag} belongs to method {name}, expected flags of the chosen method. "
                    f"Received: --method={chosen}. Remedy: drop the flag, or --method={name}."
                )


def _lines(config: ExperimentConfig) -> Dict[str, str]:
    """Flag name -> its line in a flagfile; None, which means unset, has no line."""
    lines = {}
    for part in dataclasses.fields(config):
        prefix = f"{config.training.method}_" if part.name == "method" else ""
        lines.update(_lines_of(getattr(config, part.name), prefix))
    return lines


def _lines_of(owner: settings.Settings, prefix: str) -> Dict[str, str]:
    """The lines of one settings object and of its parts."""
    lines = {}
    for field in settings.plain_fields(owner):
        entry = getattr(owner, field.name)
        name = f"--{prefix}{field.name}"
        if isinstance(entry, bool):
            lines[name] = name if entry else f"--no{name[2:]}"
        elif entry is not None:
            lines[name] = f"{name}={entry}"
    for field in settings.part_fields(owner):
        method = getattr(owner, field.metadata["part"])
        lines.update(_lines_of(getattr(owner, field.name), f"{method}_"))
    return lines
