"""Reading a person's CSV or Parquet file, cell by cell, so that every complaint can name the line."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlab.choices import nearest
from rnnlab.errors import DataError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""What a missing number looks like, in lower case. A missing label is empty: "none" may be a class."""
LARGEST = float(np.finfo(np.float32).max)

Rows = Generator[tuple[int, Sequence[Any]], None, None]
"""The header and then the rows, each with its number: the line of a CSV file, or the row of a Parquet file,
counted from 1 under the header. A missing Parquet cell is None."""


@dataclass(frozen=True)
class Columns:
    """The columns that were asked for, checked: no cell is missing and every number is finite."""

    source: Path
    numbers: dict[str, npt.NDArray[np.float64]]
    labels: dict[str, list[str]]
    places: Sequence[int]
    unit: str
    """What `places` counts: "line" or "row"."""

    def place(self, row: int) -> str:
        """Where a row stands in the file, for messages."""
        return f"{self.source}, {self.unit} {self.places[row]}"


def read_columns(path: str, numbers: Sequence[str], labels: Sequence[str]) -> Columns:
    """Columns of numbers and columns of labels of one file; a name may stand in both.

    Raises:
        DataError: anything wrong with the file or a cell that is needed.
    """
    source = Path(path).expanduser()
    unit, read = _reader(source)
    number_of: dict[str, array[float]] = {name: array("d") for name in numbers}
    label_of: dict[str, list[str]] = {name: [] for name in labels}
    places = array("q")
    with closing(read(source)) as rows:
        header = _header(source, next(rows, None), [*numbers, *labels])
        columns: list[tuple[str, int, Callable[[Any], Any], Any]] = [
            *((name, header.index(name), _number, number_of[name]) for name in number_of),
            *((name, header.index(name), _label, label_of[name]) for name in label_of),
        ]
        for place, cells in rows:
            if len(cells) != len(header):
                raise DataError(
                    f"{source}, {unit} {place}: a row must have as many values as the header, {len(header)}, "
                    f"but this one has {len(cells)}; correct it (a comma inside a value needs quotes)"
                )
            places.append(place)
            for name, at, convert, kept in columns:
                try:
                    kept.append(convert(cells[at]))
                except ValueError as error:
                    raise DataError(f"{source}, {unit} {place}, column {name!r}: {error}") from None
    if not places:
        raise DataError(f"{source} holds a header but no rows; add rows")
    arrays = {name: np.frombuffer(values, np.float64) for name, values in number_of.items()}
    return Columns(source, arrays, label_of, places, unit)


def must_be_file(source: Path, kind: str, content: str) -> None:
    """Raise DataError unless a file that holds anything lies there; `kind` and `content` are for the message."""
    if source.is_dir():
        raise DataError(f"{source} is a directory; give the path of one {kind} file")
    if not source.is_file():
        beside = [file.name for file in source.parent.iterdir()] if source.parent.is_dir() else []
        raise DataError(f"no file at {source.absolute()}{nearest(source.name, beside)}; correct `path`")
    if source.stat().st_size == 0:
        raise DataError(f"{source} is empty; it must hold {content}")


def _reader(source: Path) -> tuple[str, Callable[[Path], Rows]]:
    """What the file counts in and how it is read, once it is known to be a file of a known kind."""
    must_be_file(source, " or ".join(READERS), "a header and rows")
    suffix = source.suffix.lower()
    if suffix not in READERS:
        raise DataError(
            f"{source} must end in {' or '.join(READERS)}, but ends in {source.suffix!r}; save it as one of these"
        )
    return READERS[suffix]


def _header(source: Path, first: tuple[int, Sequence[Any]] | None, needed: Sequence[str]) -> list[str]:
    """The column names, each once, with all that are needed among them."""
    if first is None:
        raise DataError(f"{source} is empty; it must hold a header and rows")
    header = [str(name).strip() for name in first[1]]
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{source}: column names must differ, but {name!r} stands twice; rename one")
    for name in needed:
        if name not in header:
            hint = nearest(name, header)
            if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
                hint = "; columns must be separated by commas"
            raise DataError(f"{source} has no column {name!r}{hint} (columns: {', '.join(header)})")
    return header


def _number(cell: Any) -> float:
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
        raise ValueError("a number is required, but the value is missing; fill it in or remove the row")
    try:
        # float() reads 1_0 as 10, and a person did not mean that
        value = float(cell) if "_" not in str(cell) else None
    except (TypeError, ValueError):
        value = None
    if value is None:
        raise ValueError(f"a number is required, but got {cell!r}; correct it or leave the column out")
    if not abs(value) <= LARGEST:
        raise ValueError(f"a finite number of at most {LARGEST:.1e} is required, but got {cell!r}; correct it")
    return value


def _label(cell: Any) -> str:
    text = "" if cell is None else str(cell).strip()
    if not text:
        raise ValueError("a value is required, but it is missing; fill it in or remove the row")
    return text


def _csv_rows(source: Path) -> Rows:
    line = 1
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                line = reader.line_num
                if cells:
                    yield line, cells
    except UnicodeDecodeError:
        raise DataError(f"{source} is not text in UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{source} is not CSV after line {line}: {error}; correct it") from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}; allow reading it") from None


def _parquet_rows(source: Path) -> Rows:
    import pandas as pd

    try:
        frame = pd.read_parquet(source)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{source} cannot be read as Parquet: {reason}; write it again") from None
    yield 0, list(frame.columns)
    cells = frame.astype(object).where(frame.notna(), None)
    yield from enumerate(cells.itertuples(index=False, name=None), 1)


READERS: dict[str, tuple[str, Callable[[Path], Rows]]] = {
    ".csv": ("line", _csv_rows),
    ".parquet": ("row", _parquet_rows),
}
