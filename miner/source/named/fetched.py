"""Data sets that torchvision fetches and checks, once. The cache keeps them in a form that needs no torch."""

import http.client
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from miner.engine import Record, answers_in_time, cache_lock, read_json, write_json
from miner.errors import MinerError
from miner.source.named.arrays import Arrays, cache_as_tar, tar_path
from miner.source.named.file_list import FileListSource
from miner.source.named.idx import read_idx_splits
from miner.source.named.torchvision_sets import DATA_SETS, DataSet
from miner.source.webdataset.shards import ShardSource

DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_FETCH_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
    zipfile.BadZipFile,
)


def open_fetched(name: str, split: str, spec: str, cache: Path) -> ShardSource | FileListSource:
    """Open a split of a data set. All splits are fetched if the cache does not have this one.

    Args:
        name: a key of `DATA_SETS`.
        split: one of its splits.
        spec: what the user typed.
        cache: folder of all fetched data sets.
    Raises:
        MinerError: the data set cannot be fetched, or the cache cannot be written.
    """
    data_set, folder = DATA_SETS[name], cache / name
    record = _record(folder, name, split)
    if record is None:
        with cache_lock(folder):
            if (record := _record(folder, name, split)) is None:
                _fetch(data_set, folder)
                record = _record(folder, name, split) or {}
    if "files" in record:
        return FileListSource(spec, folder / "download", record["files"], record["classes"], f"{name}:{split}")
    return ShardSource(spec, record["classes"], urls=[str(tar_path(folder, name, split))])


def _record(folder: Path, name: str, split: str) -> Record | None:
    """The record of a split that is ready: class names, and the list of files if the split is no tar. Otherwise None."""
    record = read_json(_record_path(folder, name, split))
    ready = record is not None and ("files" in record or tar_path(folder, name, split).exists())
    return record if ready else None


def _record_path(folder: Path, name: str, split: str) -> Path:
    return folder / f"{name}-{split}.json"


def _fetch(data_set: DataSet, folder: Path) -> None:
    """Make every split ready, and remove the download if no split needs it."""
    download = folder / "download"
    arrays = read_idx_splits(DEBIAN_FASHION) if data_set.name == "fashion-mnist" else None
    if arrays is None:
        hosts = ", ".join(sorted({str(urlsplit(url).hostname) for url in data_set.urls}))
        print(f"{data_set.name}: fetching from {hosts} (once)", file=sys.stderr, flush=True)
    in_place = False
    for split, options in data_set.splits.items():
        if arrays is not None:
            from miner.source.named.fashion import FASHION_CLASSES

            pixels, classes = arrays[split], FASHION_CLASSES
        else:
            data = _open_torchvision(data_set, download, options)
            classes = [str(name) for name in getattr(data, "classes", [])]
            if (files := _files(data, download)) is not None:
                in_place = True
                _write_record(folder, data_set.name, split, {"classes": classes, "files": files})
                continue
            pixels = _arrays(data)
        cache_as_tar(folder, data_set.name, split, pixels)
        labelled = bool((pixels[1] >= 0).any())
        _write_record(folder, data_set.name, split, {"classes": (labelled and classes) or None})
    if not in_place:
        shutil.rmtree(download, ignore_errors=True)


def _write_record(folder: Path, name: str, split: str, record: Record) -> None:
    write_json(_record_path(folder, name, split), record)


def _open_torchvision(data_set: DataSet, download: Path, options: Mapping[str, Any]) -> Any:
    import torchvision.datasets

    place = download / data_set.subfolder
    try:
        place.mkdir(parents=True, exist_ok=True)
        with answers_in_time():
            return getattr(torchvision.datasets, data_set.torchvision)(str(download), download=True, **options)
    except ImportError as error:
        raise MinerError(
            f"{data_set.name} needs the package {error.name}. Install it with: pip install {error.name}"
        ) from error
    except _FETCH_ERRORS as error:
        hosts = ", ".join(sorted({str(urlsplit(url).hostname) for url in data_set.urls}))
        raise MinerError(
            f"{data_set.name} could not be fetched from {hosts} ({' '.join(str(error).split())[:200]}). Check the network "
            f"connection, or download {' and '.join(data_set.urls)} elsewhere, put that into {place} and run the same command "
            "again; or name a folder that holds the images."
        ) from error


def _files(data: Any, download: Path) -> list[tuple[str, int, int]] | None:
    """Path, label and size in bytes of each image file; None for a data set in arrays.

    Raises:
        MinerError: an image is missing, because unpacking was interrupted.
    """
    paths = getattr(data, "_image_files", None) or getattr(data, "_images", None)
    if paths is None:
        return None
    try:
        return [
            (Path(path).relative_to(download).as_posix(), int(label), Path(path).stat().st_size)
            for path, label in zip(paths, data._labels, strict=True)
        ]
    except FileNotFoundError as error:
        raise MinerError(
            f"{error.filename} is missing: the download is incomplete. Remove {download} and try again."
        ) from error


def _arrays(data: Any) -> Arrays:
    """Pixels with channels last, and labels."""
    import numpy as np

    pixels = np.asarray(data.data)
    if pixels.ndim == 4 and pixels.shape[1] == 3:
        pixels = np.moveaxis(pixels, 1, 3)
    labels = data.labels if hasattr(data, "labels") else data.targets
    return pixels, np.asarray(labels).astype(np.int64)
