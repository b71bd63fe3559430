"""Code of one's own: by dotted name, by entry point, and what is said where it does not keep to the protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from rnnlab import plugins
from rnnlab.cells import CELLS
from rnnlab.choices import Line, choose, options_of, parse_choice
from rnnlab.clipping import CLIPS
from rnnlab.errors import SpecError
from rnnlab.spec import ModelSpec, TrialSpec
from rnnlab.tasks import TASKS
from rnnlab.training.loop import train
from rnnlab.written import validated

ROOT = Path(__file__).parents[2]
HEAD = """from __future__ import annotations
import torch
from rnnlab.cells.base import Cell
from rnnlab.cells.lstm import LSTM
from rnnlab.clipping.base import Clip
from rnnlab.clipping.norm import NormClip
from rnnlab.regularisers.base import Regulariser
from rnnlab.tasks.adding import Adding
from rnnlab.inits.glorot import glorot
class Mine(Cell):
    '''h' = decay h + W x.'''
    gates = ("h",)
    def __init__(self, activation, decay: float = 0.5, form: str = "a"):
        self.decay = decay
    def step(self, weights, x, state):
        w_ih, w_hh, b_ih, b_hh, *_ = weights
        return (self.decay * state[0] + x @ w_ih.transpose(1, 2) + (b_ih + 0 * b_hh)[:, None] + 0 * (state[0] @ w_hh),)
"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported, and gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def written(text: str, head: str = HEAD) -> str:
        name = f"mine_{tmp_path.name}_{len(names)}".replace("-", "_").replace("[", "_").replace("]", "_")
        (tmp_path / f"{name}.py").write_text(head + text)
        names.append(name)
        return name

    yield written
    for name in names:
        sys.modules.pop(name, None)


def trial(**sections: Any) -> TrialSpec:
    plain = {
        "task": {"kind": "adding", "length": 10},
        "model": {"hidden": 4},
        "optim": {"batch": 4},
        "budget": {"updates": 2, "evaluations": 1},
        "probe": {"batch": 2},
        "replicates": 2,
    }
    return validated(TrialSpec, {**plain, **sections})


class TestADottedName:
    def test_options_are_those_of_the_signature(self, write: Write) -> None:
        name = f"{write('')}:Mine"
        line = choose(CELLS, name)
        assert (line.summary, line.own) == ("h' = decay h + W x.", True)
        assert options_of(CELLS, name, {}) == {"decay": 0.5, "form": "a"}
        assert parse_choice(CELLS, {name: 0.25}).label == f"{name}(0.25, a)"
        with pytest.raises(SpecError, match="has no option 'decai'; did you mean 'decay'"):
            parse_choice(CELLS, {name: {"decai": 1}})
        with pytest.raises(SpecError, match="option 'decay' is 'x'; it should be a valid number"):
            parse_choice(CELLS, {name: {"decay": "x"}})

    def test_a_trial_trains_with_every_kind(self, write: Write) -> None:
        name = write(
            "class Half(Clip):\n    def __init__(self, share: float = 0.5):\n        self.share = share\n"
            "    def __call__(self, g_SP, norm_S):\n        return g_SP * self.share\n"
            "class Sum(Regulariser):\n    def penalty(self, hidden):\n        return hidden[0].square().mean((0, 2, 3))\n"
            "class Shorter(Adding):\n    '''Adding, as it is.'''\n"
            "    from rnnlab.tasks import TASKS\n    options = TASKS['adding'].options\n"
            "def twice(draws, by: float = 2.0):\n    made = glorot(draws)\n    made.w_hh_GH *= by\n    return made\n"
        )
        spec = trial(
            task={"kind": f"{name}:Shorter", "length": 12},
            model={"cell": {f"{name}:Mine": {"decay": 0.9}}, "init": f"{name}:twice", "hidden": 4, "depth": 2},
            optim={"clip": {f"{name}:Half": 0.25}, "regulariser": f"{name}:Sum", "batch": 4},
        )
        assert TrialSpec.model_validate(spec.model_dump(mode="json")) == spec
        found = train(spec)
        assert [r.outcome.value for r in found.replicates] == ["finished", "finished"]
        assert [r.clip_coefficient for r in found.replicates] == [pytest.approx(0.25)] * 2

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (
                "no_such_package.cells:Mine",
                r"cell 'no_such_package.cells:Mine' cannot be imported \(ModuleNotFoundError",
            ),
            ("{}:Mien", "has no 'Mien'; did you mean 'Mine'"),
            ("{}:HEIGHT", "must be a class derived from rnnlab.cells.base.Cell, but is of type int"),
            ("{}:NormClip", "must be a class derived from rnnlab.cells.base.Cell, but is the class NormClip"),
            ("{}:Bare", "lacks the method 'step'"),
            ("{}:Untyped", "its option 'decay' has no type"),
            ("{}.Mine", "is unknown"),
            ("../{}:Mine", "is unknown"),
            ("{}:Mine.step", "is unknown"),
        ],
    )
    def test_what_is_no_cell_is_told(self, write: Write, given: str, words: str) -> None:
        name = write(
            "HEIGHT = 3\nclass Bare(Cell):\n    gates = ('h',)\n"
            "class Untyped(Mine):\n    def __init__(self, activation, decay=1):\n        pass\n"
        )
        with pytest.raises(SpecError, match=words):
            validated(ModelSpec, {"cell": given.format(name)})

    def test_no_table_of_recipes_imports(self) -> None:
        from sweeps.recipes import RECIPES

        with pytest.raises(SpecError, match="recipe 'os:getcwd' is unknown"):
            choose(RECIPES, "os:getcwd")
        assert "os:getcwd" not in CELLS
        assert CELLS.get("os:getcwd") is None


BROKEN = {
    "one tensor": (
        "class Bad(Mine):\n    def step(self, weights, x, state):\n        return state[0]\n",
        r"its step must return a tuple of 1 tensors \(S, B, H\) = \(2, 2, 4\), one a state \(h\), but returned Tensor",
    ),
    "a wrong shape": (
        "class Bad(Mine):\n    def step(self, weights, x, state):\n        return (state[0][0],)\n",
        r"state 'h' that its step returns must be a tensor \(S, B, H\) = \(2, 2, 4\), but it is of the shape \(2, 4\)",
    ),
    "an error": (
        "class Bad(Mine):\n    def step(self, weights, x, state):\n        return (state[1],)\n",
        "its step raised IndexError: tuple index out of range",
    ),
    "too few states": (
        "class Bad(Mine):\n    states = ('h', 'c')\n    anchor_state = 'c'\n",
        r"a tuple of 2 tensors .*one a state \(h, c\), but returned 1 of them",
    ),
    "another lane": (
        "class Bad(Mine):\n    def step(self, weights, x, state):\n"
        "        return super().step(weights, x, (state[0].flip(0),))\n",
        "in its step a lane must see nothing of the others, but lane 0 depends on another's weights",
    ),
    "one lane for all": (
        "class Bad(Mine):\n    def step(self, weights, x, state):\n"
        "        return (super().step(weights, x, state)[0] + state[0][0],)\n",
        "in its step a lane must see nothing of the others, but lane 1 depends on another's weights",
    ),
    "no h": ("class Bad(Mine):\n    states = ('c',)\n", "its `states` must begin with 'h'"),
    "no gates": ("class Bad(Mine):\n    gates = []\n", "its `gates` must be a tuple of names"),
    "a scan of one step": (
        "class Bad(Mine):\n    def scan(self, weights, x, probes=None):\n"
        "        return {'h': super().scan(weights, x, probes)['h'][:1]}\n",
        r"state 'h' that its scan returns must be a tensor \(T, S, B, H\) = \(2, 2, 2, 4\)",
    ),
    "a scan that cuts": (
        "class Bad(Mine):\n    def scan(self, weights, x, probes=None):\n"
        "        return {'h': super().scan(weights, x, probes)['h'].detach() + probes['h']}\n",
        "its scan has other gradients than a loop over its step",
    ),
    "no dict": (
        "class Bad(Mine):\n    def scan(self, weights, x, probes=None):\n        return x\n",
        "its scan must return a dict of h",
    ),
    "its init": (
        "class Bad(Mine):\n    def __init__(self, activation, decay: float = 1.0):\n        raise ValueError('no')\n",
        "its __init__ raised ValueError: no",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_cell_that_breaks_the_protocol_is_told_method_and_shapes(write: Write, case: str) -> None:
    text, words = BROKEN[case]
    with pytest.raises(SpecError, match=words):
        validated(ModelSpec, {"cell": f"{write(text)}:Bad"})


@pytest.mark.parametrize(
    ("sections", "text", "words"),
    [
        (
            {"optim": {"clip": "{}:Bad"}},
            "class Bad(Clip):\n    def __call__(self, g_SP, norm_S):\n        return norm_S\n",
            r"what its __call__ returns must be a tensor \(S, P\) = \(2, \d+\), but it is of the shape \(2,\)",
        ),
        (
            {"optim": {"regulariser": "{}:Bad"}},
            "class Bad(Regulariser):\n    def penalty(self, hidden):\n        return hidden[0].sum()\n",
            r"what its penalty returns must be a tensor \(S,\) = \(2,\)",
        ),
        (
            {"task": {"kind": "{}:Bad"}},
            "class Bad(Adding):\n    from rnnlab.tasks import TASKS\n    options = TASKS['adding'].options\n"
            "    def draw(self, generator, count):\n        return super().draw(generator, count + 1)\n",
            r"x_TNI that its draw returns must be a tensor \(T, N, I\) = \(100, 2, 2\)",
        ),
        ({"model": {"init": "{}:bad"}}, "def bad(draws):\n    return None\n", "its init raised AttributeError"),
    ],
)
def test_other_kinds_too(write: Write, sections: dict[str, Any], text: str, words: str) -> None:
    name = write(text)
    filled = {key: {field: value.format(name) for field, value in part.items()} for key, part in sections.items()}
    with pytest.raises(SpecError, match=words):
        trial(**filled)


class TestEntryPoints:
    @staticmethod
    def points(*values: str) -> list[EntryPoint]:
        return [EntryPoint(f"number{n}", value, plugins.GROUP) for n, value in enumerate(values)]

    def test_lines_of_a_mapping_or_a_function(self, write: Write) -> None:
        name = write(
            "ADDED = {'cell': {'mine': __name__ + ':Mine'}}\n"
            "from rnnlab.choices import Line\n"
            "def more():\n    return {'clip': {'same': Line(__name__ + ':NormClip', 'the same', 'me')}}\n"
        )
        found = plugins.gathered(self.points(f"{name}:ADDED", f"{name}:more"))
        assert found["cell"]["mine"].options["decay"] == (float, 0.5)
        assert found["clip"]["same"] == Line(f"{name}:NormClip", "the same", "me")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                "A = B = {'cell': {'mine': __name__ + ':Mine'}}",
                "'number1' .* gives the cell 'mine', which the plug-in 'number0'",
            ),
            ("A = {}\nB = {'cells': {}}", "there is no table 'cells'; did you mean 'cell'"),
            ("A = {}\nB = [1]", r"must be a mapping \{noun: \{name: line\}\}, but is \[1\]"),
            (
                "A = {}\ndef B():\n    raise OSError('gone')",
                r"cannot be loaded \(OSError: gone\); mend or uninstall it",
            ),
        ],
    )
    def test_what_is_wrong_with_them_is_told(self, write: Write, text: str, words: str) -> None:
        name = write(text + "\n")
        with pytest.raises(SpecError, match=words):
            plugins.gathered(self.points(f"{name}:A", f"{name}:B"))

    def test_an_installed_package_is_in_the_tables(self, tmp_path: Path) -> None:
        """As pip leaves it: a module and its metadata in a folder of sys.path."""
        (tmp_path / "theirs.py").write_text(
            HEAD + "ADDED = {'cell': {'mine': 'theirs:Mine'}, 'clip': {'norm': 'theirs:NormClip'}}\n"
        )
        info = tmp_path / "theirs-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\ntheirs = theirs:ADDED\n")
        code = (
            "from rnnlab.cells import CELLS\nfrom rnnlab.clipping import CLIPS\nfrom rnnlab.spec import ModelSpec\n"
            "assert list(CELLS)[-1] == 'mine' and CELLS['mine'].own, list(CELLS)\n"
            "assert ModelSpec.model_validate({'cell': {'mine': 0.5}}).cell.label == 'mine(0.5, a)'\n"
            "try:\n    list(CLIPS)\nexcept Exception as error:\n    print(error)\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == "a plug-in gives the clip 'norm', a name that rnnlab has itself; rename it"


def test_ours_are_not_tried_and_nothing_is_imported() -> None:
    assert not any(line.own for table in (CELLS, CLIPS, TASKS) for line in table.lines.values())
    assert "torch" not in str(CELLS["rnn"].options)
