"""docs/watching.md: its plain script runs, the two it cannot run are what they say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

import rnnlab
from rnnlab.watching import Watched

PAGE = Path(__file__).parents[2] / "docs" / "watching.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_plain_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plain = BLOCKS[0]
    assert len([line for line in plain.splitlines() if line]) <= 15
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    told: dict[str, object] = {}
    exec(compile(plain, str(PAGE), "exec"), told)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["update 0", "update 20", "update 40"]
    assert all("vanishing" in line for line in lines), "a default LSTM over 59 steps"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"gradient-{n}.png" for n in (0, 20, 40)]
    lstm = told["lstm"]
    assert isinstance(lstm, torch.nn.LSTM)
    assert not lstm._forward_hooks
    assert not lstm._forward_pre_hooks


@pytest.mark.parametrize("block", BLOCKS[1:], ids=["lightning", "transformers"])
def test_the_callbacks_are_short_and_call_what_is_there(block: str) -> None:
    """Not run: neither library is installed here. The names of ours that they use exist."""
    assert len(block.strip().splitlines()) < 30
    used = {
        node.attr
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.seen"
    }
    assert used >= {"__enter__", "__exit__", "anchor_curve", "plot"}
    assert all(hasattr(Watched, name) for name in used)


def test_every_method_stands_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = {"hidden_gradients", "lengths", "curve", "anchor_curve", "plot", "to_frame", "modules", "calls", "drift"}
    assert all(f"`seen.{name}" in page for name in shown)
    assert shown | {"lengths_of", "norms"} == {name for name in vars(Watched) if not name.startswith("_")}
    assert rnnlab.watch.__module__ == "rnnlab.watching"
