"""Attacks that the server refuses: rebound names, forms of other sites, guessed paths, missing tokens."""

import json
import shutil
import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from miner.artifacts.workspace import Workspace
from miner.server.guard import content_security_policy, is_loopback
from tests.review.running import Server, reviews

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def local(mined, tmp_path_factory) -> Iterator[Server]:
    """One server for all requests that must not change anything."""
    root = tmp_path_factory.mktemp("guard") / "w"
    shutil.copytree(mined.root, root)
    with reviews() as start:
        yield start(Workspace(root))


def decision(client: httpx.Client, **headers: str) -> httpx.Response:
    body = json.dumps({"reviewer": "Eve", "pair": 0, "decision": "same"})
    return client.post("/api/decisions", content=body, headers={**JSON, **headers})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "", "[", "a b"],
)
def test_a_foreign_host_name_is_refused(local: Server, host: str) -> None:
    with local.client() as client:
        for path in ("/", "/api/session", "/api/state?reviewer=Eve"):
            assert client.get(path, headers={"host": host}).status_code == 403
        assert decision(client, host=host).status_code == 403
        assert client.get("/api/session").json()["reviewers"] == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost."])
def test_a_forwarded_port_works(local: Server, host: str) -> None:
    with local.client() as client:
        for port in ("", ":9000"):
            assert client.get("/api/session", headers={"host": host + port}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
def test_another_site_cannot_decide(local: Server, headers: dict[str, str]) -> None:
    with local.client() as client:
        assert decision(client, **headers).status_code == 403
        assert client.get("/api/session").json()["reviewers"] == []


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b'{"reviewer": "Eve", "pair": 0, "decision": "same"}', {"content-type": "text/plain"}),
        (b'{"reviewer": "Eve", "pair": 0, "decision": "same", "x": "' + b"x" * 5000 + b'"}', JSON),
        (b"[" * 2000, JSON),
        (b"\xff", JSON),
        (b"[]", JSON),
        (b'{"reviewer": "Eve", "pair": -1, "decision": "same"}', JSON),
        (b'{"reviewer": "Eve", "pair": 99999999, "decision": "same"}', JSON),
        (b'{"reviewer": "Eve", "pair": 0.5, "decision": "same"}', JSON),
        (b'{"reviewer": "Eve", "pair": true, "decision": "same"}', JSON),
        (b'{"reviewer": "Eve", "pair": 0, "decision": "maybe"}', JSON),
        (b'{"reviewer": " ", "pair": 0, "decision": "same"}', JSON),
        (b'{"reviewer": "E\\u0000ve", "pair": 0, "decision": "same"}', JSON),
        (b'{"reviewer": "E\\ud800ve", "pair": 0, "decision": "same"}', JSON),
        (b'{"reviewer": "' + b"E" * 41 + b'", "pair": 0, "decision": "same"}', JSON),
        (b'{"reviewer": 5, "pair": 0, "decision": "same"}', JSON),
    ],
)
def test_a_malformed_decision_is_refused(local: Server, content: bytes, headers: dict[str, str]) -> None:
    with local.client() as client:
        answer = client.post("/api/decisions", content=content, headers=headers)
        assert answer.status_code == 400 and "error" in answer.json()
        assert client.get("/api/session").json()["reviewers"] == []


def test_only_images_of_pairs_are_served(local: Server) -> None:
    with local.client() as client:
        base = client.get("/api/session").json()["images"]
        assert client.get(f"{base}/0/a").status_code == 200
        for path in ("999999999/a", "-1/a", "0/c", "0/../../../../etc/passwd", "0/%2e%2e%2fa", "a/0", "0", "0/a/b"):
            assert client.get(f"{base}/{path}").status_code == 404, path
        for number in (
            "9" * 5000,
            "0" * 5000,
            "\N{SUPERSCRIPT TWO}",
            "\N{ARABIC-INDIC DIGIT ONE}",
            "1e3",
            "+1",
            "0x1",
            "1_0",
        ):
            assert client.get(f"{base}/{number}/a").status_code == 404, number[:20]
        for path in ("/images/else/0/a", "/page.html", "/../page.html", "/static/x", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 404, path
        assert client.put("/api/decisions").status_code == 405


def test_the_page_may_run_only_its_own_script(local: Server) -> None:
    with local.client() as client:
        answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy == content_security_policy(answer.text)
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert policy.count("'sha256-") == 2
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    for outside in ("http://", "https://", "//cdn", "@import", "url("):
        assert outside not in answer.text


def test_loopback_only_by_default(local: Server) -> None:
    port = urlsplit(local.base).port
    outward = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with outward:
        outward.connect(("192.0.2.1", 9))  # sends nothing; tells which address would be used
        address = outward.getsockname()[0]
    with pytest.raises(ConnectionError), socket.create_connection((address, port)):
        pass


def test_other_machines_need_the_token(workspace, start_review) -> None:
    server = start_review(workspace, "--host", "0.0.0.0")
    assert "WARNING" in server.printed
    token = server.url.partition("?token=")[2]
    port = urlsplit(server.base).port
    assert len(token) >= 20
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        for path in ("/", "/?token=wrong", "/?token=%C3%A9", f"/api/session?token={token}", "/api/state?reviewer=Eve"):
            assert client.get(path).status_code == 403, path
        assert decision(client).status_code == 403
        client.cookies.set(f"miner-review-{port}", "wrong")
        assert client.get("/").status_code == 403
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, follow_redirects=True) as client:
        answer = client.get("/", params={"token": token})
        assert answer.status_code == 200 and "token" not in str(answer.url)
        cookie = answer.history[0].headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        assert client.get("/api/session").status_code == 200
        assert decision(client).status_code == 200
        assert client.get("/api/session", headers={"host": "evil.example"}).status_code == 403
        assert client.get("/api/session", headers={"host": f"{socket.gethostname()}:{port}"}).status_code == 200
        assert decision(client, origin="http://evil.example").status_code == 403


def test_a_chosen_token_is_always_needed_and_never_written(workspace, start_review) -> None:
    token = "correct-horse-battery"
    server = start_review(workspace, "--token", token)
    assert server.url.endswith(f"/?token={token}")
    with server.client(follow_redirects=True) as client:
        assert client.get("/api/session").status_code == 403
        assert client.get("/", params={"token": token}).status_code == 200
        assert decision(client).status_code == 200
    server.stop(signal.SIGTERM)
    texts = [path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()]
    assert len(texts) > 5 and not any(token.encode() in text for text in texts)


@pytest.mark.parametrize(
    ("host", "answer"), [("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_loopback(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer
