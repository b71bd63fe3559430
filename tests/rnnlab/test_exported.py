"""The names that the package shows."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import rnnlab


@pytest.mark.parametrize("name", rnnlab.__all__)
def test_every_name_resolves_where_it_says(name: str) -> None:
    value = getattr(rnnlab, name)
    assert value.__name__ == name
    assert value.__doc__
    home = importlib.import_module(value.__module__)
    assert getattr(home, name) is value


def test_the_names_for_type_checkers_are_the_same() -> None:
    tree = ast.parse(Path(rnnlab.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {
        (alias.asname, node.module)
        for node in blocks[0].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name, _ in shown} == set(rnnlab.__all__)
    for name, module in shown:
        assert getattr(importlib.import_module(str(module)), str(name)) is getattr(rnnlab, str(name))


def test_names_are_sorted_and_an_unknown_one_is_told() -> None:
    assert rnnlab.__all__ == sorted(rnnlab.__all__)
    with pytest.raises(AttributeError, match="module 'rnnlab' has no attribute 'trian'"):
        _ = rnnlab.trian
