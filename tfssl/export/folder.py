"""Writing a folder so that it is there as a whole or not at all."""

import contextlib
import json
import pathlib
import shutil
from typing import Iterator

DESCRIPTION = "export.json"
FORMAT = "tfssl backbone"
GENERATOR_FORMAT = "tfssl view generator"


@contextlib.contextmanager
def whole_folder(path: pathlib.Path, kind: str = FORMAT) -> Iterator[pathlib.Path]:
    """Gives an empty sibling folder to write into, which takes the place of `path` at the end.

    Where the block raises, or the process is killed in it, `path` stays as it was.

    Args:
        path: the folder to write; an empty folder or an earlier export is replaced.
        kind: the format of such an export.

    Raises:
        ValueError: `path` holds anything else.
    """
    refuse_foreign(path, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    replaced = path.with_name(f".{path.name}.replaced")
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            path.rename(replaced)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


def refuse_foreign(path: pathlib.Path, kind: str = FORMAT) -> None:
    """Raises ValueError unless `path` is free, an empty folder, or an earlier export of a kind."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        if json.loads((path / DESCRIPTION).read_text())["format"] == kind:
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ValueError(
        f"expected a free path, an empty folder or an earlier export. Received: path={path}, which "
        "holds something else. Remedy: another path, or remove it yourself."
    )
