"""A space: its dimensions in an order in which every condition is known before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rnnlab.choices import nearest
from rnnlab.errors import SpecError
from sweeps.recording.names import PARAMS
from sweeps.space.dimensions import Dimension, Picks, Value, check_name, matches, parse_dimension


class Space:
    """What a sweep varies. `dimensions` come in the order of `PARAMS`, conditions after what they look at, in
    whatever order they were written: a sampler draws one after another, and equal spaces must ask the same.

    Raises:
        SpecError: an unknown dimension, an impossible range, or a condition that cannot hold.
    """

    def __init__(self, written: Mapping[str, Any], task_kind: str) -> None:
        by_name: dict[str, list[Dimension]] = {}
        for name, entry in written.items():
            check_name(name, task_kind)
            by_name[name] = parse_dimension(name, entry)
        for parts in by_name.values():
            for part in parts:
                _check_conditions(part, by_name)
        self.dimensions = [part for name in _ordered(by_name) for part in by_name[name]]

    def pick(self, choose: Callable[[Dimension], Value]) -> Picks:
        """One point: `choose` is asked for every dimension whose condition holds, in order."""
        picks: Picks = {}
        for dimension in self.dimensions:
            if dimension.active(picks):
                _refuse_second(dimension, picks)
                picks[dimension.name] = choose(dimension)
        return picks

    def points(self, values: Callable[[Dimension], list[Value]]) -> Iterator[Picks]:
        """All points over given values of every dimension, conditions applied, none twice.

        Raises:
            SpecError: two alternatives of one dimension hold at once.
        """

        def from_here(index: int, picks: Picks) -> Iterator[Picks]:
            if index == len(self.dimensions):
                yield picks
                return
            dimension = self.dimensions[index]
            if not dimension.active(picks):
                yield from from_here(index + 1, picks)
                return
            _refuse_second(dimension, picks)
            for value in values(dimension):
                yield from from_here(index + 1, {**picks, dimension.name: value})

        return from_here(0, {})

    def offered(self, name: str, level: Value) -> Value:
        """A level that some alternative of a dimension offers, as it offers it.

        Raises:
            SpecError: no such dimension, or none of its alternatives offers it.
        """
        parts = [dimension for dimension in self.dimensions if dimension.name == name]
        if not parts:
            known = list(dict.fromkeys(dimension.name for dimension in self.dimensions))
            raise SpecError(f"{name!r} is no dimension of this space{nearest(name, known)} ({', '.join(known)})")
        for part in parts:
            for value in part.grid or ():
                if matches(value, level):
                    return value
        shown = "; ".join(part.shown for part in parts)
        raise SpecError(f"the dimension {name} has no level {level!r} (it has {shown})")

    def dimension_of(self, name: str, picks: Mapping[str, Value]) -> Dimension:
        """The dimension that picked `name` in a point."""
        return next(d for d in self.dimensions if d.name == name and d.active(picks))


def _refuse_second(dimension: Dimension, picks: Picks) -> None:
    if dimension.name in picks:
        raise SpecError(
            f"space.{dimension.name}: two conditions hold at once for "
            f"{', '.join(f'{name}={value}' for name, value in picks.items() if name != dimension.name)}; make them "
            f"exclude each other ({dimension.key} is the second)"
        )


def _check_conditions(part: Dimension, by_name: Mapping[str, list[Dimension]]) -> None:
    for other, values in part.when.items():
        if other not in by_name:
            raise SpecError(
                f"space.{part.name}: `when` looks at {other!r}, which is not a dimension of this space"
                f"{nearest(other, by_name)} (dimensions: {', '.join(by_name)})"
            )
        offered = [str(value) for dimension in by_name[other] for value in dimension.choices]
        for wanted in values:
            if not any(dimension.offers(wanted) for dimension in by_name[other]):
                shown = ", ".join(dimension.shown for dimension in by_name[other])
                raise SpecError(
                    f"space.{part.name}: `when: {{{other}: {wanted}}}` can never hold"
                    f"{nearest(str(wanted), offered)} (choices of {other}: {shown})"
                )


def _ordered(by_name: Mapping[str, list[Dimension]]) -> list[str]:
    """Names in the order of `PARAMS`, then of the alphabet, with what their conditions look at before them."""
    done: list[str] = []
    known = list(PARAMS)
    waiting = sorted(by_name, key=lambda name: (known.index(name) if name in known else len(known), name))
    while waiting:
        ready = [name for name in waiting if all(other in done for part in by_name[name] for other in part.when)]
        if not ready:
            raise SpecError(f"space: the conditions of {', '.join(waiting)} wait for each other; drop one `when:`")
        done.append(ready[0])
        waiting.remove(ready[0])
    return done
