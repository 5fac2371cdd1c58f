"""`miner export`: the same bytes in every way of running it, and the shard writer against GNU tar.

    python tests/bench/export.py --workspace datasets_out/cifar10

The workspace needs embeddings and pairs. It is exported in this process, by two processes, and the same twice on a local Ray
cluster; every file must have the same sha256 each time. Then its images lie as files in one folder, and both sides start from
there, on the same disk and with a warm page cache, taking turns: GNU tar, and the shard writer in one and in two processes
that are already running. tar archives the images alone, and then exactly the members of the shards, records included; each
time with the file brought to the disk (as the writer does) and without.
"""

import argparse
import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from record import publish, summary

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine.tar import tar_member_bytes
from miner.export.options import ExportOptions
from miner.export.plan import Shard, image_sample_sizes, plan_shards
from miner.export.run import export
from miner.export.write import ImageShard, Original, open_originals, read_original
from miner.source import Entry, open_source

MEGABYTE = 1_000_000


def digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def same_bytes(workspace: Path, scratch: Path) -> dict[str, object]:
    """Export in four ways, each into a fresh workspace; refuse any difference."""
    import ray

    ways = {
        "one_process": {"workers": 1},
        "two_processes": {"workers": 2},
        "ray_one_worker": {"workers": 1, "engine_address": "auto"},
        "ray_two_workers": {"workers": 2, "engine_address": "auto"},
    }
    first: dict[str, str] = {}
    seconds = {}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for name, options in ways.items():
            made = Workspace(scratch / name)
            made.root.mkdir()
            for stage in ("embeddings", "pairs"):
                (made.root / stage).symlink_to((workspace / stage).resolve())
            started = time.perf_counter()
            export(ExportOptions(shard_size=64, **options), made)
            seconds[name] = time.perf_counter() - started
            found = digests(made.shards)
            first = first or found
            if found != first:
                raise SystemExit(f"{name} wrote other bytes: {sorted(set(found.items()) ^ set(first.items()))[:4]}")
            shutil.rmtree(made.root)
    finally:
        ray.shutdown()
    return {"ways": list(ways), "files": len(first), "identical": True, "whole_command_s": seconds}


def lay_out(workspace: Path, folder: Path) -> list[Original]:
    """Every embedded image as a file in one folder, and what the shard writer knows about it."""
    made = Workspace(workspace)
    store = EmbeddingStore(made)
    source, originals = open_originals(store.manifest.source.spec, store.metadata)
    laid = []
    for image in originals:
        path = folder / f"{image.key}.{image.extension}"
        path.write_bytes(read_original(source, image))
        entry = Entry(image.key, path.name, image.extension, image.size_bytes, image.label, str(path))
        laid.append(image._replace(entry=entry))
    return laid


def two_halves(originals: list[Original]) -> list[Shard]:
    """The images as two shards of half the size, so that two processes have the same to do."""
    sizes = image_sample_sizes(np.asarray([image.size_bytes for image in originals]))
    fields = [(originals[0].extension,)] * len(originals)
    most = -(-len(originals) // 2)
    return plan_shards("images", fields, np.arange(len(originals)), sizes, 1 << 50, most)


def sync(path: Path) -> None:
    subprocess.run(["sync", str(path)], check=True)


def tar(target: Path, folder: Path, durable: bool) -> None:
    subprocess.run(["tar", "--format=ustar", "-cf", str(target), "-C", str(folder), "."], check=True)
    if durable:
        sync(target)


def write(works: list[ImageShard], targets: list[Path], pool: ProcessPoolExecutor | None, durable: bool) -> None:
    records = [path.with_suffix(".json") for path in targets]
    if pool is None:
        for work, record, target in zip(works, records, targets, strict=True):
            work(record, target)
    else:
        list(pool.map(_call, works, records, targets))
    if durable:
        for target in targets:
            sync(target)


def _call(work: ImageShard, record: Path, target: Path) -> None:
    work(record, target)


def throughput(workspace: Path, scratch: Path, repeats: int) -> dict[str, object]:
    images, members = scratch / "images", scratch / "members"
    images.mkdir()
    originals = lay_out(workspace, images)
    source = open_source(str(images))
    source.entries = []
    shards = two_halves(originals)
    works = [ImageShard(source, originals, shard.rows, shard.size_bytes, None) for shard in shards]
    targets = [scratch / shard.name for shard in shards]
    write(works, targets, None, False)
    members.mkdir()
    for target in targets:
        subprocess.run(["tar", "-xf", str(target), "-C", str(members)], check=True)
    context = get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        write(works, targets, pool, False)
        sides: dict[str, Callable[[], None]] = {}
        for suffix, durable in (("", False), ("_synced", True)):
            sides |= {
                f"tar_images{suffix}": lambda durable=durable: tar(scratch / "plain.tar", images, durable),
                f"tar_members{suffix}": lambda durable=durable: tar(scratch / "plain.tar", members, durable),
                f"writer{suffix}": lambda durable=durable: write(works, targets, None, durable),
                f"writer_two_processes{suffix}": lambda durable=durable: write(works, targets, pool, durable),
            }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(repeats):
            for name, side in sides.items():
                started = time.perf_counter()
                side()
                seconds[name].append(time.perf_counter() - started)
    image_bytes = sum(image.size_bytes for image in originals)
    member_bytes = sum(tar_member_bytes(image.size_bytes) + tar_member_bytes(1) for image in originals)
    timings = {
        name: {**summary(values), "images_per_s": len(originals) / float(np.median(values))}
        for name, values in seconds.items()
    }
    ratios = {
        f"{writer}_over_{peer}{suffix}": float(
            np.median([b / a for a, b in zip(seconds[writer + suffix], seconds[peer + suffix], strict=True)])
        )
        for suffix in ("", "_synced")
        for writer in ("writer", "writer_two_processes")
        for peer in ("tar_members", "tar_images")
    }
    sizes = {"images_mb": image_bytes / MEGABYTE, "members_mb": member_bytes / MEGABYTE}
    return {**sizes, **timings, "throughput_ratio": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/cifar10"))
    parser.add_argument(
        "--scratch", type=Path, help="folder on the disk to measure; the system's temporary one if not given"
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    version = subprocess.run(["tar", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        (Path(scratch) / "bytes").mkdir()
        identical = same_bytes(options.workspace, Path(scratch) / "bytes")
        measured = throughput(options.workspace, Path(scratch), options.repeats)
    name = options.workspace.resolve().name
    mined = PairsManifest.read(Workspace(options.workspace))
    data = {"workspace": name, "images": mined.images, "pairs": mined.pairs}
    publish(f"export-{name}", {"data": data, "peer": version, "same_bytes": identical, **measured})


if __name__ == "__main__":
    main()
