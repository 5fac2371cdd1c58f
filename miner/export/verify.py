"""`miner verify`: whether a folder that miner wrote is whole, and says what it says."""

import hashlib
import json
import tarfile
from pathlib import Path

from miner.errors import MinerError, UsageError
from miner.workspace import Record, Result, file_record, read_json


def verify(path: Path) -> Result:
    """Check all finished stage folders at or below a path.

    Raises:
        UsageError: nothing there was written by miner.
        MinerError: a file is missing, damaged or does not fit the others; the message names the first one.
    """
    manifests = sorted(path.rglob("manifest.json")) if path.is_dir() else []
    folders = [(file.parent, record) for file in manifests if (record := read_json(file)) and "files" in record]
    if not folders:
        raise UsageError(f"{path} holds no folder that miner finished (no manifest.json with checksums).")
    lines = [
        f"verify: {file.parent}: begun and not finished, so not checked"
        for file in sorted(path.rglob("request.json"))
        if not (file.parent / "manifest.json").exists()
    ]
    for folder, manifest in folders:
        if not isinstance(manifest["files"], dict):
            raise MinerError(f"{folder / 'manifest.json'} is damaged: it lists no files.")
        for name, expected in manifest["files"].items():
            _check_file(folder, name, expected)
        strangers = sorted(file.name for file in folder.glob("*.tar") if file.name not in manifest["files"])
        if strangers:
            raise MinerError(
                f"{folder / strangers[0]} is not in the manifest. Remove it, or export again with --force."
            )
        if "samples" in manifest:
            _check_shards(folder, manifest)
        lines.append(f"verify: {folder}: {len(manifest['files'])} files are whole")
    return Result("verify", {"folders": {str(folder): len(record["files"]) for folder, record in folders}}, lines)


def _check_file(folder: Path, name: str, expected: Record) -> None:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise MinerError(f"{folder / 'manifest.json'} names a file outside its folder: {name}.")
    if not file.is_file():
        raise MinerError(f"{folder / name} is missing.")
    found = file_record(file)
    if not isinstance(expected, dict) or {"bytes", "sha256"} - expected.keys():
        raise MinerError(f"{folder / 'manifest.json'} is damaged: it has no checksum of {name}.")
    if found["bytes"] != expected["bytes"]:
        raise MinerError(
            f"{folder / name} has {found['bytes']:,} bytes, where the manifest says {expected['bytes']:,}."
        )
    if found["sha256"] != expected["sha256"]:
        raise MinerError(f"{folder / name} is damaged: its sha256 is {found['sha256']}, not {expected['sha256']}.")


def _check_shards(folder: Path, manifest: Record) -> None:
    """Keys are unique, counts agree, images have their checksum, and each pair is two different images of the set."""
    images: dict[str, str] = {}
    pairs: set[str] = set()
    for shard, expected in manifest["samples"].items():
        samples = read_samples(folder / shard)
        if len(samples) != expected:
            raise MinerError(f"{folder / shard} holds {len(samples)} samples, where the manifest says {expected}.")
        for key, fields in samples.items():
            where = f"{folder / shard}, sample {key}"
            if key in images or key in pairs:
                raise MinerError(f"{where}: the key occurs twice.")
            record = json.loads(fields.pop("json"))
            digests = [hashlib.sha256(content).hexdigest() for _, content in sorted(fields.items())]
            if shard.startswith("images"):
                if digests != [record["sha256"]]:
                    raise MinerError(f"{where}: the image does not have the checksum of its record.")
                images[key] = digests[0]
            else:
                if record["key_a"] == record["key_b"]:
                    raise MinerError(f"{where}: both images are {record['key_a']}.")
                if digests != [images.get(record["key_a"]), images.get(record["key_b"])]:
                    raise MinerError(
                        f"{where}: its images are not {record['key_a']} and {record['key_b']} of the image shards."
                    )
                pairs.add(key)


def read_samples(path: Path) -> dict[str, dict[str, bytes]]:
    """All samples of a shard: key -> field -> content.

    Raises:
        MinerError: it is not a readable tar.
    """
    samples: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, field = member.name.partition(".")
                content = tar.extractfile(member)
                samples.setdefault(key, {})[field] = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise MinerError(f"{path} is no readable tar: {error}.") from error
    return samples
