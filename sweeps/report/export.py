"""Every number of a sweep as files for one's own analysis: tables as Parquet or CSV, or an Optuna study.

| file | a row is |
|---|---|
| replicates | a replicate of a complete trial: the table of `sweeps.analysis.data`, from which our analyses start |
| records | a replicate of any trial, as the lab database holds it; `features` is JSON |
| trials | a trial with its result; `param.NAME` are the picks, `spec` is JSON |
| reports | a score that a trial told at an update |
| blocks | a draw of seeds and nuisance values; `nuisance.NAME` are these |
| events | something that happened to the sweep; `data` is JSON |
| curves | one value of one curve at one `step`: the timestep, or the lag of an anchor |

`log10` is filled for curves alone that fell below float64's range, where it is exact and `value` is 0.

NaN in a table, an empty field in CSV: not measured. `sweep.yaml` is the spec, `about.json` says what was exported when.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rnnlab.curve import Kind
from rnnlab.errors import PlaceError, SpecError
from sweeps.analysis.data import data_of, text_of
from sweeps.home import Home
from sweeps.recording.arrays import LOG10, load_curves
from sweeps.recording.names import CURVES_FILE
from sweeps.spec import SweepSpec
from sweeps.store import Lab, SweepRecord
from sweeps.store.records import BlockRecord, EventRecord, Record, ReplicateRecord, ReportRecord, TrialRecord

Form = Literal["parquet", "csv", "optuna"]
FORMS: tuple[Form, ...] = get_args(Form)
ABOUT = "about.json"
"""Marks a folder that an export made."""
KINDS = sorted(get_args(Kind), key=len, reverse=True)
"""Kinds of curves, the longest name first: a name begins with its kind."""
CURVE = pa.schema(
    [
        ("trial", pa.int32()), ("replicate", pa.int16()), ("update", pa.int32()),
        ("kind", pa.dictionary(pa.int8(), pa.string())), ("layer", pa.int8()),
        ("state", pa.dictionary(pa.int8(), pa.string())), ("part", pa.dictionary(pa.int8(), pa.string())),
        ("step", pa.int32()), ("value", pa.float64()), ("log10", pa.float64()),
    ]
)  # fmt: skip
"""Columns of the table of curves; layer, state and part are null where a curve has none."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        path: the folder or file. rows: of each table, or trials of the study. ended: trials by state.
        missing: trials that ended and have no curves.
    """

    sweep_id: str
    status: str
    form: Form
    path: Path
    rows: dict[str, int]
    ended: dict[str, int]
    missing: list[int]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sweep": self.sweep_id, "status": self.status, "to": self.form, "path": str(self.path), "rows": self.rows,
            "trials": self.ended, "without_curves": self.missing,
        }  # fmt: skip


def target_of(sweep_id: str, form: Form) -> Path:
    """Where an export goes by default: `ID-parquet/`, `ID-csv/` or `ID-optuna.db` in the working folder."""
    return Path(f"{sweep_id}-optuna.db" if form == "optuna" else f"{sweep_id}-{form}")


def check_target(path: Path, form: Form, force: bool, home: Home) -> None:
    """Refuse a target that is there, or could not be written; `force` replaces an earlier export and nothing else.

    Raises:
        PlaceError: with what to do instead.
    """
    if path.resolve().is_relative_to(home.path.resolve()):
        raise PlaceError(f"an export must lie outside of the home {home.path}, but got {path}; name another --out")
    if not path.parent.is_dir():
        raise PlaceError(f"the folder {path.parent} must exist; make it, or name another --out")
    if not os.access(path.parent, os.W_OK):
        raise PlaceError(f"the folder {path.parent} must be writable; name another --out")
    if not os.path.lexists(path):
        return
    if not force:
        raise PlaceError(f"{path} is there already; give --force to replace it, or another name with --out")
    ours = _is_study(path) if form == "optuna" else path.is_dir() and (path / ABOUT).is_file()
    if path.is_symlink() or not ours:
        kind = "an Optuna study" if form == "optuna" else "an earlier export"
        raise PlaceError(f"--force replaces {kind} only, but {path} is none; name another --out")


def export_tables(
    lab: Lab, home: Home, sweep_id: str, form: Form, path: Path, *, curves: bool, each: Callable[[int], None]
) -> Exported:
    """Write the tables of a sweep into a new folder, which appears when it is complete.

    Args:
        form: parquet or csv. curves: also the table of curves, read and written trial by trial.
        each: told how many trials' curves are written.
    """
    sweep = lab.sweep(sweep_id)
    trials = lab.trials(sweep_id)
    rows: dict[str, int] = {}
    missing: list[int] = []
    with _made(path, folder=True) as fresh:
        for name, table in _tables(lab, sweep, trials).items():
            rows[name] = len(table)
            file = fresh / f"{name}.{form}"
            if form == "csv":
                table.to_csv(file, index=False)
            else:
                table.to_parquet(file, index=False)
        if curves:
            rows["curves"], missing = _write_curves(home.sweep_folder(sweep_id), trials, fresh, form, each)
        done = Exported(sweep_id, sweep.status, form, path, rows, _by_state(trials), missing)
        (fresh / "sweep.yaml").write_text(SweepSpec.model_validate(sweep.spec).to_yaml())
        about = {**done.as_dict(), "exported_at": datetime.now(UTC).isoformat(), "columns": __doc__}
        (fresh / ABOUT).write_text(json.dumps(about, indent=1))
    return done


def export_study(lab: Lab, sweep_id: str, path: Path, each: Callable[[int], None]) -> Exported:
    """Write a sweep as an Optuna study in a SQLite file of its own, which appears when it is complete.

    Args:
        each: told how many trials are written.
    """
    from sweeps.report.study import write_study

    sweep = lab.sweep(sweep_id)
    trials = lab.trials(sweep_id)
    with _made(path, folder=False) as fresh:
        write_study(sweep, trials, lab.reports(sweep_id), fresh, each)
    return Exported(sweep_id, sweep.status, "optuna", path, {"trials": len(trials)}, _by_state(trials), [])


def _tables(lab: Lab, sweep: SweepRecord, trials: list[TrialRecord]) -> dict[str, pd.DataFrame]:
    spec = SweepSpec.model_validate(sweep.spec)
    replicates = lab.replicates(sweep.id)
    return {
        "replicates": _plain(data_of(sweep.id, spec, trials, replicates, lag=0).frame),
        "records": _frame(ReplicateRecord, replicates),
        "trials": _frame(TrialRecord, trials, params="param"),
        "reports": _frame(ReportRecord, lab.reports(sweep.id)),
        "blocks": _frame(BlockRecord, lab.blocks(sweep.id), nuisance="nuisance"),
        "events": _frame(EventRecord, lab.events(sweep.id)),
    }


def _frame(kind: type[Record], records: Sequence[Record], **spread: str) -> pd.DataFrame:
    """Records as a table; mappings named in `spread` become columns `PREFIX.KEY`, other mappings JSON."""
    columns = [name for name in kind.model_fields if name not in spread]
    rows = []
    for record in records:
        row: dict[str, Any] = {}
        for name, value in dict(record).items():
            if name in spread:
                row |= {f"{spread[name]}.{key}": one for key, one in value.items()}
            else:
                row[name] = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        columns += [name for name in row if name not in columns]
        rows.append(row)
    return _plain(pd.DataFrame(rows, columns=columns))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of one type each, as Parquet wants them: numbers stay numbers, a mixture becomes text."""
    plain = frame.copy()
    for name in plain.columns:
        if plain[name].dtype == object:
            known = plain[name].dropna()
            if all(isinstance(one, int | float) and not isinstance(one, bool) for one in known):
                whole = len(known) and all(isinstance(one, int) and abs(one) < 2**63 for one in known)
                plain[name] = plain[name].astype("Int64") if whole else plain[name].astype(float)
            elif not all(isinstance(one, type(known.iloc[0])) for one in known):
                plain[name] = plain[name].map(lambda one: text_of(one) if one is not None else None)
    return plain


def _write_curves(
    folder: Path, trials: list[TrialRecord], fresh: Path, form: Form, each: Callable[[int], None]
) -> tuple[int, list[int]]:
    """Rows written, and trials that ended and have no file."""
    rows, missing = 0, []
    file = fresh / f"curves.{form}"
    writer = pq.ParquetWriter(file, CURVE) if form == "parquet" else None
    if writer is None:
        file.write_text(",".join(CURVE.names) + "\n")
    try:
        for done, trial in enumerate(trials, 1):
            source = folder / "trials" / f"{trial.number:04}" / CURVES_FILE
            if source.is_file():
                table = pa.concat_tables(curve_tables(trial.number, source)).unify_dictionaries()
                rows += len(table)
                if writer is not None:
                    writer.write_table(table)
                else:
                    table.to_pandas(integer_object_nulls=True).to_csv(file, mode="a", header=False, index=False)
            elif trial.state != "running":
                missing.append(trial.number)
            each(done)
    finally:
        if writer is not None:
            writer.close()
    return rows, missing


def curve_tables(trial: int, source: Path) -> Iterator[pa.Table]:
    """The curves of one trial in long form, one curve after another; rows of replicates that had diverged left out.

    Raises:
        PlaceError: the file cannot be read.
    """
    try:
        if not zipfile.is_zipfile(source):  # which NumPy would leave open
            raise OSError("it is cut short")
        arrays = load_curves(source)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PlaceError(f"{source} cannot be read ({error}); --no-curves exports the rest") from None
    updates = arrays.pop("updates")
    for name, values_USK in arrays.items():
        if name.endswith(LOG10):
            continue
        kind, layer, state, part = parts_of(name)
        u_N, s_N, k_N = (axis.ravel() for axis in np.indices(values_USK.shape))
        logs = arrays.get(name + LOG10)
        table = pd.DataFrame(
            {
                "trial": trial, "replicate": s_N, "update": updates[u_N].astype(int), "kind": kind, "layer": layer,
                "state": state, "part": part, "step": k_N, "value": values_USK.ravel(),
                "log10": np.full(values_USK.size, np.nan) if logs is None else logs.ravel(),
            }
        )  # fmt: skip
        yield pa.Table.from_pandas(table[table["value"].notna()], CURVE, preserve_index=False)


def parts_of(name: str) -> tuple[str, int | None, str | None, str | None]:
    """Kind, layer, state and part of a curve's name: `anchor_c_l0` -> anchor, 0, c, None."""
    kind = next(kind for kind in KINDS if name == kind or name.startswith(f"{kind}_"))
    found = re.fullmatch(r"(?:_(?P<part>.+?))??(?:_(?P<state>[hc]))?(?:_l(?P<layer>\d+))?", name.removeprefix(kind))
    assert found is not None, f"{name!r} is no curve's name"
    layer = found["layer"]
    return kind, None if layer is None else int(layer), found["state"], found["part"]


def _by_state(trials: Iterable[TrialRecord]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    return counts


class _made:
    """A fresh folder or file beside the target, which takes its place in the end; gone if anything fails."""

    def __init__(self, path: Path, *, folder: bool) -> None:
        self.path, self.folder = path, folder

    def __enter__(self) -> Path:
        try:
            self._beside = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        except OSError as error:
            raise PlaceError(f"the folder {self.path.parent} must be writable, but: {error.strerror}") from None
        self._beside.chmod(0o755)
        self._fresh = self._beside if self.folder else self._beside / self.path.name
        return self._fresh

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            if self.path.is_dir():
                shutil.rmtree(self.path)
            os.replace(self._fresh, self.path)
        if self._beside.exists():
            shutil.rmtree(self._beside)
        if isinstance(error, OSError):
            raise PlaceError(f"{self.path} cannot be written ({error.strerror}); name another --out") from None


def _is_study(path: Path) -> bool:
    """Whether a file is a SQLite database of Optuna, and neither the lab's nor MLflow's."""
    if not path.is_file():
        return False
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"  # else SQLite leaves files beside it
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.DatabaseError:
        return False
    return "studies" in names and not names & {"sweeps", "experiments"}


def form_of(name: str) -> Form:
    """Raises:
    SpecError: no such form, with the nearest one.
    """
    from rnnlab.choices import nearest

    for form in FORMS:
        if form == name:
            return form
    raise SpecError(f"--to {name!r} is unknown{nearest(name, FORMS)} (choices: {', '.join(FORMS)})")
