"""Tars of images for tests, and exports as `miner export` writes them."""

import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from miner.engine.tar import write_tar


def png(seed: int = 0) -> bytes:
    """A small image that decodes."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def tar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    write_tar(stream, members)
    return stream.getvalue()


def write_tar_of_images(path: Path, keys: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes([(f"{key}.png", png(number)) for number, key in enumerate(keys)]))
    return path


def image_members(keys: Sequence[str], labels: Sequence[int | None]) -> list[tuple[str, bytes]]:
    """The members of an image shard of an export."""
    members = []
    for number, (key, label) in enumerate(zip(keys, labels, strict=True)):
        members += [(f"{key}.png", png(number)), (f"{key}.json", json.dumps({"key": key, "label": label}).encode())]
    return members


def pair_members(keys: Sequence[str]) -> list[tuple[str, bytes]]:
    """The members of a pair shard of an export: each image with the next one."""
    members = []
    for number, (a, b) in enumerate(pairwise(keys)):
        record = {"key_a": a, "key_b": b, "similarity": 0.9, "label_a": 0, "label_b": 0}
        members += [(f"pair-{number}.a.png", png(number)), (f"pair-{number}.b.png", png(number + 1))]
        members += [(f"pair-{number}.json", json.dumps(record).encode())]
    return members


def export_files(keys: Sequence[str], labels: Sequence[int | None], classes: list[str] | None) -> dict[str, bytes]:
    """The shards of an export and its manifest, by name."""
    shards = {
        "images-000000.tar": tar_bytes(image_members(keys, labels)),
        "pairs-000000.tar": tar_bytes(pair_members(keys)),
    }
    manifest = {"miner_version": "0.1.0", "files": {name: {} for name in shards}, "classes": classes}
    manifest["samples"] = {"images-000000.tar": len(keys), "pairs-000000.tar": len(keys) - 1}
    return {**shards, "manifest.json": json.dumps(manifest).encode()}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
