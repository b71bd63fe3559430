"""schemathesis over the OpenAPI of a running service: whatever is sent, it never breaks, and answers as it says."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
STREAM = "/api/sweeps/{id}/stream"


def fuzzed(address: str, examples: int) -> int:
    """Send so many requests to each operation; how many operations there are."""
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:

        @settings(
            max_examples=examples, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )  # fmt: skip
        @given(case=operation.as_strategy(), known=st.sampled_from(["tiny", "tiny-2", None]))
        def ask(case: schemathesis.Case, known: str | None) -> None:
            if known and "id" in case.path_parameters:
                # the stream of a sweep that waits never ends
                case.path_parameters["id"] = "tiny" if case.operation.path == STREAM else known
            case.call_and_validate(checks=CHECKS, timeout=30)

        ask()
    return len(operations)


def test_no_request_breaks_it(address: str) -> None:
    assert fuzzed(address, 6) > 20


@pytest.mark.slow
def test_no_request_breaks_it_however_often(address: str) -> None:
    fuzzed(address, 100)
