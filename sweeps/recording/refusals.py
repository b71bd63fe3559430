"""Errors of MLflow: whether waiting helps, and what to say of one.

Imports MLflow where it is needed: the recorder takes messages before it has loaded it.
"""

from __future__ import annotations

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")
"""MLflow's errors that will not pass by waiting."""
LONGEST_CAUSE = 500
"""Characters of an error that the parent's page shows."""


def is_refusal(error: Exception) -> bool:
    """Whether waiting will not help: MLflow would not have it, or this code cannot. A disk or a network may mend."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, MlflowException):
        return error.error_code in REFUSALS
    return not isinstance(error, (OSError, MemoryError, SQLAlchemyError))


def cause_of(error: BaseException) -> str:
    """An error in short: what the system said where it is at the bottom of it, as in `Connection refused`."""
    from mlflow.exceptions import MlflowException

    below: BaseException | None = error
    system, seen = None, set[int]()
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        system = below if isinstance(below, OSError) else system
        below = below.__cause__ or below.__context__
    if isinstance(error, MlflowException) and system is not None:
        return f"{system.strerror or system}"[:LONGEST_CAUSE]
    return f"{type(error).__name__}: {error}"[:LONGEST_CAUSE]
