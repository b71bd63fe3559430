"""A space: its dimensions in an order in which every condition is known before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rnnlab.choices import nearest
from rnnlab.errors import SpecError
from sweeps.space.dimensions import Dimension, Picks, Value, check_name, matches, parse_dimension


class Space:
    """What a sweep varies. `dimensions` are ordered so that conditions come after what they look at.

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
                if dimension.name in picks:
                    raise SpecError(
                        f"space.{dimension.name}: two conditions hold at once for "
                        f"{', '.join(f'{name}={value}' for name, value in picks.items())}; make them exclude "
                        f"each other ({dimension.key} is the second)"
                    )
                picks[dimension.name] = choose(dimension)
        return picks

    def points(self, values: Callable[[Dimension], list[Value]]) -> Iterator[Picks]:
        """All points over given values of every dimension, conditions applied, none twice."""

        def from_here(index: int, picks: Picks) -> Iterator[Picks]:
            if index == len(self.dimensions):
                yield picks
                return
            dimension = self.dimensions[index]
            if not dimension.active(picks):
                yield from from_here(index + 1, picks)
                return
            for value in values(dimension):
                yield from from_here(index + 1, {**picks, dimension.name: value})

        return from_here(0, {})

    def dimension_of(self, name: str, picks: Mapping[str, Value]) -> Dimension:
        """The dimension that picked `name` in a point."""
        return next(d for d in self.dimensions if d.name == name and d.active(picks))


def _check_conditions(part: Dimension, by_name: Mapping[str, list[Dimension]]) -> None:
    for other, values in part.when.items():
        if other not in by_name:
            raise SpecError(
                f"space.{part.name}: `when` looks at {other!r}, which is not a dimension of this space"
                f"{nearest(other, by_name)} (dimensions: {', '.join(by_name)})"
            )
        offered = [value for dimension in by_name[other] for value in dimension.choices]
        for wanted in values:
            if offered and not any(matches(value, wanted) for value in offered):
                raise SpecError(
                    f"space.{part.name}: `when: {{{other}: {wanted}}}` can never hold"
                    f"{nearest(str(wanted), map(str, offered))} (choices of {other}: {', '.join(map(str, offered))})"
                )


def _ordered(by_name: Mapping[str, list[Dimension]]) -> list[str]:
    """Names with what their conditions look at before them, else as written."""
    done: list[str] = []
    waiting = list(by_name)
    while waiting:
        ready = [
            name
            for name in waiting
            if all(other in done for part in by_name[name] for other in part.when)
        ]
        if not ready:
            raise SpecError(f"space: the conditions of {', '.join(waiting)} wait for each other; drop one `when:`")
        done.append(ready[0])
        waiting.remove(ready[0])
    return done
