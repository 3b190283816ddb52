"""The examples in docstrings are right."""

import doctest
import importlib
import pkgutil

import tfssl


def test_examples():
    tried = 0
    for module in pkgutil.walk_packages(tfssl.__path__, "tfssl."):
        result = doctest.testmod(importlib.import_module(module.name))
        assert not result.failed, module.name
        tried += result.attempted
    assert tried
