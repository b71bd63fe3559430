"""Dimensions of a space: choices, integer ranges and float ranges, each under conditions.

A person writes a list (`cell: [rnn, lstm]`), choices with a condition (`{choices: [...], when: {cell: rnn}}`), a
range (`{low: 1, high: 3}`, `{low: 1e-4, high: 3e-2, log: true}`), or a list of these whose conditions exclude
each other. Values of choices are kept as labels (`orthogonal(1.2)`), which Optuna can store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from rnnlab.choices import choose, nearest, parse_choice
from rnnlab.errors import SpecError
from rnnlab.tasks import TASKS
from sweeps.recording.names import PARAMS, REAL, TABLES

Value = str | int | float | bool
"""A picked value: a number, or the label of a choice."""
Picks = dict[str, Value]
"""Param -> picked value; params whose condition does not hold are absent."""


class Dimension(BaseModel):
    """One way to pick a param, under a condition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The param."""
    written: dict[str, Any]
    """As a person wrote it, to write it again."""
    choices: dict[Value, Any] = {}
    """Label -> value as written; empty for a range."""
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    whole: bool = False
    """A range over integers."""
    when: dict[str, tuple[Any, ...]] = {}
    """Param -> values, one of which it must have."""

    @property
    def key(self) -> str:
        """Optuna's name: the param, with its condition, since Optuna wants one distribution a name."""
        if not self.when:
            return self.name
        terms = (f"{name}={'|'.join(map(_text, values))}" for name, values in sorted(self.when.items()))
        return f"{self.name}[{', '.join(terms)}]"

    def active(self, picks: Mapping[str, Value]) -> bool:
        """Whether the condition holds, given the params picked so far."""
        return all(
            name in picks and any(matches(picks[name], wanted) for wanted in values)
            for name, values in self.when.items()
        )

    @property
    def grid(self) -> list[Value] | None:
        """All values, ascending; None for a range without steps."""
        if self.choices:
            return list(self.choices)
        if self.step is None or self.log:
            return None
        # in decimals, as Optuna does: 0.1 + 2 * 0.1 is 0.3
        low, high, step = (Decimal(str(number)) for number in (self.low, self.high, self.step))
        values = [float(low + index * step) for index in range(int((high - low) // step) + 1)]
        return [int(value) if self.whole else value for value in values]

    @property
    def corners(self) -> list[Value]:
        """Values whose validity speaks for all: every choice, or both ends of a range; where it is not over
        integers also a value between, which a param that takes whole numbers refuses."""
        if self.choices:
            return list(self.choices)
        if self.whole:
            return [int(self.low), int(self.high)]
        between = self.low + (self.step or 0.382 * (self.high - self.low))
        return list(dict.fromkeys((self.low, min(between, self.high), self.high)))

    def offers(self, wanted: Any) -> bool:
        """Whether the dimension can pick what a condition asks for; a range without steps picks no one value."""
        if self.choices:
            return any(matches(value, wanted) for value in self.choices)
        if self.whole and self.log:
            return isinstance(wanted, int) and self.low <= wanted <= self.high
        return wanted in (self.grid or ())

    @property
    def shown(self) -> str:
        """What it offers, for messages: `rnn, lstm`, or `1 to 3`."""
        if self.choices:
            return ", ".join(map(_text, self.choices))
        steps = "" if self.whole else f" in steps of {self.step:g}" if self.step else " without steps"
        return f"{self.low:g} to {self.high:g}{steps}"


def label_of(name: str, value: Any) -> Value:
    """The label of a value as written: `{orthogonal: 1.2}` -> `orthogonal(1.2)`; numbers stay."""
    if name == "optimiser":
        if not isinstance(value, str):
            raise SpecError(f"an optimiser is a name, its options are dimensions of their own, but got {value!r}")
        choose(TABLES[name], value)
        return value
    if name in TABLES:
        return parse_choice(TABLES[name], value).label
    if _is_number(value) or (isinstance(value, (str, bool)) and name not in PARAMS):
        return value  # type: ignore[no-any-return]
    raise SpecError(f"a choice is a {'number' if name in PARAMS else 'name or a number'}, but got {value!r}")


def matches(picked: Value, wanted: Any) -> bool:
    """Whether a picked value is what a condition asks for; a bare name stands for any options of it."""
    return picked == wanted or (isinstance(picked, str) and picked.partition("(")[0] == wanted)


def check_name(name: str, task_kind: str) -> None:
    """Raises:
    SpecError: no param of that name, with the nearest one.
    """
    options = {f"task.{option}" for option in choose(TASKS, task_kind).options}
    if name not in PARAMS and name not in options:
        names = [*PARAMS, *sorted(options)]
        raise SpecError(f"space.{name}: no such dimension{nearest(name, names)} (dimensions: {', '.join(names)})")


def parse_dimension(name: str, written: Any) -> list[Dimension]:
    """The dimensions that one entry of a space stands for: one, or several with conditions.

    Raises:
        SpecError: neither choices nor a range, an empty list, or an impossible range.
    """
    if isinstance(written, list):
        if written and all(isinstance(item, Mapping) and _ways(item) for item in written):
            parts = [_parse_one(name, item) for item in written]
            if not all(part.when for part in parts):
                raise SpecError(f"space.{name}: every entry of a list of dimensions needs its own `when:`")
            if len({part.key for part in parts}) < len(parts):
                raise SpecError(f"space.{name}: two entries have the same `when:`; put their choices together")
            return parts
        return [_parse_one(name, {"choices": written})]
    if isinstance(written, Mapping) and _ways(written):
        return [_parse_one(name, written)]
    raise SpecError(
        f"space.{name}: a dimension is a list of choices, {{choices: [...]}} or {{low: .., high: ..}}, but got "
        f"{written!r}; a single value belongs under model, optim or task"
    )


def _ways(written: Mapping[str, Any]) -> bool:
    return bool({"choices", "low", "high"} & set(written))


def _parse_one(name: str, written: Mapping[str, Any]) -> Dimension:
    known = {"choices", "when"} if "choices" in written else {"low", "high", "log", "step", "when"}
    for key in written:
        if key not in known:
            raise SpecError(
                f"space.{name}: no such key {key!r}{nearest(str(key), known)} (keys: {', '.join(sorted(known))})"
            )
    when = {}
    conditions = written.get("when", {})
    if not isinstance(conditions, Mapping):
        raise SpecError(f"space.{name}: `when` is {{dimension: value}}, but got {conditions!r}")
    for other, values in conditions.items():
        if values == []:
            raise SpecError(f"space.{name}: `when: {{{other}: []}}` can never hold; name at least one value")
        try:
            when[other] = tuple(
                value if isinstance(value, str) else label_of(other, value)
                for value in (values if isinstance(values, list) else [values])
            )
        except SpecError as error:
            raise SpecError(f"space.{name}: `when: {{{other}: ...}}`: {error}") from None
    kept = dict(written) if set(written) != {"choices"} else {"choices": list(written["choices"])}
    if "choices" in written:
        return Dimension(name=name, written=kept, choices=_choices(name, written["choices"]), when=when)
    return Dimension(name=name, written=kept, when=when, **_range(name, written))


def _choices(name: str, values: Any) -> dict[Value, Any]:
    if not isinstance(values, list) or not values:
        raise SpecError(f"space.{name}: choices must be a list of at least one value, but got {values!r}")
    choices: dict[Value, Any] = {}
    for value in values:
        try:
            label = label_of(name, value)
        except SpecError as error:
            raise SpecError(f"space.{name}: {error}") from None
        if label in choices:
            raise SpecError(f"space.{name}: the choice {_text(label)!r} stands twice; keep one")
        choices[label] = value
    return choices


def _range(name: str, written: Mapping[str, Any]) -> dict[str, Any]:
    numbers: dict[str, float] = {}
    for key in ("low", "high", "step"):
        if key not in written:
            if key == "step":
                continue
            raise SpecError(f"space.{name}: a range requires {key!r}; add it")
        if not _is_number(written[key]):
            raise SpecError(f"space.{name}: {key} must be a number, but got {written[key]!r}")
        numbers[key] = float(written[key])
        if not math.isfinite(numbers[key]):
            raise SpecError(f"space.{name}: {key} must be finite, but got {written[key]!r}")
    low, high, step, log = numbers["low"], numbers["high"], numbers.get("step"), written.get("log", False)
    shown = f"(low={written['low']}, high={written['high']})"
    if name in TABLES:
        raise SpecError(f"space.{name}: takes names, not a range {shown}; write choices")
    if low > high:
        raise SpecError(f"space.{name}: `low <= high` must hold, but got {shown}; swap them")
    if not isinstance(log, bool):
        raise SpecError(f"space.{name}: log is true or false, but got {log!r}")
    if log and low <= 0:
        raise SpecError(f"space.{name}: a log range requires low > 0, but got {shown}")
    if step is not None and step <= 0:
        raise SpecError(f"space.{name}: step must be above 0, but got {step:g}")
    if log and step is not None:
        raise SpecError(f"space.{name}: a log range has no step; leave one of them out")
    whole = name not in REAL and all(isinstance(written[key], int) for key in ("low", "high", "step") if key in written)
    if whole and step is None and not log:
        step = 1.0
    if step is not None:  # the last value that the steps reach
        first, last, each = (Decimal(str(number)) for number in (low, high, step))
        high = float(first + (last - first) // each * each)
    return {"low": low, "high": high, "step": step, "log": log, "whole": whole}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
