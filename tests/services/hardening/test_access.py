"""Tokens that are no good, and tokens of others, on every route there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from every_route import filled, templates
from labs import Lab

from services.api.app import create_app
from services.api.security import COOKIE
from sweeps.home import Home
from sweeps.store.queue import Queue
from sweeps.store.tokens import Tokens

OPEN = {"/api/health", "/api/ready", "/login", "/logout", "/api/openapi.json", "/static/plotly.js", "/static/{path}"}
"""Routes that need no token; the page of the login, its files and what a balancer asks."""
LOOKING = {"/api/sweeps/check", "/mlflow", "/mlflow/{path:path}"}
"""Routes that a viewer may POST to: they create nothing, and MLflow's own answer as they read or write."""
OF_OWNERS = {"/api/sweeps/{id}/log"}
"""What only who launched a sweep may read of it."""


@pytest.fixture
def routes(lab: Lab) -> list[tuple[str, str]]:
    found = list(templates(create_app(lab.service).routes))
    assert len(found) > 35
    return found


@pytest.fixture
def http(guarded: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded, timeout=60, follow_redirects=False) as http:
        yield http


def test_no_route_answers_to_a_token_that_is_no_good(
    lab: Lab, http: httpx.Client, routes: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokens = Tokens(lab.queue.engine)
    revoked, expired, good = (
        tokens.make("gone", "admin"),
        tokens.make("old", "admin", days=0),
        tokens.make("a", "admin"),
    )
    tokens.revoke("gone")
    with Queue.open(Home(tmp_path_factory.mktemp("other")).lab_url) as other:
        foreign = Tokens(other.engine).make("adam", "admin")
    bad = ["x", revoked, expired, foreign, good[:-1], good + "x", good.swapcase(), "x" * 5000, "' OR 1=1 --", "%00"]
    wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}]
    wrong += [{"Authorization": f"Token {good}"}, {"X-Token": good}, {"Cookie": f"token={good}"}]
    wrong += [{"Authorization": f"Bearer {secret}"} for secret in bad]
    wrong += [{"Cookie": f"{COOKIE}={secret}"} for secret in (revoked, expired, foreign)]
    # a good cookie beside a bad token does not make it good
    wrong += [{"Authorization": f"Bearer {revoked}", "Cookie": f"{COOKIE}={good}"}]
    for method, path in routes:
        if path in OPEN:
            assert http.request(method, filled(path)).status_code != 401
            continue
        for headers in wrong:
            answer = http.request(method, filled(path), headers=headers, params={"token": good, "confirm": "tiny"})
            assert answer.status_code == 401, (method, path, headers, answer.status_code)
            assert "tiny" not in answer.text
    assert lab.queue.sweep("tiny").status == "finished"


def test_a_viewer_changes_nothing_and_a_launcher_nothing_of_others(
    lab: Lab, http: httpx.Client, routes: list[tuple[str, str]]
) -> None:
    tokens = Tokens(lab.queue.engine)
    vera = {"Authorization": f"Bearer {tokens.make('vera', 'viewer')}"}
    bob = {"Authorization": f"Bearer {tokens.make('bob', 'launcher')}"}
    before = [sweep.model_dump(exclude={"heartbeat_at"}) for sweep in lab.queue.sweeps()]
    refused = 0
    for method, path in routes:
        changes = method not in ("GET", "HEAD", "OPTIONS")
        if path in OPEN or path in LOOKING or not (changes or path in OF_OWNERS or path == "/launch"):
            continue
        answer = http.request(method, filled(path), headers=vera, params={"confirm": "tiny"})
        assert answer.status_code == 403, (method, path, answer.text)
        if "{id}" in path:
            answer = http.request(method, filled(path), headers=bob, params={"confirm": "tiny"})
            assert answer.status_code == 403, (method, path, answer.text)
            refused += 1
    assert refused == 4, "stop, resume, delete, log"
    assert [sweep.model_dump(exclude={"heartbeat_at"}) for sweep in lab.queue.sweeps()] == before


def test_a_token_is_worthless_at_once(lab: Lab, http: httpx.Client) -> None:
    tokens = Tokens(lab.queue.engine)
    secret = tokens.make("vera", "viewer")
    for headers in ({"Authorization": f"Bearer {secret}"}, {"Cookie": f"{COOKIE}={secret}"}):
        assert http.get("/api/sweeps", headers=headers).status_code == 200
    tokens.revoke("vera")
    for headers in ({"Authorization": f"Bearer {secret}"}, {"Cookie": f"{COOKIE}={secret}"}):
        assert http.get("/api/sweeps", headers=headers).status_code == 401


def test_no_secret_is_kept_or_told(
    lab: Lab, http: httpx.Client, routes: list[tuple[str, str]], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Wherever a person puts a token, right or wrong, it stands in no answer, log, event, file or database."""
    tokens = Tokens(lab.queue.engine)
    good, wrong = tokens.make("adam", "admin"), "rnnlab_" + "w" * 43
    said = []
    for secret in (good, wrong):
        for headers in ({"Authorization": f"Bearer {secret}"}, {"Cookie": f"{COOKIE}={secret}"}):
            for method, path in routes:
                if not path.endswith(("/stream", "/plan")) and method != "DELETE":
                    answer = http.request(method, filled(path), headers=headers, params={"token": secret})
                    said.append(answer.text)
        said.append(http.post("/login", data={"token": secret, "next": "/"}).text)
        said.append(http.post("/login", json={"token": secret}).text)
        said.append(
            http.post("/api/sweeps", json={"recipe": "first", "token": 1}, headers={"Authorization": secret}).text
        )
    said += [json_of_tokens(tokens), *(event.message for event in lab.queue.events("tiny"))]
    captured = capfd.readouterr()
    said += [captured.out, captured.err]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    said += [path.read_bytes().decode("latin-1") for path in files]
    for secret in (good, wrong):
        assert not [text[:300] for text in said if secret in text]


def json_of_tokens(tokens: Tokens) -> str:
    return "\n".join(token.model_dump_json() for token in tokens.all())
