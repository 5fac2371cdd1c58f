"""The images and pairs that a run trains on: the exported shards if there are any, else the source and `pairs/`."""

from dataclasses import dataclass
from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest, SourceRecord
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.table import read_pairs
from miner.artifacts.workspace import Workspace
from miner.engine import fingerprint
from miner.errors import MinerError
from miner.source import open_source
from miner.source.base import source_fingerprint

_IMAGE_TABLE = "images.parquet"


@dataclass(frozen=True)
class Inputs:
    """Where the images and the pairs of a run are. Nothing is opened yet.

    Attributes:
        origin: "shards" or "source".
        spec: the source as the user named it when it was embedded.
        location: what to open to read the images; of an export, the folder of its shards.
        fingerprint: changes when an image or a pair changes.
        usable: tables with `key` and `sha256` of the usable images; None if every image is usable.
        pairs: the table of pairs; None for a run without pairs.
    """

    origin: str
    spec: str
    location: str
    fingerprint: str
    classes: list[str] | None = None
    usable: list[Path] | None = None
    pairs: Path | None = None
    source: SourceRecord | None = None
    shards: ShardsManifest | None = None


def find_inputs(workspace: Workspace, with_pairs: bool) -> Inputs:
    """The inputs that the manifests of a workspace name.

    Raises:
        MinerError: the workspace has no images, or no pairs although they are asked for.
    """
    shards, embeddings = ShardsManifest.find(workspace), EmbeddingsManifest.find(workspace)
    if shards is not None and shards.image_shards:
        if embeddings is not None and not shards.belongs_to(embeddings):
            raise MinerError(
                f"{workspace.shards} was exported from other embeddings than those in {workspace.embeddings}. Run "
                "`miner pairs` and `miner export` again with --force."
            )
        return _exported(workspace, shards, with_pairs)
    if embeddings is None:
        raise MinerError(
            f"There are no images in the workspace {workspace.root}. Run `miner embed SOURCE` first, or choose another "
            "workspace with -w. To evaluate a run of --source, name its images: --gallery SOURCE."
        )
    return _embedded(workspace, embeddings, with_pairs)


def possible_inputs(workspace: Workspace) -> set[str]:
    """The fingerprints of all inputs that a run may have which was trained on what the workspace holds now."""
    embeddings, pairs = EmbeddingsManifest.find(workspace), PairsManifest.find(workspace)
    shards = ShardsManifest.find(workspace, of=embeddings)
    if embeddings is None or embeddings.source.without_images:
        return set()
    found = {str(embeddings.request.source_fingerprint)}
    for with_pairs in (False, True) if pairs else (False,):
        found.add(_embedded(workspace, embeddings, with_pairs).fingerprint)
        if shards and (not with_pairs or (pairs and shards.was_made_of(pairs))):
            found.add(_exported(workspace, shards, with_pairs).fingerprint)
    return found


def _exported(workspace: Workspace, shards: ShardsManifest, with_pairs: bool) -> Inputs:
    # A run without pairs reads no pairs, so other pairs must not make it another run.
    names = {*shards.image_shards, *(["pairs.parquet"] if with_pairs else [])}
    return Inputs(
        origin="shards",
        spec=shards.source,
        location=str(workspace.shards),
        classes=shards.classes,
        shards=shards,
        usable=[workspace.shards / _IMAGE_TABLE] if _IMAGE_TABLE in shards.files else None,
        pairs=workspace.shards / "pairs.parquet" if with_pairs else None,
        fingerprint=fingerprint({name: record for name, record in shards.files.items() if name in names}),
    )


def _embedded(workspace: Workspace, embeddings: EmbeddingsManifest, with_pairs: bool) -> Inputs:
    embeddings.source.require_images()
    metadata = {name: record for name, record in embeddings.files.items() if name.startswith("metadata/")}
    pair_files = PairsManifest.read(workspace).files if with_pairs else {}
    return Inputs(
        origin="source",
        spec=embeddings.source.spec,
        location=embeddings.source.spec,
        usable=[workspace.embeddings / name for name in sorted(metadata)],
        pairs=workspace.pairs / "pairs.parquet" if with_pairs else None,
        fingerprint=fingerprint([metadata, pair_files.get("pairs.parquet")]),
        source=embeddings.source,
    )


def named_source(name: str) -> Inputs:
    """All images of a source that the user names, without pairs.

    Raises:
        MinerError: the source cannot be opened.
    """
    source = open_source(name)
    return Inputs("source", source.spec, source.spec, source_fingerprint(source.entries))


def check_shards_are_current(inputs: Inputs, workspace: Workspace) -> None:
    """Refuse shards whose pairs are not those of `pairs/`.

    Raises:
        MinerError: pairs were mined anew after the export.
    """
    if inputs.origin != "shards" or inputs.pairs is None or (mined := PairsManifest.find(workspace)) is None:
        return
    if ShardsManifest.read(workspace).was_made_of(mined):
        return  # the export took all of the pairs, or as many as it was asked to take
    keys, order = ("key_a", "key_b"), [("key_a", "ascending"), ("key_b", "ascending")]
    exported = read_pairs(inputs.pairs, keys, made_by="miner export").sort_by(order)
    current = read_pairs(workspace.pairs / "pairs.parquet", keys).sort_by(order)
    if not exported.equals(current):
        raise MinerError(
            f"{workspace.shards} holds other pairs ({len(exported):,}) than {workspace.pairs} ({len(current):,}). "
            "Run `miner export --force` so that the run trains on the pairs you mined last."
        )
