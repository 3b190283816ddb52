"""Imports point down or sideways, never up: the rooms stay as README draws them."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "tfssl"

# The lower the number, the deeper the room. Rooms of one floor may import each other, loops aside.
FLOORS = {
    "settings": 0,
    "ops": 1,
    "losses": 2,
    "layers": 2,
    "backbones": 2,
    "views": 2,
    "data": 2,
    "methods": 3,
    "plots": 4,
    "export": 4,
    "evaluation": 4,
    "training": 5,
    "config": 6,
}
# What a room must not know although it lies below it.
FORBIDDEN = {("evaluation", "methods"), ("losses", "layers"), ("losses", "backbones")}


def room(path: pathlib.Path) -> str:
    """The room a file belongs to."""
    return path.relative_to(ROOT).parts[0].replace(".py", "")


def imported_rooms(source: str):
    """The rooms of tfssl that a source text imports, with line numbers."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "tfssl" and len(parts) > 1 and parts[1] in FLOORS:
                yield parts[1], node.lineno


def violations(importer: str, source: str):
    """Imports in a source text of room `importer` that point up or are forbidden."""
    return [
        f"line {line}: {importer} imports {imported}"
        for imported, line in imported_rooms(source)
        if FLOORS[imported] > FLOORS[importer] or (importer, imported) in FORBIDDEN
    ]


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    assert room(path) in FLOORS, "a new room needs a floor"
    assert not violations(room(path), path.read_text())


def test_an_upward_import_is_found():
    assert violations("ops", "import tfssl.methods.mira")
    assert violations("losses", "def f():\n    from tfssl import layers")
    assert not violations("methods", "from tfssl import ops, layers")


def test_rooms_of_one_floor_make_no_loop():
    edges = {}
    for path in FILES:
        targets = {name for name, _ in imported_rooms(path.read_text())} - {room(path)}
        edges.setdefault(room(path), set()).update(targets)

    def reaches(start, goal, seen):
        return any(
            nxt == goal or (nxt not in seen and reaches(nxt, goal, seen | {nxt}))
            for nxt in edges.get(start, ())
        )

    assert not [name for name in edges if reaches(name, name, {name})]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_keras_is_only_reached_through_tensorflow(path):
    names = [
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    assert not [n for n in names if n.split(".")[0] in ("keras", "tf_keras")]


def test_absl_flags_stay_in_config():
    users = [
        p.name for p in FILES if "absl.flags" in p.read_text() or "import flags" in p.read_text()
    ]
    assert users == ["config.py"]
