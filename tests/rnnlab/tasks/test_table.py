from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss

from rnnlab.errors import DataError, SpecError
from rnnlab.spec import TaskSpec
from rnnlab.tasks.stored import HELD_OUT
from rnnlab.tasks.table import TableTask

NEXT = {"inputs": ["a", "b"], "target": "y", "lag": 1, "length": 3}
STEP = {**NEXT, "predict": "step_class", "target": "side"}
SEQUENCE = {**NEXT, "predict": "sequence_class", "target": "kind", "group": "g", "split": "group"}


def table(path: Path | str, **options: Any) -> TableTask:
    return TableTask(TaskSpec.model_validate({"kind": "table", "path": str(path), **options}))


def series(rows: int, groups: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"g": np.repeat([f"g{i}" for i in range(groups)], rows)})
    frame["a"] = draw.normal(5, 3, len(frame))
    frame["b"] = np.arange(len(frame))
    frame["y"] = draw.normal(-2, 10, len(frame))
    frame["side"] = np.where(frame["y"] > -2, "up", "down")
    frame["kind"] = frame["g"].str[1:].astype(int) % 2
    return frame


@pytest.fixture
def long(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    frame = series(100)
    frame.to_csv(tmp_path / "long.csv", index=False)
    return tmp_path / "long.csv", frame


@pytest.fixture
def grouped(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Twelve groups of 20 rows, shuffled together in the file."""
    frame = series(20, 12).sample(frac=1, random_state=1).reset_index(drop=True)
    frame.to_csv(tmp_path / "grouped.csv", index=False)
    return tmp_path / "grouped.csv", frame


class TestNext:
    def test_each_step_wants_the_next_row(self, long: tuple[Path, pd.DataFrame]) -> None:
        """A slow twin: every window of every part again, row by row."""
        path, frame = long
        task = table(path, **NEXT)
        known = frame[:70]
        x = (frame[["a", "b"]] - known[["a", "b"]].mean()) / known[["a", "b"]].std(ddof=0)
        y = (frame["y"] - known["y"].mean()) / known["y"].std(ddof=0)
        for part, first, stop in (("training", 0, 70), ("validation", 70, 85), ("test", 85, 100)):
            batch = getattr(task, part)
            assert batch.x_TNI.shape == (3, stop - first - 3, 2)
            for window in range(stop - first - 3):
                rows = slice(first + window, first + window + 3)
                following = slice(rows.start + 1, rows.stop + 1)
                assert following.stop <= stop
                np.testing.assert_allclose(batch.x_TNI[:, window], x[rows], rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(batch.y_TN[:, window, 0], y[following], rtol=1e-5, atol=1e-6)
        assert task.positions == [0, 1, 2]
        assert (task.inputs, task.outputs, task.lag, task.objective) == (2, 1, 1, "mse")

    def test_the_baseline_is_the_error_of_the_training_mean(self, long: tuple[Path, pd.DataFrame]) -> None:
        path, frame = long
        known = frame["y"][:70]
        for split, first in (("validation", 70), ("test", 85)):
            squares = ((frame["y"] - known.mean()) / known.std(ddof=0)).to_numpy() ** 2
            # step t of the windows that begin at first .. first + 11 wants rows first + t + 1 ...
            expected_T = [squares[first + t + 1 : first + t + 13].mean() for t in range(3)]
            actual_T = table(path, **NEXT).baseline_by_timestep(split)  # type: ignore[arg-type]
            np.testing.assert_allclose(actual_T, expected_T, rtol=1e-5)  # targets are float32

    def test_windows_stay_inside_a_group(self, grouped: tuple[Path, pd.DataFrame]) -> None:
        path, frame = grouped
        task = table(path, **{**NEXT, "length": 2}, group="g")
        # 20 rows are 14, 3, 3: windows of 2 with a next row number 12, 1, 1 a group
        assert [p.x_TNI.shape[1] for p in (task.training, task.validation, task.test)] == [144, 12, 12]
        b = frame.groupby("g", sort=False)["b"]
        last = pd.concat([rows[-3:-1] for _, rows in b]).to_numpy()
        training = pd.concat([rows[:14] for _, rows in b])
        expected = (last - training.mean()) / training.std(ddof=0)
        np.testing.assert_allclose(task.test.x_TNI[..., 1].T.flatten(), expected, rtol=1e-5, atol=1e-6)

    def test_whole_groups_can_be_held_out(self, grouped: tuple[Path, pd.DataFrame]) -> None:
        task = table(grouped[0], **NEXT, group="g", split="group")
        # shares of 0.15 of 12 groups are 1 and 1; a group gives 17 windows
        assert [p.x_TNI.shape[1] for p in (task.training, task.validation, task.test)] == [170, 17, 17]

    def test_a_group_too_short_for_a_window_is_left_out(self, tmp_path: Path) -> None:
        frame = series(100)
        short = series(2).assign(g="short", a=1e9)
        frame.to_csv(tmp_path / "long.csv", index=False)
        pd.concat([frame, short]).to_csv(tmp_path / "both.csv", index=False)
        without, both = table(tmp_path / "long.csv", **NEXT), table(tmp_path / "both.csv", **NEXT, group="g")
        assert torch.equal(without.training.x_TNI, both.training.x_TNI)
        assert torch.equal(without.test.y_TN, both.test.y_TN)

    def test_a_long_split_is_thinned_evenly(self, tmp_path: Path) -> None:
        series(10_000).to_csv(tmp_path / "f.csv", index=False)
        task = table(tmp_path / "f.csv", **NEXT)
        assert task.training.x_TNI.shape[1] == 7000 - 3
        assert task.validation.x_TNI.shape[1] == HELD_OUT
        starts = task.windows_of("test").starts_N
        assert (int(starts[0]), int(starts[-1])) == (8500, 10_000 - 4)
        assert set(starts.diff().tolist()) == {1, 2}

    def test_a_constant_input_is_zero(self, tmp_path: Path) -> None:
        series(100).assign(a=0.1).to_csv(tmp_path / "f.csv", index=False)
        task = table(tmp_path / "f.csv", **NEXT)
        assert task.training.x_TNI[..., 0].abs().max() < 1e-6


class TestClasses:
    def test_each_row_has_its_class(self, long: tuple[Path, pd.DataFrame]) -> None:
        path, frame = long
        task = table(path, **STEP)
        codes = (frame["side"] == "up").to_numpy(int)  # down is 0, up is 1: ascending
        expected_NT = np.lib.stride_tricks.sliding_window_view(codes[70:85], 3)
        assert task.validation.y_TN.T.tolist() == expected_NT.tolist()
        assert task.positions == [0, 1, 2]
        assert (task.outputs, task.objective) == (2, "cross_entropy")

    def test_the_baseline_is_the_log_loss_of_the_training_frequencies(self, long: tuple[Path, pd.DataFrame]) -> None:
        path, frame = long
        share = float((frame["side"][:70] == "up").mean())
        task = table(path, **STEP)
        for split in ("validation", "test"):
            y_TN = getattr(task, split).y_TN.numpy()
            expected_T = [log_loss(y, np.full(len(y), share), labels=[0, 1]) for y in y_TN]
            np.testing.assert_allclose(task.baseline_by_timestep(split), expected_T, rtol=1e-9)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("values", "expected"), [([10, 9], [1, 0]), (["10", "9"], [1, 0]), (["b", "10"], [1, 0])])
    def test_whole_numbers_are_in_number_order(self, tmp_path: Path, values: list[Any], expected: list[int]) -> None:
        series(100).assign(side=values * 50).to_csv(tmp_path / "f.csv", index=False)
        assert table(tmp_path / "f.csv", **STEP).training.y_TN[:2, 0].tolist() == expected

    def test_a_group_is_its_last_rows_and_its_class(self, grouped: tuple[Path, pd.DataFrame]) -> None:
        path, frame = grouped
        task = table(path, **SEQUENCE)
        parts = (task.training, task.validation, task.test)
        assert [part.x_TNI.shape for part in parts] == [(3, 10, 2), (3, 1, 2), (3, 1, 2)]
        seen = torch.cat([part.x_TNI for part in parts], 1)[..., 1].T.double()
        classes = torch.cat([part.y_TN for part in parts], 1)
        assert (classes == classes[0]).all()
        # undo the standardisation with two known values, then find each group's last three
        last = {tuple(rows["b"][-3:]): rows["kind"].iloc[0] for _, rows in frame.groupby("g")}
        values = np.array(sorted(value for key in last for value in key))
        order = np.sort(seen.flatten().numpy())
        slope = (values[-1] - values[0]) / (order[-1] - order[0])
        recovered = np.rint((seen.numpy() - order[0]) * slope + values[0]).astype(int)
        found = {tuple(row): kind for row, kind in zip(recovered.tolist(), classes[0].tolist(), strict=True)}
        assert found == last
        assert task.positions == [2]


@pytest.mark.parametrize("options", [NEXT, STEP, SEQUENCE], ids=lambda options: options.get("predict", "next"))
def test_csv_and_parquet_give_the_same_tensors(grouped: tuple[Path, pd.DataFrame], options: dict[str, Any]) -> None:
    path, frame = grouped
    # a class that a Parquet file keeps as 1.0 is the CSV file's 1
    frame.astype({"kind": float}).to_parquet(path.with_suffix(".parquet"))
    first, second = table(path, **options), table(path.with_suffix(".parquet"), **options)
    for part in ("training", "validation", "test"):
        assert torch.equal(getattr(first, part).x_TNI, getattr(second, part).x_TNI)
        assert torch.equal(getattr(first, part).y_TN, getattr(second, part).y_TN)


def test_a_bom_blank_lines_and_quotes_are_read(tmp_path: Path) -> None:
    rows = [f'"{a}", {b}, {y}' for a, b, y in zip(range(40), range(40), np.sin(range(40)), strict=True)]
    (tmp_path / "f.CSV").write_text("\ufeffa, b, y\n\n" + "\n\n".join(rows) + "\n", encoding="utf-8")
    assert table(tmp_path / "f.CSV", **NEXT).training.x_TNI.shape == (3, 25, 2)


def rows_of(*lines: str, fill: int = 100) -> str:
    """A file with these lines first and `fill` sound ones after them."""
    sound = [f"{i},{i % 7},{i % 5},{'up' if i % 2 else 'down'}" for i in range(fill)]
    return "\n".join(["a,b,y,side", *lines, *sound]) + "\n"


BAD: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "empty": ("", NEXT, ["is empty", "a header and rows"]),
    "blank": ("\n\n", NEXT, ["is empty"]),
    "header only": ("a,b,y\n", NEXT, ["header but no rows", "add rows"]),
    "short line": (rows_of("1,2,3,up", "1,2"), NEXT, ["line 3", "the header, 4", "has 2", "correct it"]),
    "long line": (rows_of("1,2,3,up,9"), NEXT, ["line 2", "the header, 4", "has 5"]),
    "line after a quoted break": (rows_of('1,2,3,"u\np"', "1"), NEXT, ["line 4", "has 1"]),
    "open quote": (rows_of('1,2,3,"up'), NEXT, ["is not CSV after line"]),
    "not text": (b"a,b,y\n\xff\xfe\x00,1,2\n", NEXT, ["not text in UTF-8"]),
    "name twice": ("a,b,y,a\n1,2,3,4\n", NEXT, ["'a' stands twice", "rename"]),
    "unknown column": (
        "a,bb,y\n1,2,3\n",
        NEXT,
        ["no column 'b'", "did you mean 'bb'?", "columns: a, bb, y"],
    ),
    "unknown target": (rows_of(), {**NEXT, "target": "sid"}, ["no column 'sid'", "did you mean 'side'?"]),
    "unknown group": (rows_of(), {**NEXT, "group": "site"}, ["no column 'site'", "did you mean 'side'?"]),
    "semicolons": ("a;b;y\n1;2;3\n", NEXT, ["separated by commas"]),
    "text for a number": (
        rows_of("1,2,3,up", "1,x9,3,up"),
        NEXT,
        ["line 3", "column 'b'", "'x9'", "a number is required"],
    ),
    "text for a target": (rows_of(), {**NEXT, "target": "side"}, ["line 2", "column 'side'", "'down'"]),
    "underscore": (rows_of("1_0,2,3,up"), NEXT, ["line 2", "column 'a'", "'1_0'"]),
    "missing": (
        rows_of("1,,3,up"),
        NEXT,
        ["line 2", "column 'b'", "missing", "fill it in or remove the row"],
    ),
    "missing as NaN": (rows_of("1,NaN,3,up"), NEXT, ["line 2", "column 'b'", "missing"]),
    "missing class": (rows_of("1,2,3,"), STEP, ["line 2", "column 'side'", "missing"]),
    "infinite": (rows_of("1,2,-inf,up"), NEXT, ["line 2", "column 'y'", "finite", "'-inf'"]),
    "beyond float32": (rows_of("1e39,2,3,up"), NEXT, ["line 2", "column 'a'", "finite", "'1e39'"]),
    "too few to validate": (
        rows_of(fill=20),
        NEXT,
        [
            "the validation part has too few rows",
            "`length: 3`",
            "requires 4 rows",
            "at most 3",
            "27 rows or more",
        ],
    ),
    "too few to test": (
        rows_of(fill=20),
        {**NEXT, "test": 0.1, "validation": 0.3},
        ["the test part has too few rows", "at most 2", "40 rows or more"],
    ),
    "too few to train": (
        rows_of(fill=10),
        {**STEP, "validation": 0.45, "test": 0.45},
        ["the training part has too few rows", "`predict: step_class` requires 3 rows", "at most 2"],
    ),
    "constant target": (
        "a,b,y\n" + "".join(f"{i},{i},4\n" for i in range(100)),
        NEXT,
        ["'y' must vary", "4 in all"],
    ),
    "one class": (
        "a,b,side\n" + "".join(f"{i},{i},up\n" for i in range(100)),
        STEP,
        ["'side' must have at least 2 classes", "only 'up'"],
    ),
    "fraction as class": (
        "a,b,side\n" + "".join(f"{i},{i},{i % 2 + (i == 5) / 2}\n" for i in range(100)),
        STEP,
        ["line 7, column 'side'", "text or a whole number", "1.5", "`predict: next`"],
    ),
    "unseen class": (
        rows_of(fill=85) + "1,2,3,new\n" * 15,
        STEP,
        ["every class of 'side'", "'new' is only in the test part", "add rows"],
    ),
    "two groups": (
        "a,b,y,g\n" + "".join(f"{i},{i},{i},{i % 2}\n" for i in range(100)),
        {**NEXT, "group": "g", "split": "group"},
        ["at least 3 groups", "'g' has 2", "`split: time`"],
    ),
    "short groups": (
        "a,b,y,g\n" + "".join(f"{i},{i},{i},{i // 3}\n" for i in range(99)),
        {**NEXT, "group": "g", "split": "group"},
        ["the training part", "requires 4 rows", "at most 3", "add longer groups"],
    ),
    "short sequence": (
        "a,b,kind,g\n" + "".join(f"{i},{i},{i // 4 % 2},{i // 4}\n" for i in range(98)),
        SEQUENCE,
        ["`length: 3`", "group '24' of 'g' has 2", "shorter length"],
    ),
    "two classes in a group": (
        "a,b,kind,g\n" + "".join(f"{i},{i},{i % 2},{i // 4}\n" for i in range(100)),
        SEQUENCE,
        ["line 3", "'kind' must be the same in a whole group", "group '0' has '0' and '1'", "step_class"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_in_one_message(tmp_path: Path, name: str) -> None:
    content, options, fragments = BAD[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        table(path, **options)
    for fragment in [str(path), *fragments]:
        assert fragment in str(caught.value), str(caught.value)


def test_a_bad_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "rain.csv").write_text("a,b,y\n")
    (tmp_path / "notes.txt").write_text("a,b,y\n")
    (tmp_path / "folder.csv").mkdir()
    for name, fragments in {
        "ran.csv": ["no file at", "did you mean 'rain.csv'?", "correct `path`"],
        "nowhere/at/all.csv": ["no file at"],
        "folder.csv": ["is a directory", ".csv or .parquet"],
        "notes.txt": ["must end in .csv or .parquet", "'.txt'", "save it"],
    }.items():
        with pytest.raises(DataError) as caught:
            table(tmp_path / name, **NEXT)
        for fragment in fragments:
            assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"b": [1.0, None] * 50}, ["row 2, column 'b'", "missing"]),
        ({"b": [1.0, np.inf] * 50}, ["row 2, column 'b'", "finite"]),
        ({"b": ["1", "x"] * 50}, ["row 2, column 'b'", "'x'"]),
        ({"b": pd.date_range("2020", periods=100)}, ["row 1, column 'b'", "a number is required"]),
    ],
)
def test_a_parquet_file_names_the_row(tmp_path: Path, change: dict[str, Any], fragments: list[str]) -> None:
    series(100).assign(**change).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError) as caught:
        table(tmp_path / "bad.parquet", **NEXT)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_what_is_not_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_text("a,b,y\n1,2,3\n")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        table(tmp_path / "bad.parquet", **NEXT)
    series(0).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="header but no rows"):
        table(tmp_path / "none.parquet", **NEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**NEXT, "lag": 3}, r"task.lag must be at most length - 1 = 2, but is 3"),
        ({**NEXT, "inputs": ["a", "a"]}, r"must name each column once, but is \['a', 'a'\]"),
        ({**STEP, "target": "a"}, r"must not read its target, but inputs hold 'a'"),
        ({**SEQUENCE, "split": "time"}, r"sequence_class requires split: group, but split is 'time'"),
        ({**SEQUENCE, "group": None}, r"split: group requires `group`, the column"),
        ({**SEQUENCE, "group": None, "split": "time"}, r"predict: sequence_class requires `group`"),
        ({**NEXT, "split": "group"}, r"split: group requires `group`"),
    ],
)
def test_options_that_do_not_fit_are_told_before_the_file(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        table("nowhere.csv", **options)
