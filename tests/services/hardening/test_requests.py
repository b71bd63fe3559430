"""Requests that no client of ours sends: paths that leave, bodies without end, headers that lie."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from browsing import served
from every_route import filled, templates
from fastapi import FastAPI, Request
from labs import BODY, Lab

from services.api.app import create_app
from services.api.security import COOKIE
from sweeps.home import Home

MARK = "nobody may read this"
UP = (
    "..", "../..", "../../marked", "..%2fmarked", "%2e%2e%2fmarked", "%2e%2e/%2e%2e/marked", "..%252fmarked", "....//marked",
    "..%5cmarked", "%2fetc%2fpasswd", "//etc/passwd", "tiny%2f..%2f..%2fmarked", "tiny%00", "%00", "tiny%0d%0aX-Evil:%201",
    "%ff%fe", "~", "tiny/../../marked", "a" * 3000, "%f0%9f%92%a9", "lab.db", "..%2f..%2flab.db",
)  # fmt: skip


ONE_DATABASE = pytest.mark.parametrize("lab", ["sqlite"], indirect=True)
"""For what is refused before any database is asked: on a second one it would be the same test."""


def raw(address: str, request: bytes) -> tuple[int, bytes]:
    """Status and whole answer to bytes as they are; no client in between that would mend them."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
        line.sendall(request)
        answer = b""
        while part := line.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer


def get(address: str, path: str, *headers: str) -> tuple[int, bytes]:
    """Status and answer; `headers` replace the good Host where they name one."""
    lines = [f"GET {path} HTTP/1.1", "Connection: close", *headers]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append("Host: localhost")
    return raw(address, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


@pytest.fixture
def marked(lab: Lab) -> Path:
    """A file of the home that no route gives, and one beside the home."""
    for folder in (lab.home.path, lab.home.path / "sweeps", lab.home.path / "files"):
        folder.mkdir(exist_ok=True)
    for path in (lab.home.path / "marked", lab.home.path / "sweeps" / "marked"):
        path.write_text(MARK)
    return lab.home.path


def test_no_path_leads_out(lab: Lab, address: str, marked: Path) -> None:
    asked = 0
    for path in sorted({path for method, path in templates(create_app(lab.service).routes) if method == "GET"}):
        for part in re.findall(r"\{[^}]+\}", path):
            rest = filled(path.replace(part, "\n"))
            for up in UP:
                status, answer = get(address, rest.replace("\n", up))
                assert status < 500, (path, up, answer[-500:])
                head, _, body = answer.partition(b"\r\n\r\n")
                assert b"x-evil" not in head.lower()
                assert MARK.encode() not in answer
                assert b"SQLite format" not in body
                assert b"root:" not in body
                asked += 1
    assert asked > 200


@ONE_DATABASE
@pytest.mark.parametrize(
    "up", ["../marked", "..\\marked", "/etc/passwd", "files/../../marked", "link", "\0", "~/x", "."]
)
def test_no_spec_reads_a_file_outside_the_data_folders(address: str, marked: Path, up: str) -> None:
    (marked / "files" / "link").symlink_to(marked / "marked")
    for path in (up, str(marked / "files" / up)):
        spec = {
            "name": "x",
            "task": {"kind": "table", "path": path, "inputs": ["x"], "target": "y", "lag": 3, "length": 5},
        }
        for kind in ({"spec": spec}, {"yaml": json.dumps(spec)}):
            answer = httpx.post(f"{address}/api/sweeps/check", json=kind)
            assert answer.status_code == 422, path
            assert MARK not in answer.text
            assert any(words in answer.text for words in ("task.path", "not YAML", "neither NUL"))


def chunked(path: str, kind: str, size: int, length: str = "Transfer-Encoding: chunked") -> bytes:
    """A POST of spaces that does not say how long it is."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{length}\r\nConnection: close\r\n\r\n"
    parts = b"".join(b"10000\r\n" + b" " * 65536 + b"\r\n" for _ in range(size // 65536))
    return head.encode() + parts + b"0\r\n\r\n"


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/api/sweeps", "/api/sweeps/check", "/api/sweeps/plan", "/login", "/logout"])
@pytest.mark.parametrize("kind", ["application/yaml", "application/json", "application/x-www-form-urlencoded"])
def test_a_body_has_an_end(lab: Lab, address: str, path: str, kind: str) -> None:
    before = len(lab.queue.sweeps())
    told = httpx.post(address + path, content=b" " * (BODY + 1), headers={"Content-Type": kind}, timeout=60)
    # a route that does not read its body may not mind it
    assert told.status_code == 413 or path == "/logout", told.text
    for small in (BODY // 2, 2 * BODY):
        try:
            status, answer = raw(address, chunked(path, kind, small))
        except ConnectionError:  # it hung up while we still sent
            continue
        assert status < 500, answer
        assert (status == 413) == (small > BODY) or path == "/logout", (status, answer)
    assert len(lab.queue.sweeps()) == before


@ONE_DATABASE
def test_lengths_that_contradict_each_other_are_refused(address: str) -> None:
    both = chunked("/api/sweeps/check", "application/yaml", 65536, "Transfer-Encoding: chunked\r\nContent-Length: 4")
    assert raw(address, both)[0] in (400, 422)
    two = b"POST /api/sweeps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n{}"
    assert raw(address, two)[0] == 400


BOMBS = {
    "aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)),
    "merges": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)),
    "a loop": "a: &a [*a]",
    "depth": "a: " + "[" * 100_000,
    "depth in blocks": "\n".join(" " * n + "a:" for n in range(700)),
    "width": "a: [" + "[]," * 90_000 + "]",
    "digits": "a: " + "1" * 200_000,
    "sixties": "a: 1" + ":1" * 100_000,
    "a long key": "? " + "x" * 200_000 + "\n: 1",
    "anchors": "\n".join(f"a{n}: &a{n} {n}" for n in range(15_000)),
    "documents": "---\n" * 60_000,
}


@ONE_DATABASE
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_of_yaml_is_refused_before_it_goes_off(address: str, bomb: str) -> None:
    answer = httpx.post(
        f"{address}/api/sweeps/check", content=BOMBS[bomb], headers={"Content-Type": "application/yaml"}, timeout=20
    )
    assert answer.status_code == 422, answer.text[:300]
    assert len(answer.text) < 20_000


@ONE_DATABASE
@pytest.mark.parametrize(
    "headers",
    [
        ["Host: evil.example"],
        ["Host: localhost.evil.example"],
        ["Host: evil.example:8000"],
        ["Host: 127.0.0.1.evil.example"],
        ["Host: localhost@evil.example"],
        ["Host: ["],
        ["Host: "],
        ["Host: localhost", "Host: evil.example"],
    ],
)
def test_without_tokens_it_answers_to_this_machines_names_alone(address: str, headers: list[str]) -> None:
    """Else a page of evil.example whose name leads to 127.0.0.1 would be a page of ours to a browser."""
    for path in ("/", "/api/sweeps", "/launch", "/mlflow/", "/sweeps/tiny"):
        assert get(address, path, *headers)[0] in (400, 403), path
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
        assert get(address, "/api/sweeps", f"Host: {host}")[0] == 200


LIES = [
    "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: javascript", "X-Forwarded-For: evil.example",
    "X-Forwarded-Prefix: //evil.example", "Forwarded: host=evil.example;proto=http", "X-Real-IP: evil.example",
    "X-Original-URL: //evil.example/", "X-HTTP-Method-Override: DELETE",
]  # fmt: skip


def test_no_header_of_a_request_stands_in_an_answer(guarded: str, admin: str) -> None:
    token = f"Authorization: Bearer {admin}"
    html = "Accept: text/html"
    for path in ("/", "/api/sweeps", "/api/sweeps/", "/sweeps/tiny", "/launch/", "/login", "/static", "/mlflow"):
        for more in ([token], [html], [token, html]):
            for host in ("Host: evil.example", "Host: evil.example:80"):
                status, answer = get(guarded, path, host, *LIES, *more)
                assert status < 500
                assert b"evil.example" not in answer, (path, more, answer)
    next = "/login?next=%2F%0d%0aSet-Cookie:%20a=b"
    assert b"\r\nset-cookie" not in get(guarded, next)[1].lower()
    form = b"token=" + admin.encode() + b"&next=%2F%0d%0aSet-Cookie:%20evil=b"
    status, answer = raw(
        guarded,
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded"
        b"\r\nContent-Length: %d\r\n\r\n%s" % (len(form), form),
    )
    assert status == 303
    assert b"evil=b" not in answer


def test_a_line_break_in_a_header_is_refused(guarded: str, admin: str) -> None:
    for bad in ("Idempotency-Key: a\rb", "Idempotency-Key: a\nb: c\x00", "Last-Event-ID: 1\r\n x\x00"):
        assert get(guarded, "/api/sweeps", f"Authorization: Bearer {admin}", bad)[0] == 400
    key = {"Authorization": f"Bearer {admin}", "Idempotency-Key": "a b"}
    assert httpx.post(f"{guarded}/api/sweeps", json={"recipe": "first"}, headers=key).status_code == 422


@pytest.fixture
def behind() -> Iterator[tuple[str, list[list[tuple[str, str]]]]]:
    """A server in the place of MLflow's, and the headers that it was sent."""
    seen: list[list[tuple[str, str]]] = []
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def note(request: Request) -> dict[str, str]:
        seen.append(request.headers.items())
        return {"said": "ok"}

    with served(app) as address:
        yield address, seen


def test_mlflow_sees_no_token_no_cookie_and_no_lie(
    lab: Lab, admin: str, behind: tuple[str, list[list[tuple[str, str]]]]
) -> None:
    address, seen = behind
    service = replace(lab.service, guarded=True, home=Home(lab.home.path, lab.home.lab, f"{address}/mlflow"))
    with served(create_app(service)) as ours:
        sent = [f"Authorization: Bearer {admin}", f"Cookie: {COOKIE}={admin}; other=1", "X-Own: 1", *LIES]
        for path in ("/mlflow/", "/mlflow/ajax-api/2.0/x", f"/mlflow/%2f{'a' * 50}"):
            assert get(ours, path, *sent, "Host: evil.example")[0] == 200
        cookie = {"Cookie": f"{COOKIE}={admin}"}
        assert httpx.post(f"{ours}/mlflow/x/search", json={}, headers=cookie).status_code == 200
    assert len(seen) == 4
    for headers in seen:
        names = {name for name, _ in headers}
        assert not names & {"authorization", "cookie", "x-own", *(lie.partition(":")[0].lower() for lie in LIES)}
        told = " ".join(value for _, value in headers)
        assert admin not in told
        assert "evil.example" not in told
