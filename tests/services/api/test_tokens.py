"""Who may do what. That no route is left out: tests/services/hardening/test_access.py."""

from __future__ import annotations

from fastapi.testclient import TestClient
from jobs import SPEC

from services.api.security import COOKIE
from sweeps.store.tokens import Tokens

YAML = {"Content-Type": "application/yaml"}
Headers = dict[str, dict[str, str]]


def test_a_browser_is_sent_to_the_login_page_and_back(guarded: TestClient, secrets: Headers) -> None:
    page = {"Accept": "text/html"}
    sent = guarded.get("/sweeps/tiny", headers=page, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/sweeps/tiny")
    wrong = guarded.post("/login", data={"token": "no", "next": "/"})
    assert wrong.status_code == 401
    assert "not valid" in wrong.text
    secret = secrets["vera"]["Authorization"].removeprefix("Bearer ")
    entered = guarded.post("/login", data={"token": secret, "next": "//evil.example"}, follow_redirects=False)
    assert entered.headers["location"] == "/"
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get("/", headers=page).status_code == 200
    guarded.post("/logout")
    assert guarded.get("/", headers=page, follow_redirects=False).status_code == 303


def test_another_sites_page_changes_nothing_with_the_cookie(guarded: TestClient, secrets: Headers) -> None:
    guarded.cookies.set(COOKIE, secrets["adam"]["Authorization"].removeprefix("Bearer "))
    foreign = {**YAML, "Origin": "https://evil.example"}
    assert guarded.post("/api/sweeps", content=SPEC, headers=foreign).status_code == 403
    own = {**YAML, "Origin": "http://testserver"}
    assert guarded.post("/api/sweeps", content=SPEC, headers=own).status_code == 201


def test_roles(guarded: TestClient, secrets: Headers) -> None:
    refused = guarded.post("/api/sweeps", content=SPEC, headers={**YAML, **secrets["vera"]})
    assert refused.status_code == 403
    assert "requires the role launcher" in refused.json()["detail"]
    made = guarded.post("/api/sweeps", content=SPEC, headers={**YAML, **secrets["ann"]}).json()
    assert made["launched_by"] == "ann"
    assert guarded.get(f"/api/sweeps/{made['id']}", headers=secrets["vera"]).status_code == 200
    for method, path in (("POST", "stop"), ("POST", "resume"), ("DELETE", ""), ("GET", "log")):
        url = f"/api/sweeps/{made['id']}/{path}".rstrip("/")
        assert guarded.request(method, url, headers=secrets["vera"]).status_code == 403, url
        assert guarded.request(method, url, headers=secrets["bob"]).status_code == 403, url
    assert guarded.post(f"/api/sweeps/{made['id']}/stop", headers=secrets["ann"]).status_code == 200
    assert guarded.post(f"/api/sweeps/{made['id']}/resume", headers=secrets["adam"]).status_code == 200


def test_quotas_are_a_tokens_own(guarded: TestClient, secrets: Headers) -> None:
    tokens = Tokens(guarded.app.state.service.queue.engine)  # type: ignore[attr-defined]
    small = {"Authorization": f"Bearer {tokens.make('small', 'launcher', most_sweeps=1, most_trials=1)}"}
    answer = guarded.post("/api/sweeps", content=SPEC, headers={**YAML, **small})
    assert "at most 1 trials" in answer.json()["detail"]
    one = SPEC.replace("[rnn, gru]", "[rnn]")
    assert guarded.post("/api/sweeps", content=one, headers={**YAML, **small}).status_code == 201
    full = guarded.post("/api/sweeps", content=one, headers={**YAML, **small})
    assert full.status_code == 409
    assert "small may have 1 sweeps" in full.json()["detail"]
    assert guarded.post("/api/sweeps", content=one, headers={**YAML, **secrets["ann"]}).status_code == 201
