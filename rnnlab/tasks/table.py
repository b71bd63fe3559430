"""A person's own CSV or Parquet file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlab.errors import DataError, SpecError
from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Split, Success
from rnnlab.tasks.reading import LARGEST, Columns, read_columns
from rnnlab.tasks.stored import PARTS, Part, WindowedTask, Windows, evenly
from rnnlab.training.seeding import generator_for

Span = tuple[int, int]
"""A stretch of rows of one group in one part: the first row, and the first after it."""


class TableTask(WindowedTask):
    """Windows of `length` rows of a person's file, with one of three things to predict.

    `next`: the target column of the next row; mse at every step, in units of the training rows' deviation.
    Trivial baseline: the training rows' mean as a constant prediction (0 once standardised), its squared
    error measured on the split; a series that drifts may leave that mean far behind. `step_class`: each
    row's own class; cross-entropy at every step. `sequence_class`: the one class of a group, from its last
    `length` rows; cross-entropy at the last. Trivial baseline of both: the training frequencies of the
    classes as constant probabilities, their cross-entropy measured on the split.

    Windows begin at every row, lie inside one group and one part, and so does the next row of `next`; a
    stretch too short for one window is left out. `split: time` holds out the last rows of each group, in
    the file's order; `group` whole groups, by one fixed shuffle, at least one for each part. Inputs are
    standardised with the training rows' mean and deviation (1 where a column is constant). Classes are
    numbered in ascending order, as numbers where all are whole numbers, else as text. Success is the
    project's: half of the trivial loss.

    Raises:
        SpecError: options that do not fit each other.
        DataError: anything wrong with the file; the message names the place.
    """

    success = Success("relative_loss", 0.5, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        options = spec.options
        _check(options)
        self.length, self.lag, self.inputs = options["length"], options["lag"], len(options["inputs"])
        forecast, whole = options["predict"] == "next", options["predict"] == "sequence_class"
        self.natural_loss = LossSpec(at="last" if whole else "every")
        self.objective = "mse" if forecast else "cross_entropy"

        group = [options["group"]] if options["group"] is not None else []
        target = [options["target"]]
        columns = read_columns(
            options["path"],
            list(dict.fromkeys(options["inputs"] + target * forecast)),
            list(dict.fromkeys(group + target * (not forecast))),
        )
        members = _members(columns, options["group"])
        order_R = np.concatenate(list(members.values()))
        least = self.length + forecast
        if whole:
            _check_groups(columns, members, options)
        spans = _spans([len(rows) for rows in members.values()], columns, options)
        for part in PARTS:
            spans[part] = _long_enough(part, spans[part], least, columns, options)
            if whole:
                spans[part] = [(stop - self.length, stop) for _, stop in spans[part]]
        rows = {part: np.concatenate([np.arange(*span) for span in spans[part]]) for part in PARTS}

        x_IR = [_standardised(columns, name, order_R, rows["training"]) for name in options["inputs"]]
        self._x_RI = torch.from_numpy(np.stack(x_IR, axis=1).astype(np.float32))
        if forecast:
            self.outputs = 1
            self._y_R = self._forecast(columns, order_R, rows["training"])
        else:
            classes_R, names = _classes(columns, options["target"])
            self._y_R = torch.from_numpy(classes_R[order_R])
            self._frequency_O = self._frequencies(columns, names, rows)
            self.outputs = len(names)
        self._starts = {
            part: torch.cat([torch.arange(start, stop - least + 1) for start, stop in spans[part]]) for part in PARTS
        }
        for part in PARTS[1:]:
            self._starts[part] = self._starts[part] if whole else evenly(self._starts[part])

    def _forecast(self, columns: Columns, order_R: npt.NDArray[Any], training: npt.NDArray[Any]) -> Tensor:
        """The next row's target by row, (R, 1); no window reaches a span's last row, which has none."""
        target = self.spec.options["target"]
        target_R = columns.numbers[target][order_R]
        if np.ptp(target_R[training]) == 0:
            raise DataError(
                f"{columns.source}: the target {target!r} must vary in the training rows, but is "
                f"{target_R[training][0]:g} in all of them; choose another target, or add rows"
            )
        following_R = np.roll(_standardised(columns, target, order_R, training), -1)
        return torch.from_numpy(following_R.astype(np.float32))[:, None]

    def _frequencies(self, columns: Columns, names: Sequence[str], rows: Mapping[Part, npt.NDArray[Any]]) -> Tensor:
        """Shares of the classes in the training rows, (O,); all held-out classes must be among them."""
        target = self.spec.options["target"]
        count = {part: torch.bincount(self._y_R[rows[part]], minlength=len(names)) for part in PARTS}
        for number, name in enumerate(names):
            for part in PARTS[1:]:
                if count[part][number] and not count["training"][number]:
                    raise DataError(
                        f"{columns.source}: every class of {target!r} must be in the training part, but "
                        f"{name!r} is only in the {part} part; add rows of it, leave it out, or change "
                        f"the shares"
                    )
        return count["training"].double() / len(rows["training"])

    def windows_of(self, part: Part) -> Windows:
        return Windows(self._x_RI, self._y_R, self._starts[part], self.length)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        y_TN = (self.validation if split == "validation" else self.test).y_TN
        if self.objective == "mse":
            return y_TN.double().square().mean((1, 2))
        return -self._frequency_O.log()[y_TN].mean(1)


def _check(options: Mapping[str, Any]) -> None:
    """Raise SpecError where options do not fit each other; no file is needed for that."""
    inputs, target, predict = options["inputs"], options["target"], options["predict"]
    if options["lag"] >= options["length"]:
        raise SpecError(
            f"task.lag must be at most length - 1 = {options['length'] - 1}, but is {options['lag']}; "
            f"use longer windows or a shorter lag"
        )
    if len(set(inputs)) < len(inputs):
        raise SpecError(f"task.inputs must name each column once, but is {inputs}; remove the repetition")
    if predict != "next" and target in inputs:
        raise SpecError(
            f"predict: {predict} must not read its target, but inputs hold {target!r}; take it out of inputs"
        )
    if options["group"] is None and (predict == "sequence_class" or options["split"] == "group"):
        needing = "split: group" if options["split"] == "group" else f"predict: {predict}"
        raise SpecError(f"{needing} requires `group`, the column that tells sequences apart, but none is given; add it")
    if predict == "sequence_class" and options["split"] != "group":
        raise SpecError(
            f"predict: sequence_class requires split: group, but split is {options['split']!r}; write `split: group`"
        )


def _members(columns: Columns, group: str | None) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of each group, in the file's order; one group where the file has no column for it."""
    if group is None:
        return {"": np.arange(len(columns.places))}
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(columns.labels[group]):
        rows.setdefault(name, []).append(row)
    return {name: np.array(members) for name, members in rows.items()}


def _check_groups(columns: Columns, members: Mapping[str, npt.NDArray[np.int64]], options: Mapping[str, Any]) -> None:
    """Raise DataError where a group has two classes or is shorter than a window."""
    group, target, length = options["group"], options["target"], options["length"]
    for name, rows in members.items():
        first = columns.labels[target][rows[0]]
        for row in rows:
            if columns.labels[target][row] != first:
                raise DataError(
                    f"{columns.place(row)}: {target!r} must be the same in a whole group, but group "
                    f"{name!r} has {first!r} and {columns.labels[target][row]!r}; correct it, or use "
                    f"`predict: step_class`"
                )
        if len(rows) < length:
            raise DataError(
                f"{columns.source}: a group must have at least `length: {length}` rows, but group {name!r} "
                f"of {group!r} has {len(rows)}; use a shorter length, or leave the group out of the file"
            )


def _share(count: int, share: float) -> int:
    """That share of a count, rounded down; the tiny addend keeps 0.29 of 100 at 29."""
    return math.floor(count * share + 1e-9)


def _spans(sizes: Sequence[int], columns: Columns, options: Mapping[str, Any]) -> dict[Part, list[Span]]:
    """Stretches of the rows, laid out group after group, that belong to each part."""
    groups = list(pairwise(accumulate(sizes, initial=0)))
    if options["split"] == "time":
        spans: dict[Part, list[Span]] = {part: [] for part in PARTS}
        for start, stop in groups:
            test = stop - _share(stop - start, options["test"])
            validation = test - _share(stop - start, options["validation"])
            for part, span in zip(PARTS, pairwise((start, validation, test, stop)), strict=True):
                spans[part].append(span)
        return spans
    if len(groups) < 3:
        raise DataError(
            f"{columns.source}: split: group requires at least 3 groups, but {options['group']!r} has "
            f"{len(groups)}; add groups, or use `split: time`"
        )
    order = torch.randperm(len(groups), generator=generator_for("table", "groups")).tolist()
    shuffled = [groups[index] for index in order]
    test = max(1, _share(len(groups), options["test"]))
    validation = test + max(1, _share(len(groups), options["validation"]))
    return {
        "training": shuffled[validation:],
        "validation": shuffled[test:validation],
        "test": shuffled[:test],
    }


def _long_enough(
    part: Part, spans: Sequence[Span], least: int, columns: Columns, options: Mapping[str, Any]
) -> list[Span]:
    """The spans of `least` rows or more; at least one."""
    kept = [span for span in spans if span[1] - span[0] >= least]
    if kept:
        return kept
    longest = max(stop - start for start, stop in spans)
    length = f"`length: {options['length']}` with `predict: {options['predict']}`"
    remedy = "use a shorter length, or add longer groups"
    if options["split"] == "time":
        shares = {"validation": options["validation"], "test": options["test"]}
        share = shares.get(part, 1 - sum(shares.values()))
        needed = math.ceil(least / share - 1e-9)
        remedy = f"use a shorter length, another share, or a file with {needed} rows or more in one sequence"
    raise DataError(
        f"{columns.source}: the {part} part has too few rows: {length} requires {least} rows of one sequence "
        f"in it, but it has at most {longest}; {remedy}"
    )


def _standardised(
    columns: Columns, name: str, order_R: npt.NDArray[Any], training: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """A column less the training rows' mean over their deviation; the deviation of a constant is 1.

    Raises:
        DataError: a row lies so many deviations away that float32 cannot hold it.
    """
    values_R = columns.numbers[name][order_R]
    seen = values_R[training]
    mean, spread = seen.mean(), np.ptp(seen)
    # a constant's deviation may come out as rounding error, not 0; a power of two keeps tiny squares from being 0
    power = int(np.frexp(spread)[1])
    deviation = np.ldexp(np.ldexp(seen, -power).std(), power) if spread else 1.0
    with np.errstate(over="ignore"):
        found_R = (values_R - mean) / deviation
    far = np.flatnonzero(~(np.abs(found_R) <= LARGEST))
    if len(far):
        raise DataError(
            f"{columns.place(order_R[far[0]])}, column {name!r}: a value must lie within {LARGEST:.1e} standard "
            f"deviations of the training rows (mean {mean:.3g}, deviation {deviation:.3g}), but is "
            f"{values_R[far[0]]:.3g}; correct it, or leave the column out"
        )
    return np.asarray(found_R)


def _classes(columns: Columns, target: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Class numbers by row of the file, and the classes' names in that order."""
    labels = columns.labels[target]
    texts = sorted(set(labels))
    numbers = {text: number for text in texts if (number := _as_number(text)) is not None}
    names, name_of = texts, {text: text for text in texts}
    if len(numbers) == len(texts):
        for row, label in enumerate(labels):
            if not numbers[label].is_integer():
                raise DataError(
                    f"{columns.place(row)}, column {target!r}: a class must be text or a whole number, but "
                    f"got {label}; correct it, or forecast it with `predict: next`"
                )
        # 1 in a CSV file and 1.0 in a Parquet file are one class
        names = [str(int(number)) for number in sorted(set(numbers.values()))]
        name_of = {text: str(int(number)) for text, number in numbers.items()}
    if len(names) < 2:
        raise DataError(
            f"{columns.source}: the target {target!r} must have at least 2 classes, but has only "
            f"{names[0]!r}; choose another target, or add rows of another class"
        )
    number_of = {name: number for number, name in enumerate(names)}
    return np.array([number_of[name_of[label]] for label in labels], np.int64), names


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
