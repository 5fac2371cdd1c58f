"""The server as a process: nothing acknowledged is lost, by load, by kill -9 or by Ctrl-C."""

import io
import json
import os
import signal
import socket
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from PIL import Image

from miner.artifacts.decisions import read_decisions, standing
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.workspace import Workspace
from miner.errors import install_extra
from tests.processes import run_command
from tests.review.running import miner_review


def decisions_file(workspace: Workspace) -> Path:
    return workspace.review / "decisions.jsonl"


def lines(workspace: Workspace) -> list[dict]:
    return [json.loads(line) for line in decisions_file(workspace).read_text().splitlines()]


def first_pair(client: httpx.Client, reviewer: str) -> int:
    return client.get("/api/state", params={"reviewer": reviewer}).json()["queue"][0]["pair"]


def post(client: httpx.Client, reviewer: str, pair: int, decision: str) -> httpx.Response:
    return client.post("/api/decisions", json={"reviewer": reviewer, "pair": pair, "decision": decision})


def test_fifty_reviewers_at_once_lose_nothing(workspace, start_review) -> None:
    server = start_review(workspace, "--labels", "20", "--overlap", "0.5")
    ready = threading.Barrier(50)

    def reviewer(number: int) -> list[tuple[str, int, str]]:
        name, sent = f"Reviewer {number:02d}", []
        with server.client() as client:
            ready.wait()
            pair = first_pair(client, name)
            for turn in range(20):
                decision = ("same", "different", "unsure", "skip")[(number + turn) % 4]
                answer = post(client, name, pair, decision)
                answer.raise_for_status()
                sent.append((name, pair, decision))
                pair = answer.json()["queue"][0]["pair"]
        return sent

    with ThreadPoolExecutor(50) as pool:
        sent = [decision for part in pool.map(reviewer, range(50)) for decision in part]
    assert len(set(sent)) == len(sent) == 1000
    written = read_decisions(decisions_file(workspace))
    assert Counter(decision.reviewer for decision in written) == {f"Reviewer {number:02d}": 20 for number in range(50)}
    assert len(standing(written)) == len(written) == 1000
    with server.client() as client:
        people = client.get("/api/summary").json()["reviewers"]
        answers = Counter(decision for _, _, decision in sent)
    assert len(people) == 50
    assert {answer: sum(person[answer] for person in people) for answer in answers} == answers


@pytest.mark.parametrize("killed_after", [40, 150])
def test_every_acknowledged_decision_survives_kill_9(workspace, start_review, killed_after: int) -> None:
    server = start_review(workspace)
    acknowledged: list[tuple[str, int]] = []
    enough, lock = threading.Event(), threading.Lock()

    def reviewer(number: int) -> None:
        name = f"R{number}"
        try:
            with server.client() as client:
                pair = first_pair(client, name)
                while True:
                    answer = post(client, name, pair, "same")
                    answer.raise_for_status()
                    with lock:
                        acknowledged.append((name, pair))
                        if len(acknowledged) >= killed_after:
                            enough.set()
                    pair = answer.json()["queue"][0]["pair"]
        except (httpx.HTTPError, ValueError):
            return  # the server has been killed

    threads = [threading.Thread(target=reviewer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    enough.wait()
    assert server.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    for thread in threads:
        thread.join()
    again = start_review(workspace)
    with again.client() as client:
        for name in {name for name, _ in acknowledged}:
            state = client.get("/api/state", params={"reviewer": name}).json()
            assert state["judged"] >= sum(reviewer == name for reviewer, _ in acknowledged)
    code, _ = again.stop()
    assert code == 0
    kept = {(decision.reviewer, decision.pair) for decision in read_decisions(decisions_file(workspace))}
    table = _pairs(workspace)
    assert {(name, (table[pair]["key_a"], table[pair]["key_b"])) for name, pair in acknowledged} <= kept


def _pairs(workspace: Workspace) -> list[dict]:
    return pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()


def test_ctrl_c_ends_with_the_summary_and_the_next_command(workspace, start_review) -> None:
    server = start_review(workspace)
    with server.client() as client:
        for reviewer in ("Ada", "Bob"):
            for _ in range(12):
                post(client, reviewer, first_pair(client, reviewer), "same").raise_for_status()
        live = client.get("/api/summary").json()
    code, output = server.stop()
    assert code == 0
    assert "Ada 12, Bob 12" in output and "Ada and Bob agree on" in output
    assert (
        f"miner export --exclude {decisions_file(workspace)} -w {workspace.root}" in output and "--force" not in output
    )
    record = json.loads((workspace.review / "review.json").read_text())
    assert record["precision"]["value"] == 1.0 and record["precision"]["low"] > 0.5
    assert {**live, "narrower": None, "digest": ""}.keys() == record.keys()
    assert json.loads((workspace.root / "run.json").read_text())["stages"]["review"]["record"] == record


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_review_without_decisions_ends_cleanly(workspace, start_review, number: int) -> None:
    code, output = start_review(workspace).stop(number)
    said, following = output.splitlines()
    assert (code, said) == (0, "review: no decisions yet") and following.startswith("review: next, miner report --open")


def test_the_summary_needs_no_server_and_prints_json(workspace, start_review) -> None:
    server = start_review(workspace)
    with server.client() as client:
        for turn in range(30):
            pair = first_pair(client, "Ada")
            post(client, "Ada", pair, "different" if turn % 3 == 0 else "same").raise_for_status()
    table = miner_review(workspace, "--summary").stdout
    record = json.loads(miner_review(workspace, "--summary", "--json").stdout)
    assert (record["labelled"], record["same"]) == (30, 20)
    assert f"precision of all {record['pairs']:,} pairs {record['precision']['value']:.1%}" in table
    assert sum(part["labelled"] for part in record["slices"]) == 30
    weighted = sum(part["pairs"] * (part["precision"]["value"] or 0) for part in record["slices"])
    known = sum(part["pairs"] for part in record["slices"] if part["labelled"])
    assert record["precision"]["value"] == pytest.approx(weighted / known, abs=1e-5)
    assert server.command.process.is_alive()


def test_a_name_continues_after_a_restart_and_can_undo(workspace, start_review) -> None:
    first = start_review(workspace)
    with first.client() as client:
        pairs = []
        for _ in range(3):
            pairs.append(first_pair(client, "Ada"))
            post(client, "Ada", pairs[-1], "same")
        coming = first_pair(client, "Ada")
    first.stop()
    again = start_review(workspace)
    with again.client() as client:
        state = client.get("/api/state", params={"reviewer": "Ada"}).json()
        assert (state["judged"], state["last"], state["queue"][0]["pair"]) == (3, pairs[2], coming)
        state = post(client, "Ada", pairs[2], "undo").json()
        assert (state["judged"], state["last"], state["queue"][0]["pair"]) == (2, pairs[1], pairs[2])
        post(client, "Ada", pairs[2], "different")
    assert [line["decision"] for line in lines(workspace)] == ["same", "same", "same", "undo", "different"]
    last = lines(workspace)[-1]
    assert list(last) == ["key_a", "key_b", "decision", "reviewer", "time", "similarity", "slice"]
    assert last["slice"][0] <= last["similarity"] <= last["slice"][1]


def test_a_decision_sent_twice_is_written_once(workspace, start_review) -> None:
    server = start_review(workspace)
    with server.client() as client:
        pair = first_pair(client, "Ada")
        states = [post(client, "Ada", pair, "same").json() for _ in range(3)]
        assert states[0] == states[1] == states[2]
        for _ in range(2):
            post(client, "Ada", pair, "undo").raise_for_status()
    assert [line["decision"] for line in lines(workspace)] == ["same", "undo"]


def test_pairs_outside_the_overlap_are_judged_by_one_person(workspace, start_review) -> None:
    server = start_review(workspace, "--overlap", "0.25", "--labels", "40")
    with server.client() as client:
        for _ in range(40):
            for reviewer in ("Ada", "Bob", "Eve"):
                post(client, reviewer, first_pair(client, reviewer), "same")
    seen = Counter((line["key_a"], line["key_b"]) for line in lines(workspace))
    assert Counter(seen.values()) == {3: 10, 1: 90}


def test_reviewers_are_blind_unless_told_otherwise(workspace, start_review) -> None:
    blind = start_review(workspace)
    with blind.client() as client:
        answers = [client.get(path) for path in ("/api/session", "/api/state?reviewer=Ada", "/api/summary")]
        assert all(set(card) == {"pair"} for card in answers[1].json()["queue"])
        assert not any(name in answer.text for answer in answers for name in ("Sneaker", "label_a", "class"))
    blind.stop()
    seeing = start_review(workspace, "--show-labels")
    with seeing.client() as client:
        card = client.get("/api/state?reviewer=Ada").json()["queue"][0]
    pair = _pairs(workspace)[card["pair"]]
    assert card["similarity"] == pytest.approx(pair["similarity"], abs=1e-4)
    names = EmbeddingsManifest.read(workspace).source.classes
    assert card["labels"] == [names[pair["label_a"]], names[pair["label_b"]]]


def test_decisions_about_other_pairs_are_kept_and_counted_apart(workspace, start_review) -> None:
    stranger = {
        **{"key_a": "gone-1", "key_b": "gone-2", "decision": "same", "reviewer": "Ada"},
        **{"time": "2025-03-01T12:00:00Z", "similarity": 0.9, "slice": [0.8, 1.0]},
    }
    workspace.review.mkdir()
    decisions_file(workspace).write_text(json.dumps(stranger) + "\n")
    server = start_review(workspace)
    with server.client() as client:
        post(client, "Ada", first_pair(client, "Ada"), "same")
        assert client.get("/api/summary").json()["elsewhere"] == 1
    _, output = server.stop()
    assert "decisions about pairs outside this set, which the file keeps: 1\n" in output
    assert lines(workspace)[0] == stranger and len(lines(workspace)) == 2


def test_a_taken_port_gives_way_to_the_next(workspace, start_review, mined) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start_review(workspace, "--port", str(port))
        assert f"port {port} is taken" in server.printed
        assert server.base != f"http://127.0.0.1:{port}"
        with server.client() as client:
            assert client.get("/").status_code == 200


def test_a_second_server_and_other_stages(workspace, start_review) -> None:
    server = start_review(workspace)
    with server.client() as client:
        post(client, "Ada", first_pair(client, "Ada"), "same")
        second = miner_review(workspace)
        assert second.returncode == 1 and "Another `miner review`" in second.stderr
        for stage in ("export", "report"):
            assert run_command(stage, variables={**os.environ, "MINER_WORKSPACE": str(workspace.root)}).returncode == 0
        post(client, "Ada", first_pair(client, "Ada"), "same")
    _, output = server.stop()
    assert "Ada 2" in output and "--force" in output


def test_images_of_the_queue_can_be_seen(workspace, start_review) -> None:
    server = start_review(workspace)
    with server.client() as client:
        pair = first_pair(client, "Ada")
        base = client.get("/api/session").json()["images"]
        for side in "ab":
            answer = client.get(f"{base}/{pair}/{side}")
            assert answer.headers["content-type"] == "image/png"
            Image.open(io.BytesIO(answer.content)).verify()


def without_uvicorn() -> None:
    sys.modules["uvicorn"] = None


def test_without_the_extra_the_command_says_what_to_install(workspace) -> None:
    command = ["review", "-w", str(workspace.root)]
    answer = run_command(*command, prepare=without_uvicorn)
    assert answer.returncode == 1 and install_extra("review") in answer.stderr
    assert run_command(*command, "--summary", prepare=without_uvicorn).returncode == 0


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--force"], 2, "no --force"),
        (["--token", "short"], 2, "--token"),
        (["--overlap", "2"], 2, "--overlap"),
        (["--host", "203.0.113.7"], 2, "--host 203.0.113.7 cannot be listened on"),
        (["--host", "no-such-host.invalid"], 2, "--host no-such-host.invalid is not known"),
    ],
)
def test_wrong_flags_get_one_paragraph(workspace, flags: list[str], code: int, words: str) -> None:
    answer = miner_review(workspace, *flags)
    assert answer.returncode == code and words in " ".join(answer.stderr.split()), answer.stderr
    assert "Traceback" not in answer.stderr
