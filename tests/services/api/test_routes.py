"""Every route, by what a person would do with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from jobs import SPEC, NoJobs

from rnnlab.curve import Curve
from services.api.service import Service
from services.jobs.foreman import Foreman
from sweeps.home import trial_folder
from sweeps.recording.arrays import CurveArchive
from sweeps.recording.messages import TrialBegun
from sweeps.recording.mlflow_writer import OpenRun
from sweeps.recording.open_trials import Undrawn
from sweeps.store import ReplicateRecord, TrialResult
from sweeps.store.queue import Queue

YAML = {"Content-Type": "application/yaml"}


def launched(client: TestClient, **headers: str) -> str:
    answer = client.post("/api/sweeps", content=SPEC, headers={**YAML, **headers})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def trained(queue: Queue, id: str, scores: list[float]) -> None:
    """Put a sweep's trials there as a driver would."""
    queue.take_lease(id, "here", 1)
    for number, score in enumerate(scores):
        queue.add_block(id, number, number, {})
        queue.start_trial(
            id, number, block=number, config_hash="abc", label=f"rnn {number}", params={"cell": "rnn"}, spec={}
        )
        verdict = "healthy" if score < 0 else "vanishing"
        result = TrialResult(score=score, verdict=verdict, verdict_init="vanishing", updates=30, seconds=1.0)
        queue.end_trial(
            id,
            number,
            "complete",
            result,
            [ReplicateRecord(trial=number, number=0, seed=1, outcome="finished", update=30)],
        )


def test_launch_as_yaml_as_json_and_as_a_recipe(client: TestClient, queue: Queue) -> None:
    assert launched(client) == "tiny"
    spec = {"yaml": SPEC, "workers": 2}
    again = client.post("/api/sweeps", json=spec)
    assert (again.status_code, again.json()["id"], again.json()["workers"]) == (201, "tiny-2", 2)
    assert again.headers["Location"] == "/api/sweeps/tiny-2"
    recipe = client.post("/api/sweeps", json={"recipe": "first"}).json()
    assert (recipe["id"], recipe["status"], recipe["ended"]) == ("first", "queued", 0)
    assert queue.sweep("first").spec["name"] == "first"


def test_a_key_makes_a_repeated_launch_one_sweep(client: TestClient) -> None:
    first = client.post("/api/sweeps", content=SPEC, headers={**YAML, "Idempotency-Key": "mine"})
    second = client.post("/api/sweeps", content=SPEC, headers={**YAML, "Idempotency-Key": "mine"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = SPEC.replace("length: 12", "length: 13")
    clash = client.post("/api/sweeps", content=other, headers={**YAML, "Idempotency-Key": "mine"})
    assert clash.status_code == 422
    assert "another launch" in clash.json()["detail"]


def test_checking_creates_nothing_and_says_what_is_wrong(client: TestClient) -> None:
    good = client.post("/api/sweeps/check", content=SPEC, headers=YAML).json()
    assert (good["trials"], good["replicates"], good["updates"]) == (2, 2, 30)
    bad = client.post("/api/sweeps/check", content=SPEC.replace("gru", "grru"), headers=YAML)
    assert bad.status_code == 422
    assert bad.headers["content-type"] == "application/problem+json"
    assert "did you mean 'gru'" in bad.json()["detail"]
    assert client.get("/api/sweeps").json()["total"] == 0


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        ("", "application/yaml", 422, "must be a mapping"),
        ("[1, 2]", "application/json", 422, ""),
        ("{", "application/json", 400, "not JSON"),
        ("name: x", "text/csv", 415, "application/yaml"),
        ("{}", "application/json", 422, "one of `spec`, `yaml` and `recipe`"),
        ('{"recipe": "frist"}', "application/json", 422, "did you mean 'first'"),
        ("name: x\n\tbad", "application/yaml", 422, "not YAML"),
        (SPEC + "replicates: 3", "application/yaml", 422, "stands twice"),
        (SPEC.replace("replicates: 2", "replicates: 65"), "application/yaml", 422, "at most 64 replicates"),
        (SPEC.replace("sampler: grid", "sampler: random, trials: 501"), "application/yaml", 422, "at most 500 trials"),
        ('{"yaml": "x", "extra": 1}', "application/json", 422, "extra"),
        ("[" * 5000, "application/json", 400, "not JSON"),
    ],
)
def test_a_wrong_launch_is_one_sentence(client: TestClient, content: str, kind: str, status: int, said: str) -> None:
    answer = client.post("/api/sweeps", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert set(answer.json()) == {"type", "title", "status", "detail", "where"}


def test_a_yaml_bomb_is_refused_quickly(client: TestClient) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    answer = client.post("/api/sweeps/check", content="\n".join(lines), headers=YAML)
    assert answer.status_code == 422
    assert "20,000 values" in answer.json()["detail"]
    loop = client.post("/api/sweeps/check", content="task: &a {b: *a}", headers=YAML)
    assert loop.status_code == 422


def test_a_body_that_is_too_large_is_refused(client: TestClient) -> None:
    answer = client.post("/api/sweeps", content="x" * 1_000_001, headers=YAML)
    assert answer.status_code == 413


def test_data_files_lie_in_the_folders_of_the_operator(
    client: TestClient, open_service: Service, tmp_path: Path
) -> None:
    (tmp_path / "outside.csv").write_text("x,y\n1,2\n")
    inside = Path(open_service.settings.data_folders[0])
    (inside / "link.csv").symlink_to(tmp_path / "outside.csv")
    for path in ("../outside.csv", str(tmp_path / "outside.csv"), "link.csv", "/etc/passwd", "none.csv", "a\\u0000b"):
        spec = SPEC.replace("{kind: adding, length: 12}", f'{{kind: table, path: "{path}", inputs: [x], target: y}}')
        answer = client.post("/api/sweeps/check", content=spec, headers=YAML)
        assert answer.status_code == 422, path
        assert ("NUL" if "u0000" in path else "task.path") in answer.json()["detail"], answer.json()["detail"]


def test_no_way_round_the_folders(client: TestClient, open_service: Service, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("a secret " * 500)
    task = "{kind: adding, length: 12}"
    for spec in (
        SPEC.replace(task, f'{{kind: characters, path: "{outside}"}}'),
        SPEC.replace(task, f'{{kind: characters, options: {{path: "{outside}"}}}}'),
        SPEC.replace(task, "{kind: characters}").replace("space: {", f'space: {{task.path: ["{outside}"], '),
    ):
        assert "outside" in spec
        answer = client.post("/api/sweeps/check", content=spec, headers=YAML)
        assert answer.status_code == 422
        assert "task.path" in answer.json()["detail"], answer.json()["detail"]
    (Path(open_service.settings.data_folders[0]) / "inside.txt").write_text("no secret " * 500)
    for path in ("inside.txt", "null"):
        spec = SPEC.replace(task, f"{{kind: characters, path: {path}}}")
        answer = client.post("/api/sweeps/check", content=spec, headers=YAML)
        assert answer.status_code == 200, answer.text


def test_code_of_others_is_not_run(client: TestClient) -> None:
    spec = SPEC.replace("[rnn, gru]", "[rnn, 'os.path:join']")
    answer = client.post("/api/sweeps/check", content=spec, headers=YAML)
    assert answer.status_code == 422
    assert "names code of 'os'" in answer.json()["detail"]


def test_the_list_has_pages_and_filters(client: TestClient, queue: Queue) -> None:
    ids = [launched(client) for _ in range(3)]
    trained(queue, ids[0], [0.5])
    queue.end_sweep(ids[0], "finished")
    everything = client.get("/api/sweeps").json()
    assert [item["id"] for item in everything["items"]] == ids[::-1]
    page = client.get("/api/sweeps", params={"limit": 1, "offset": 1}).json()
    assert ([item["id"] for item in page["items"]], page["total"]) == ([ids[1]], 3)
    assert [i["id"] for i in client.get("/api/sweeps", params={"status": "finished"}).json()["items"]] == [ids[0]]
    assert client.get("/api/sweeps", params={"text": "iny-2"}).json()["total"] == 1
    assert client.get("/api/sweeps", params={"text": "%"}).json()["total"] == 0
    assert client.get("/api/sweeps", params={"limit": 0}).status_code == 422
    assert client.get("/api/sweeps", params={"status": "lost"}).status_code == 422


def test_a_sweep_says_how_far_it_is(client: TestClient, queue: Queue) -> None:
    id = launched(client)
    trained(queue, id, [0.5])
    seen = client.get(f"/api/sweeps/{id}").json()
    assert (seen["ended"], seen["trials"], seen["best_score"]) == (1, 2, 0.5)
    assert seen["by_verdict"] == {"vanishing": 1}
    assert seen["status"] == "running"
    assert client.get("/api/sweeps/tinny").status_code == 404
    assert "did you mean 'tiny'" in client.get("/api/sweeps/tinny").json()["detail"]


def test_trials_sort_and_filter(client: TestClient, queue: Queue) -> None:
    id = launched(client)
    trained(queue, id, [0.5, -1.0])
    items = client.get(f"/api/sweeps/{id}/trials", params={"sort": "score"}).json()["items"]
    assert [trial["number"] for trial in items] == [1, 0]
    healthy = client.get(f"/api/sweeps/{id}/trials", params={"verdict": "healthy"}).json()
    assert (healthy["total"], healthy["items"][0]["number"]) == (1, 1)
    assert client.get(f"/api/sweeps/{id}/trials/1").json()["label"] == "rnn 1"
    assert client.get(f"/api/sweeps/{id}/trials/7").status_code == 404
    assert client.get(f"/api/sweeps/{id}/trials/-1").status_code == 422
    assert client.get(f"/api/sweeps/{id}/trials/0/curves").status_code == 404
    assert client.get(f"/api/sweeps/{id}/trials", params={"sort": "spec"}).status_code == 422


def test_curves_are_there_between_a_trials_end_and_its_picture(
    client: TestClient, queue: Queue, open_service: Service
) -> None:
    """Pictures come last of all, minutes later on a busy machine."""
    id = launched(client)
    trained(queue, id, [0.5])
    archive = CurveArchive()
    archive.add(30, [Curve("anchor", "steps", np.ones((2, 12)), "h", 0, 30)])
    begun = TrialBegun(0, "rnn", 0, {}, {}, "", "h", 1, 11)
    folder = open_service.home.sweep_folder(id)
    Undrawn(folder).add(OpenRun("run", begun, ""))
    archive.save(trial_folder(folder, 0) / "curves.npz")
    found = client.get(f"/api/sweeps/{id}/trials/0/curves").json()
    assert (found["names"], found["values"], found["updates"]) == (["anchor_h_l0"], [[1.0] * 12], [30])
    archive.save(folder / "curves.npz")
    assert not (folder / "curves.part").exists()


def test_stop_resume_delete(client: TestClient, queue: Queue, open_service: Service, engine: NoJobs) -> None:
    id = launched(client)
    assert client.post(f"/api/sweeps/{id}/stop").json()["status"] == "stopped"
    assert client.post(f"/api/sweeps/{id}/stop").json()["status"] == "stopped"  # again changes nothing
    assert client.post(f"/api/sweeps/{id}/resume").json()["status"] == "queued"
    Foreman(queue, engine, 1).round()
    assert client.post(f"/api/sweeps/{id}/stop").json()["stop_requested"]
    assert client.delete(f"/api/sweeps/{id}", params={"confirm": id}).status_code == 409
    queue.take_lease(id, "here", 1)
    queue.end_sweep(id, "stopped")
    folder = open_service.home.sweep_folder(id)
    folder.mkdir(parents=True)
    unconfirmed = client.delete(f"/api/sweeps/{id}")
    assert unconfirmed.status_code == 400
    assert f"confirm={id}" in unconfirmed.json()["detail"]
    assert client.delete(f"/api/sweeps/{id}", params={"confirm": id}).status_code == 204
    assert not folder.exists()
    assert client.get(f"/api/sweeps/{id}").status_code == 404


def test_report_and_log(client: TestClient, open_service: Service, queue: Queue, engine: NoJobs) -> None:
    id = launched(client)
    assert client.get(f"/api/sweeps/{id}/log").text == ""
    assert client.get(f"/api/sweeps/{id}/report.html").status_code == 404
    folder = open_service.home.sweep_folder(id)
    folder.mkdir(parents=True)
    (folder / "report.json").write_text('{"findings": []}')
    assert client.get(f"/api/sweeps/{id}/report.json").json() == {"findings": []}
    assert client.get(f"/api/sweeps/{id}/report.exe").status_code == 404
    for path in ("..%2f..%2fetc", "..", "%2e%2e", "tiny%2f..", "tiny%00"):
        assert client.get(f"/api/sweeps/{path}/report.json").status_code in (400, 404, 405), path
    Foreman(queue, engine, 1).round()
    assert "on fire" in client.get(f"/api/sweeps/{id}/log").text
    engine.away = True
    assert client.get(f"/api/sweeps/{id}/log").status_code == 503


def test_events_and_the_stream_end_with_the_sweep(client: TestClient, queue: Queue) -> None:
    id = launched(client)
    trained(queue, id, [0.5])
    queue.event(id, "finished", "2 trials ended")
    queue.end_sweep(id, "finished")
    kinds = [event["kind"] for event in client.get(f"/api/sweeps/{id}/events").json()["items"]]
    assert kinds == ["queued", "finished"]
    with client.stream("GET", f"/api/sweeps/{id}/stream") as answer:
        lines = [line for line in answer.iter_lines() if line.startswith(("event", "data"))]
    assert [line for line in lines if line.startswith("event")] == ["event: event", "event: event", "event: sweep"]
    assert json.loads(lines[-1].removeprefix("data: "))["status"] == "finished"
    with client.stream("GET", f"/api/sweeps/{id}/stream", headers={"Last-Event-ID": "1"}) as answer:
        assert sum(line == "event: event" for line in answer.iter_lines()) == 1
    assert client.get("/api/sweeps/tinny/stream").status_code == 404


def test_tables_recipes_version_metrics_health(client: TestClient, engine: NoJobs) -> None:
    for kind in ("cells", "activations", "inits", "clips", "tasks", "probes", "samplers", "pruners", "recipes"):
        page = client.get(f"/api/tables/{kind}").json()
        assert page["total"] == len(page["items"]) > 0
    assert client.get("/api/tables/cars").status_code == 404
    assert client.get("/api/recipes/first").text.startswith("name: first")
    assert client.get("/api/version").json()["packages"]["ray"].startswith("2.60")
    assert client.get("/api/health").json() == {"status": "ok"}
    assert client.get("/api/ready").json()["status"] == "ok"
    launched(client)
    metrics = client.get("/api/metrics").text
    assert 'rnnlab_sweeps{status="queued"} 1.0' in metrics
    assert "rnnlab_queue_length 1.0" in metrics


def test_a_browser_reads_a_problem_as_a_page(client: TestClient) -> None:
    for path, status in (("/sweeps/nope", 404), ("/sweeps/nope/trials/0", 404), ("/?page=x", 422), ("/nowhere", 404)):
        page = client.get(path, headers={"Accept": "text/html,*/*"})
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert f"<h1>{status}: " in page.text
        assert client.get(path).headers["content-type"] == "application/problem+json"
    assert "<script" not in client.get("/sweeps/<script>x", headers={"Accept": "text/html"}).text


def test_every_page_has_our_headers(client: TestClient) -> None:
    for path in ("/", "/api/health", "/launch", "/static/style.css"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert "script-src 'self'" in client.get("/").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "change",
    [
        ("[rnn, gru]", "[rnn, 'os.path:join']"),
        ("[rnn, gru]", "[rnn, {'os.path:join': {a: 1}}]"),
        ("[rnn, gru]", "{choices: [rnn, gru], when: {init: 'os.path:join(1)'}}"),
        ("kind: adding", "kind: 'os.path:join'"),
        ("name: tiny", "name: tiny\nprobe: {measure: [anchor, ' os.path:join']}"),
    ],
)
def test_no_name_of_code_passes_wherever_it_stands(client: TestClient, change: tuple[str, str]) -> None:
    assert change[0] in SPEC
    answer = client.post("/api/sweeps/check", content=SPEC.replace(*change), headers=YAML)
    assert answer.status_code == 422
    assert "names code of 'os', which this service does not run" in answer.json()["detail"]


def test_a_recipe_is_no_code_and_a_description_is_free(client: TestClient) -> None:
    answer = client.post("/api/sweeps/check", json={"recipe": "os:getcwd"})
    assert answer.status_code == 422
    assert "recipe 'os:getcwd' is unknown" in answer.json()["detail"]
    told = SPEC.replace("name: tiny", "name: tiny\ndescription: 'question: which cell'")
    assert client.post("/api/sweeps/check", content=told, headers=YAML).status_code == 200


def test_code_of_a_package_that_the_operator_allowed(
    client: TestClient, open_service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from rnnlab.cells.gru import GRU\nclass Mine(GRU):\n    '''A GRU by another name.'''\n"
    (tmp_path / "operators_cells.py").write_text(text)
    (tmp_path / "others_cells.py").write_text("raise SystemExit('this was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    open_service.settings.plugins.append("operators_cells")
    for package, status in (("operators_cells", 200), ("others_cells", 422), ("operators_cells_too", 422)):
        spec = SPEC.replace("[rnn, gru]", f"[rnn, '{package}:Mine']")
        answer = client.post("/api/sweeps/check", content=spec, headers=YAML)
        assert answer.status_code == status, answer.text
