"""What a run trains on: the exported shards when there are any, else the source and the pairs themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, fingerprint, read_json
from miner.errors import MinerError

if TYPE_CHECKING:
    from torch import Tensor

    from miner.source import Entry, Source


@dataclass(frozen=True)
class Inputs:
    """Where images and pairs are, before anything is opened.

    Attributes:
        origin: "shards" or "source".
        spec: the source as the user named it when it was embedded.
        location: what to open to read the images.
        classes: class names, if known here.
        usable: files that list the usable keys; None when every image is usable.
        pairs: the file of pairs, or None when they are not asked for.
        fingerprint: changes when an image or a pair changes.
    """

    origin: str
    spec: str
    location: str
    classes: list[str] | None
    usable: list[Path] | None
    pairs: Path | None
    fingerprint: str


def find_inputs(workspace: Workspace, with_pairs: bool) -> Inputs:
    """Look at manifests only.

    Raises:
        MinerError: the workspace has no images, or no pairs although they are asked for.
    """
    shards = read_json(workspace.shards / "manifest.json")
    if shards is not None and has_image_shards(shards):
        return _exported(workspace, with_pairs)
    if not EmbeddingsManifest.path(workspace).exists():
        raise MinerError(
            f"There are no images in the workspace {workspace.root}. Run `miner embed SOURCE` first, then `miner pairs` and "
            "`miner export`, or choose another workspace with -w."
        )
    return _embedded(workspace, with_pairs)


def has_image_shards(manifest: Record) -> bool:
    """Whether an export holds the images themselves, and not only pairs."""
    return any(name.startswith("images-") and name.endswith(".tar") for name in manifest.get("files", {}))


def _exported(workspace: Workspace, with_pairs: bool) -> Inputs:
    manifest = workspace.manifest(workspace.shards)
    embeddings = EmbeddingsManifest.find(workspace)
    if embeddings and manifest["request"].get("embeddings") != embeddings.identity:
        raise MinerError(
            f"{workspace.shards} was exported from other embeddings than those in {workspace.embeddings}. Run `miner pairs` "
            "and `miner export` again with --force."
        )
    pairs = workspace.shards / "pairs.parquet" if with_pairs else None
    # The control reads no pairs, so other pairs must not make it another run.
    files = {
        name: record
        for name, record in manifest["files"].items()
        if (name.startswith("images-") and name.endswith(".tar")) or (with_pairs and name == "pairs.parquet")
    }
    return Inputs(
        origin="shards",
        spec=str(manifest.get("source", workspace.shards)),
        location=str(workspace.shards / "images-*.tar"),
        classes=manifest.get("classes"),
        usable=None,
        pairs=pairs,
        fingerprint=fingerprint(files),
    )


def _embedded(workspace: Workspace, with_pairs: bool) -> Inputs:
    embeddings = EmbeddingsManifest.read(workspace)
    metadata = {name: record for name, record in embeddings.files.items() if name.startswith("metadata/")}
    pair_files = PairsManifest.read(workspace).files if with_pairs else {}
    spec = embeddings.source.spec
    return Inputs(
        origin="source",
        spec=spec,
        location=spec,
        classes=None,
        usable=[workspace.embeddings / name for name in sorted(metadata)],
        pairs=workspace.pairs / "pairs.parquet" if with_pairs else None,
        fingerprint=fingerprint([metadata, pair_files.get("pairs.parquet")]),
    )


def named_source(name: str) -> Inputs:
    """The images of a source as the user names it: all of them, without pairs.

    Raises:
        MinerError: the source cannot be opened.
    """
    from miner.source import open_source
    from miner.source.base import source_fingerprint

    spec = str(Path(name).resolve()) if Path(name).exists() else name
    return Inputs(
        origin="source",
        spec=spec,
        location=spec,
        classes=None,
        usable=None,
        pairs=None,
        fingerprint=source_fingerprint(open_source(name).entries),
    )


def open_images(inputs: Inputs) -> "tuple[Source, list[Entry]]":
    """The source and its usable entries, in its order.

    Raises:
        MinerError: the source cannot be opened, or is no longer what was embedded.
    """
    from miner.source import open_source
    from miner.source.webdataset.shards import ShardSource

    if inputs.origin == "shards":
        source: Source = ShardSource(inputs.location, inputs.classes)
    else:
        source = open_source(inputs.location)
    if inputs.usable is None:
        return source, list(source.entries)
    keys = {key for path in inputs.usable for key in _column(path, "key")}
    entries = [entry for entry in source.entries if entry.key in keys]
    if len(entries) != len(keys):
        raise MinerError(
            f"{len(keys) - len(entries):,} of the {len(keys):,} embedded images are no longer in {inputs.spec}. "
            "Put them back, or run `miner embed` again with --force."
        )
    return source, entries


def read_pairs(inputs: Inputs, keys: list[str], limit: int | None = None, per_image: int | None = None) -> "Tensor":
    """Mined pairs among the images of a run.

    Args:
        inputs: that name the file of pairs.
        keys: of all images, in the order of their rows.
        limit: pairs among the first so many images only.
        per_image: of those, most pairs that one image may be in; the most similar are kept.
    Returns:
        int64 (pairs, 2), rows of images.
    Raises:
        MinerError: a pair names an unknown image, an image is paired with itself, or no pair is left.
    """
    import pyarrow as pa
    import torch

    from miner.artifacts.pairs.selection import capped

    if inputs.pairs is None:
        return torch.zeros(0, 2, dtype=torch.long)
    table = _table(inputs.pairs, ["key_a", "key_b", "similarity"])
    all_keys = pa.array(keys)
    rows = torch.stack([_positions(table[name], all_keys, inputs.pairs) for name in ("key_a", "key_b")], dim=1)
    if bool((rows[:, 0] == rows[:, 1]).any()):
        raise MinerError(f"{inputs.pairs} pairs an image with itself. Run `miner pairs --force` again.")
    similarity = torch.tensor(table["similarity"].to_numpy())
    if limit is not None:
        kept = (rows < limit).all(dim=1)
        rows, similarity = rows[kept], similarity[kept]
    if len(rows) == 0:
        among = f" among the first {limit:,} images" if limit is not None else ""
        raise MinerError(
            f"There are no pairs{among} in {inputs.pairs}: the band is empty for this encoder. Run `miner calibrate`, then "
            "`miner pairs --auto --force` (and `miner export --force`), or train without pairs: --pairs-arm none."
        )
    if per_image is not None:
        a, b = rows.numpy().T
        rows = rows[torch.from_numpy(capped(a, b, similarity.numpy(), per_image))]
    return rows


def check_shards_are_current(inputs: Inputs, workspace: Workspace) -> None:
    """Refuse shards whose pairs were not chosen from those of `pairs/`.

    Raises:
        MinerError: pairs were mined anew after the export.
    """
    mined = workspace.pairs / "pairs.parquet"
    if inputs.origin != "shards" or inputs.pairs is None or (manifest := PairsManifest.find(workspace)) is None:
        return
    current_pairs = fingerprint(manifest.files.get(mined.name))
    if workspace.manifest(workspace.shards)["request"].get("pairs") == current_pairs:
        return  # all of them, or those that the export was told to take
    order = [("key_a", "ascending"), ("key_b", "ascending")]
    exported, current = (_table(path, ["key_a", "key_b"]).sort_by(order) for path in (inputs.pairs, mined))
    if not exported.equals(current):
        raise MinerError(
            f"{workspace.shards} holds other pairs ({len(exported):,}) than {workspace.pairs} ({len(current):,}). "
            "Run `miner export --force` so that the run trains on the pairs you mined last."
        )


def _positions(column: Any, keys: Any, path: Path) -> "Tensor":
    import pyarrow.compute as pc
    import torch

    positions = pc.index_in(column.combine_chunks(), value_set=keys)
    if positions.null_count:
        unknown = column.combine_chunks().filter(pc.is_null(positions))[0].as_py()
        raise MinerError(f"{path} names the image {unknown!r}, which is not there. Run `miner pairs --force` again.")
    return torch.from_numpy(positions.to_numpy().astype("int64"))


def _column(path: Path, name: str) -> list[Any]:
    return _table(path, [name])[name].to_pylist()  # type: ignore[no-any-return]


def _table(path: Path, columns: list[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns, schema=None, partitioning=None).select(columns)
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise MinerError(
            f"{path} is missing or damaged ({reason}). Run the stage that wrote it again, with --force."
        ) from error
