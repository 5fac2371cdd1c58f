"""A Hugging Face Hub on loopback: as much of its API as huggingface_hub calls to create a repository and commit to it.

It keeps what is committed, checks tokens and LFS checksums as the real one does, and can fail on demand.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.serving import serving

TOKEN = "hf_of_the_test"
_LARGE = (".tar", ".parquet")


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.tar filter=lfs\n"})
    commits: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1("".join(self.commits).encode()).hexdigest()

    def sibling(self, name: str) -> dict[str, Any]:
        data = self.files[name]
        record: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
        if name.endswith(_LARGE):
            record["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return record


@dataclass
class FakeHub:
    """Attributes:
    writable: organisations that the token may write to.
    failing_uploads: so many PUTs of large files are answered with 500 before they work again.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    writable: tuple[str, ...] = ("someone",)
    failing_uploads: int = 0
    uploads: list[str] = field(default_factory=list)
    url: str = ""


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    with serving(type("Handler", (_Handler,), {"hub": hub})) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_GET(self) -> None:
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/?]+)(/revision/main)?(\?.*)?", self.path):
            self._repository(match[1])
        elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/main(\?.*)?", self.path):
            files = self.hub.repositories[match[1]].files
            self._answer([{"type": "file", "path": name, "size": len(files[name]), "oid": "0"} for name in files])
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path):
            self._file(match[1], match[2])
        else:
            self._answer({"error": f"unknown: {self.path}"}, 404)

    do_HEAD = do_GET  # noqa: N815  -- the name that http.server calls

    def do_PUT(self) -> None:
        data = self._body()
        if self.hub.failing_uploads > 0:
            self.hub.failing_uploads -= 1
            self._answer({"error": "no storage today"}, 507)
            return
        digest = self.path.removeprefix("/lfs/")
        assert hashlib.sha256(data).hexdigest() == digest
        self.hub.objects[digest] = data
        self.hub.uploads.append(digest)
        self._answer({})

    def do_POST(self) -> None:
        data = self._body()
        if self.path == "/api/validate-yaml":
            self._answer({"warnings": [], "errors": []})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid user token."}, 401)
        elif self.path == "/api/repos/create":
            self._create(json.loads(data))
        elif match := re.fullmatch(r"/api/datasets/(.+/.+)/preupload/main", self.path):
            self._modes(match[1], json.loads(data)["files"])
        elif re.fullmatch(r"/datasets/.+/.+\.git/info/lfs/objects/batch", self.path):
            self._answer({"transfer": "basic", "objects": [self._action(item) for item in json.loads(data)["objects"]]})
        elif self.path == "/lfs-verify":
            wanted = json.loads(data)
            self._answer({}, 200 if len(self.hub.objects[wanted["oid"]]) == wanted["size"] else 422)
        elif match := re.fullmatch(r"/api/datasets/(.+/.+)/commit/main", self.path):
            self._commit(match[1], [json.loads(line) for line in data.splitlines()])
        else:
            self._answer({"error": f"unknown: {self.path}"}, 404)

    def _repository(self, name: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [repository.sibling(file) for file in repository.files]
        self._answer(
            {"_id": "0", "id": name, "sha": repository.sha, "private": repository.private, "siblings": siblings}
        )

    def _file(self, name: str, path: str) -> None:
        repository = self.hub.repositories[name]
        data = repository.files[path]
        self.send_response(200)
        for header, value in {"ETag": blob_id(data), "X-Repo-Commit": repository.sha}.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        assert wanted["type"] == "dataset"
        if wanted["organization"] not in self.hub.writable:
            self._answer({"error": "You don't have the rights to create a dataset here."}, 403)
        elif name in self.hub.repositories:
            there = {"error": "You already created this dataset repo", "url": f"{self.hub.url}/datasets/{name}"}
            self._answer(there, 409)
        else:
            self.hub.repositories[name] = Repository(wanted.get("visibility") == "private")
            self._answer({"url": f"{self.hub.url}/datasets/{name}"})

    def _modes(self, name: str, files: list[dict[str, Any]]) -> None:
        there = self.hub.repositories[name].files
        answers = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
                **({"oid": _oid(file["path"], there[file["path"]])} if file["path"] in there else {}),
            }
            for file in files
        ]
        self._answer({"files": answers})

    def _action(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["oid"] in self.hub.objects:
            return item
        actions = {"upload": f"/lfs/{item['oid']}", "verify": "/lfs-verify"}
        return {**item, "actions": {name: {"href": self.hub.url + path} for name, path in actions.items()}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        repository = self.hub.repositories[name]
        assert lines[0]["key"] == "header"
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                assert line["key"] == "deletedFile"
                del repository.files[value["path"]]
        repository.commits.append(lines[0]["value"]["summary"])
        url = f"{self.hub.url}/datasets/{name}/commit/{repository.sha}"
        self._answer({"success": True, "commitUrl": url, "commitOid": repository.sha})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _answer(self, record: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(record).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def _oid(name: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if name.endswith(_LARGE) else blob_id(data)
