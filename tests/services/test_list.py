"""`rnnlab list`, and the page that is made of it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnlab.choices import Line, Table
from rnnlab.errors import SpecError
from services.cli.app import app
from sweeps.alternatives import TABLES, as_markdown, option_text, table_of

ROOT = Path(__file__).parents[2]


def listed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["list", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_page_is_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == listed("--markdown"), "write it again: rnnlab list --markdown > docs/tables.md"


def test_every_table_of_the_packages_is_listed() -> None:
    """A table that someone adds and does not register is found here."""
    found = set()
    for path in [*(ROOT / "rnnlab").rglob("__init__.py"), *(ROOT / "sweeps").rglob("__init__.py")]:
        module = ".".join(path.relative_to(ROOT).parent.parts)
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("= Table("):
                found.add(f"{module}:{line.split()[0]}")
    assert len(found) >= 11
    assert found == set(TABLES.values())


def test_all_tables_are_named() -> None:
    said = listed()
    for name in TABLES:
        assert f"{name}: {', '.join(table_of(name))}\n" in said
    assert json.loads(listed("--json")) == [{"name": name, "lines": list(table_of(name))} for name in TABLES]


@pytest.mark.parametrize("name", TABLES)
def test_one_table_as_text_as_json_and_as_markdown(name: str) -> None:
    text, rows, markdown = listed(name), json.loads(listed(name, "--json")), listed(name, "--markdown")
    assert [row["name"] for row in rows] == list(table_of(name))
    for row, line in zip(rows, table_of(name).values(), strict=True):
        assert (row["summary"], row["source"]) == (line.summary, line.source)
        assert f"{row['name']}: {line.summary} [{line.source}]\n" in text
        assert f"| `{row['name']}` | " in markdown
        assert [option["name"] for option in row["options"]] == list(line.options)
        assert row["cells"] == (None if line.cells is None else list(line.cells))
        for option in row["options"]:
            assert option["description"], f"{name} {row['name']}.{option['name']} needs a description"
            assert f"    {option_text(option)}\n" in text
    assert markdown in listed("--markdown")


def test_what_a_line_says() -> None:
    assert "orthogonal: W_hh per gate" in listed("inits")
    assert "    gain = 1: singular value of every gate's W_hh\n" in listed("inits")
    assert "    values = 5: different symbols [2, 5]\n" in listed("tasks")
    assert "    lag (required): steps back" in listed("tasks")
    assert "    path: a text file in UTF-8; default" in listed("tasks")
    assert "    fits: rnn with tanh or softsign or sin\n" in listed("inits")


def test_a_pipe_does_not_end_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("thing", {"abs": Line("a.b:c", "|a| of a", "someone")})
    monkeypatch.setattr("sweeps.alternatives.table_of", lambda name: table)
    assert "| `abs` | \\|a\\| of a |  | all | someone |" in as_markdown(["things"])


def test_a_wrong_name_is_one_message() -> None:
    with pytest.raises(SpecError, match=r"no table 'task'; did you mean 'tasks'\? \(tables: cells, "):
        table_of("task")
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.app", "list", "cels"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no table 'cels'; did you mean 'cells'?")
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [[], ["tasks"], ["--markdown"]])
def test_it_loads_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom services.cli.app import app\n"
        f"app(['list', *{arguments!r}], standalone_mode=False)\n"
        "print([name for name in ('torch', 'ray', 'optuna', 'mlflow', 'scipy', 'sqlalchemy') if name in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2  # about 0.3 s
