"""Uploads by the real huggingface_hub over HTTP, to a Hub on loopback. It reads its address at import, hence processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from miner.artifacts.workspace import Workspace
from tests.processes import run_command
from tests.publish.fake_hub import TOKEN, FakeHub, Repository, fake_hub
from tests.publish.folders import contents

Miner = Callable[..., CompletedProcess[str]]
NAME = "someone/pairs"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


def forget_hub() -> None:
    """Copies of a process have imported it, with the address of the real Hub."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]


@pytest.fixture
def publish(hub: FakeHub, workspace: Workspace, tmp_path: Path) -> Miner:
    """Runs `miner publish` against the Hub of this test."""
    own = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "HF_TOKEN": TOKEN,
    }

    def run(
        *arguments: str, to: str = f"hf://{NAME}", copied: bool = True, **environment: str
    ) -> CompletedProcess[str]:
        words = ["publish", "--to", to, "-w", str(workspace.root)]
        licences = ["--license", "cc-by-4.0", "--image-license", "mit"]
        variables = (
            {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | own | environment
        )
        words += [*licences, *arguments]
        if copied:
            return run_command(*words, prepare=forget_hub, variables=variables)
        command = [sys.executable, "-m", "miner", *words]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    return run


def test_every_byte_arrives_once(hub: FakeHub, publish: Miner, workspace: Workspace) -> None:
    answer = publish("--json", copied=False)
    assert answer.returncode == 0, answer.stderr
    repository = hub.repositories[NAME]
    assert not repository.private
    files = {name: data for name, data in repository.files.items() if name != ".gitattributes"}
    assert files == contents(workspace.published)
    assert {"README.md", "croissant.json", "SHA256SUMS", "manifest.json", "data/images-jpg-000000.tar"} < files.keys()
    assert repository.commits == ["Publish Semantic pairs of photos"]
    record = json.loads(answer.stdout)
    assert (record["url"], record["commit"]) == (f"{hub.url}/datasets/{NAME}", repository.sha)
    assert f'load_dataset("{NAME}", "pairs"' in files["README.md"].decode()
    again = publish(to=f"hf://datasets/{NAME}")
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout and f"{hub.url}/datasets/{NAME}" in again.stdout
    assert len(repository.commits) == 1 and len(hub.uploads) == len(set(hub.uploads))


def test_private_repository(hub: FakeHub, publish: Miner) -> None:
    assert publish("--private").returncode == 0
    assert hub.repositories[NAME].private


def test_interrupted_upload_continues(hub: FakeHub, publish: Miner, workspace: Workspace) -> None:
    hub.failing_uploads = 1
    answer = publish()
    assert answer.returncode == 1
    assert "the same command continues" in answer.stderr and "Traceback" not in answer.stderr
    done = list(hub.uploads)
    assert not hub.repositories[NAME].commits
    assert publish().returncode == 0
    assert hub.uploads[: len(done)] == done and len(hub.uploads) == len(set(hub.uploads))
    files = {name: data for name, data in hub.repositories[NAME].files.items() if name != ".gitattributes"}
    assert files == contents(workspace.published)


def test_files_of_others_are_refused_unless_forced(hub: FakeHub, publish: Miner, workspace: Workspace) -> None:
    theirs = {"notes.txt": b"keep me", "data/images-holiday.tar": b"mine", "mined/notes.md": b"mine too"}
    hub.repositories[NAME] = Repository(private=False)
    hub.repositories[NAME].files |= {**theirs, "README.md": b"# Mine", "manifest.json": b"[]"}
    answer = publish()
    assert answer.returncode == 1
    assert "README.md (another), manifest.json (another), data/images-holiday.tar and 2 more" in answer.stderr
    assert "--force" in answer.stderr and hub.repositories[NAME].files.items() >= theirs.items()
    private = {"diary.txt": b"private", "data/passwords.tar": b"private"}
    for name, data in private.items():  # beside what publish wrote by now
        (workspace.published / name).write_bytes(data)
    forced = publish("--force")
    assert forced.returncode == 1 and "data/passwords.tar" in forced.stderr
    (workspace.published / "data/passwords.tar").unlink()
    forced = publish("--force")
    assert forced.returncode == 0, forced.stderr
    files = hub.repositories[NAME].files
    assert files.items() >= theirs.items() and not files.keys() & private.keys()
    assert files["README.md"].startswith(b"---\npretty_name:")


def test_forced_release_removes_what_an_earlier_one_listed(hub: FakeHub, publish: Miner) -> None:
    assert publish().returncode == 0
    files = hub.repositories[NAME].files
    manifest = json.loads(files["manifest.json"])
    manifest["files"] |= {"data/images-jpg-000009.tar": {}, "../other.tar": {}}
    files |= {"manifest.json": json.dumps(manifest).encode(), "data/images-jpg-000009.tar": b"old"}
    theirs = {"data/images-holiday.tar": b"mine", "data/images-jpg-000008.tar": b"a stranger's"}
    files |= theirs
    answer = publish("--force", "--release", "1.1.0")
    assert answer.returncode == 1
    assert "data/images-jpg-000008.tar would be read as part of the data set" in answer.stderr
    assert "data/images-jpg-000009.tar" in files
    del files["data/images-jpg-000008.tar"]
    answer = publish("--force", "--release", "1.1.0")
    assert answer.returncode == 0, answer.stderr
    assert "data/images-jpg-000009.tar" not in files and files["data/images-holiday.tar"] == b"mine"
    assert len(hub.repositories[NAME].commits) == 2


def test_without_a_token_nothing_is_sent(hub: FakeHub, publish: Miner) -> None:
    answer = publish(HF_TOKEN="")
    assert answer.returncode == 1
    assert "needs a token" in answer.stderr and "HF_TOKEN" in answer.stderr and "Traceback" not in answer.stderr
    assert not hub.repositories


@pytest.mark.parametrize(("token", "to"), [("hf_of_nobody", f"hf://{NAME}"), (TOKEN, "hf://others/pairs")])
def test_token_that_may_not_write(hub: FakeHub, publish: Miner, token: str, to: str) -> None:
    answer = publish(to=to, HF_TOKEN=token)
    assert answer.returncode == 1
    assert "refuses" in answer.stderr and to.removeprefix("hf://") in answer.stderr and "Traceback" not in answer.stderr
    assert not hub.repositories


def test_hub_out_of_reach(publish: Miner) -> None:
    answer = publish(HF_ENDPOINT="http://127.0.0.1:9")
    assert answer.returncode == 1
    assert "Uploading to someone/pairs failed" in answer.stderr and "Traceback" not in answer.stderr


def test_dry_run_sends_nothing(hub: FakeHub, publish: Miner, workspace: Workspace) -> None:
    answer = publish("--dry-run", HF_TOKEN="")
    assert answer.returncode == 0, answer.stderr
    assert f"huggingface.co/datasets/{NAME}" in answer.stdout and "data/images-jpg-000000.tar" in answer.stdout
    assert not hub.repositories and not workspace.published.exists()
