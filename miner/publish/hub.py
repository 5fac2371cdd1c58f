"""Upload a published folder to the Hugging Face Hub. Files of others are refused, or stay."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from miner.engine import Record, explained, read_json
from miner.errors import MinerError, install_extra
from miner.publish.link_files import first_names

_OWN_OF_THE_HUB = {".gitattributes"}


@dataclass(frozen=True)
class Upload:
    """Where the data set is on the Hub: its page and its commit. Not fresh if the repository had every file already."""

    url: str
    commit: str
    fresh: bool


def upload(
    folder: Path,
    files: Mapping[str, Record],
    repository: str,
    *,
    title: str,
    patterns: Sequence[str],
    private: bool,
    force: bool,
) -> Upload:
    """Upload those of the files that the repository lacks, in one commit. An interrupted upload continues.

    Args:
        files: name in the folder -> {"bytes", "sha256"}. Other files of the folder stay on this machine.
        repository: ORG/NAME.
        title: the title of the data set, for the message of the commit.
        patterns: globs of the files that are read as the data set.
        private: whether a repository that has to be created is private.
        force: replace other files of the same names, and remove the further files of an earlier release.
    Raises:
        MinerError: huggingface_hub is not installed, there is no token or it does not suffice, the repository holds other
            files, or the Hub cannot be reached.
    """
    hub = _huggingface_hub(repository)
    if hub.get_token() is None:
        raise MinerError(
            f"Uploading to {repository} needs a token of the Hugging Face Hub with the right to write. Log in with `hf auth "
            "login`, or set HF_TOKEN, and run the same command again. The folder is ready in "
            f"{folder}; `--to DIR` writes it elsewhere, to be uploaded by hand."
        )
    api = hub.HfApi(library_name="semantic-pair-miner")
    with explained(partial(_not_uploaded, repository)):
        api.create_repo(repository, repo_type="dataset", private=True if private else None, exist_ok=True)
        found = api.repo_info(repository, repo_type="dataset", files_metadata=True)
        url = f"{api.endpoint}/datasets/{repository}"
        remote = {file.rfilename: file for file in found.siblings or [] if file.rfilename not in _OWN_OF_THE_HUB}
        others = sorted(name for name in remote if name not in files)
        both = sorted(remote.keys() & files.keys())
        changed = [name for name in both if not _same(folder / name, files[name], remote[name])]
        if not force and (others or changed):
            raise MinerError(_refusal(url, others, changed))
        stale = sorted(_files_of_earlier_release(api, repository, found.sha, remote).intersection(others))
        kept = [name for name in others if name not in stale]
        if between := [name for name in kept if any(fnmatchcase(name, pattern) for pattern in patterns)]:
            raise MinerError(
                f"{url}: {first_names(between)} would be read as part of the data set, and publish did not write it. Move it "
                "away there first, or choose another name."
            )
        new = [name for name in files if name not in remote or name in changed]
        if not new and not stale:
            return Upload(url, found.sha or "", fresh=False)
        commit = api.create_commit(
            repository,
            [hub.CommitOperationDelete(name) for name in stale]
            + [hub.CommitOperationAdd(name, folder / name) for name in new],
            repo_type="dataset",
            commit_message=f"Publish {title}",
        )
        return Upload(url, commit.oid, fresh=True)


def _files_of_earlier_release(api: Any, repository: str, revision: str, remote: Mapping[str, Any]) -> set[str]:
    """What the manifest of a data set in the repository lists."""
    if "manifest.json" not in remote:
        return set()
    with tempfile.TemporaryDirectory(prefix="miner-") as scratch:
        api.hf_hub_download(repository, "manifest.json", repo_type="dataset", revision=revision, local_dir=scratch)
        try:
            manifest = read_json(Path(scratch) / "manifest.json") or {}
            return set(manifest["files"]) if manifest["request"]["stage"] == "publish" else set()
        except (MinerError, KeyError, TypeError):  # the manifest of something else
            return set()


def git_blob_id(path: Path) -> str:
    """The id that git gives to the content of a file."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _same(path: Path, record: Record, remote: Any) -> bool:
    """Whether a file of the repository has the bytes of the local file."""
    if remote.lfs is not None:
        return bool(remote.lfs.sha256 == record["sha256"])
    return bool(remote.blob_id == git_blob_id(path))


def _refusal(url: str, others: list[str], changed: list[str]) -> str:
    shown = first_names([f"{name} (another)" for name in changed] + others)
    return (
        f"{url} holds files that are not of this data set: {shown}. Choose another name, or use --force, which replaces files "
        "of the same names, removes what an earlier release of the data set listed, and leaves the rest."
    )


def _huggingface_hub(repository: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MinerError(
            f"Uploading to {repository} needs the package huggingface_hub. Install it with: {install_extra('hub')}"
        ) from error
    return huggingface_hub


def _not_uploaded(repository: str, error: Exception) -> MinerError:
    """An error of the Hub or of the network, for people. Which HTTP library raises it depends on the version."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return MinerError(
            f"The Hugging Face Hub refuses {repository} to this token (HTTP {status}). Check that the name is right, that you "
            "belong to that organisation, and that the token may write (`hf auth whoami`, `hf auth login`)."
        )
    reason = " ".join(f"{error} {error.__cause__ or ''}".split())[:300]
    return MinerError(
        f"Uploading to {repository} failed ({type(error).__name__}: {reason}). What was uploaded is kept; the same command "
        "continues."
    )
