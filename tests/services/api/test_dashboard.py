"""MLflow behind the service, with a real MLflow server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from services.api.app import create_app
from services.api.service import Service
from services.jobs.embedded import mlflow_here
from sweeps.home import Home

Headers = dict[str, dict[str, str]]
SEARCH = "/mlflow/ajax-api/2.0/mlflow/experiments/search"
CREATE = "/mlflow/ajax-api/2.0/mlflow/experiments/create"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home(tmp_path_factory.mktemp("mlflow"))
    home.make()
    with mlflow_here(home) as address:
        yield address


@pytest.fixture
def proxied(open_service: Service, server: str, tmp_path: Path) -> Iterator[TestClient]:
    service = replace(open_service, guarded=True, home=Home(tmp_path, mlflow=server))
    with TestClient(create_app(service)) as client:
        yield client


def test_a_viewer_looks_and_a_launcher_changes(proxied: TestClient, secrets: Headers) -> None:
    page = proxied.get("/mlflow/", headers=secrets["vera"])
    assert page.status_code == 200
    assert "<html" in page.text
    found = proxied.post(SEARCH, json={"max_results": 5}, headers=secrets["vera"])
    assert found.status_code == 200, found.text
    assert found.json()["experiments"][0]["name"] == "Default"
    refused = proxied.post(CREATE, json={"name": "mine"}, headers=secrets["vera"])
    assert refused.status_code == 403
    made = proxied.post(CREATE, json={"name": "mine"}, headers=secrets["ann"])
    assert made.status_code == 200, made.text
    names = proxied.post(SEARCH, json={"max_results": 5}, headers=secrets["vera"]).json()["experiments"]
    assert "mine" in [one["name"] for one in names]
    assert proxied.get(SEARCH).status_code == 401


@pytest.mark.parametrize("path", ["/mlflow/../api/health", "/mlflow/%2e%2e/x", "/mlflow/a%2f..%2f..%2fb"])
def test_a_path_stays_below_mlflow(proxied: TestClient, secrets: Headers, path: str) -> None:
    # the client itself resolves a plain `..`, which then is another route of ours
    assert proxied.get(path, headers=secrets["adam"]).status_code in (200, 400, 404)
    if "%2" in path:
        assert proxied.get(path, headers=secrets["adam"]).status_code == 400


def test_an_mlflow_that_is_away_is_said_so(open_service: Service, tmp_path: Path) -> None:
    service = replace(open_service, home=Home(tmp_path, mlflow="http://127.0.0.1:9/mlflow"))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        answer = client.get("/mlflow/")
        assert answer.status_code == 502
        assert "does not answer" in answer.json()["detail"]
        assert client.get("/api/ready").json()["mlflow"] == "away"
