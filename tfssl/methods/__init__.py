"""Methods: one file each. A module in this folder that defines a `Method` subclass is a method.

Its name is the module's name: `methods/mira.py` is `--method=mira`, and `get("mira")` is its class.
"""

import importlib
import pkgutil
from typing import List, Type

from tfssl.methods._method import Method
from tfssl.methods._plan import Plan

__all__ = ["Method", "Plan", "get", "names"]


def names() -> List[str]:
    """The names of all methods, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def get(name: str) -> Type[Method]:
    """The class of a method; `get(name).Config` is its settings class.

    Raises:
        ValueError: no such method, or its module does not define exactly one.
    """
    if name not in names():
        raise ValueError(f"method: expected one of {', '.join(names())}. Received: {name!r}.")
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ValueError(
            f"tfssl/methods/{name}.py: expected one Method subclass. Received: {len(found)}."
        )
    return found[0]
