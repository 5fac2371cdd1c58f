"""`miner embed --vectors`: vectors that exist already become the embeddings of a workspace; nothing is encoded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings import store
from miner.artifacts.embeddings.manifest import RESULTS, SCRATCH, EmbeddingsManifest
from miner.artifacts.embeddings.verified import write_versions
from miner.artifacts.stage_folder import GrowingStage, request_of
from miner.artifacts.workspace import Workspace
from miner.embed.earlier import same_images
from miner.embed.existing.blocks import VectorBlock
from miner.embed.existing.files import ExistingVectors, open_vectors
from miner.embed.existing.images import TiedImages, metadata_without_images, tied_images
from miner.embed.existing.names import RowNames, read_names
from miner.embed.finish import ErrorWatch, allowed_errors, finish
from miner.embed.options import EmbedOptions
from miner.embed.summary import summary
from miner.engine import Progress, Record, Result, Unit, fingerprint, finished_items, run
from miner.errors import MinerError
from miner.source import Source, open_source
from miner.source.base import LeftOut, source_fingerprint
from miner.text import counted

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 3


def take_vectors(options: EmbedOptions, workspace: Workspace, force: bool) -> Result:
    """Write vectors that exist already into `embeddings/`. Blocks that an earlier run finished are kept.

    Raises:
        MinerError: the vectors cannot be read, or do not fit their names or the images of the source; too many are unusable; or
            the workspace holds other embeddings.
    """
    assert options.vectors is not None
    vectors = open_vectors(options.vectors, options.vector_column)
    named = read_names(options, vectors)
    count = min(len(vectors), options.limit or len(vectors))
    if count < 2:
        raise MinerError(f"{vectors.place} holds one vector; a pair needs two.")
    if options.source is None:
        return _Taking(options, workspace, vectors, count, named, None, metadata_without_images(named, count)).run(
            force
        )
    source = open_source(options.source, options.image_column, options.label_column)
    tied = tied_images(named, vectors, count, source)
    _refuse_missing(options, tied, source, vectors)
    return _Taking(options, workspace, vectors, count, named, source, tied).run(force)


def _refuse_missing(options: EmbedOptions, tied: TiedImages, source: Source, vectors: ExistingVectors) -> None:
    images = len(source.entries)
    if len(tied.missing) > allowed_errors(options, images):
        examples = ", ".join(image.path for image in tied.missing[:_SHOWN])
        raise MinerError(
            f"{len(tied.missing):,} of {counted(images, 'image')} of {source.spec} have no vector in "
            f"{vectors.place}, such as {examples}. "
            "That is more than --max-errors allows. Name the part of the source that has vectors, or leave the other images out "
            "with --max-errors 1."
        )


class _Taking:
    """One call of the stage.

    Args:
        images: the images of a source, or the metadata of vectors without images.
    """

    def __init__(
        self,
        options: EmbedOptions,
        workspace: Workspace,
        vectors: ExistingVectors,
        count: int,
        named: RowNames,
        source: Source | None,
        images: "TiedImages | pa.Table",
    ) -> None:
        self._options, self._workspace = options, workspace
        self._vectors, self._count, self._named, self._source = vectors, count, named, source
        self._images = images
        # A type that was not asked for is that of the files.
        self._dtype = options.dtype if "dtype" in options.model_fields_set else vectors.dtype
        self._stage = GrowingStage(workspace.embeddings, self._request(), RESULTS, SCRATCH)

    def run(self, force: bool) -> Result:
        stage, notes = self._stage, list[str]()
        if not force:
            if self._source is not None and request_of(stage.folder):
                notes = same_images(stage, self._source, list(self._source.entries), self._workspace)
            if manifest := stage.finished():
                return self._result(manifest, notes, fresh=False)
        stage.begin(force)
        if self._source is not None:
            write_versions(self._workspace, self._source.entries)
        units = self._units()
        watch = ErrorWatch(self._options, self._seen, units)
        with Progress("embed", self._count, "vectors", finished_items(units)) as progress:
            run(units, progress=progress, after=watch.look)
        return self._result(finish(self._record(len(units)), stage), notes)

    def _request(self) -> Record:
        options = self._options
        given = options.model_dump(include={"vector_column", "image_column", "label_column"}, exclude_none=True)
        request = {
            "vectors_files": self._vectors.fingerprints(),
            "dtype": self._dtype,
            "block_size": options.block_size,
            "limit": options.limit,
            **given,
        }
        if isinstance(self._images, TiedImages):
            assert self._source is not None
            keys = [entry.key for entry in self._images.entries]
            fingerprint_of_images = source_fingerprint(self._source.entries)
            request |= {
                "source": self._source.spec,
                "source_fingerprint": fingerprint_of_images,
                "names": fingerprint(keys),
            }
        else:
            columns = self._images.select(["key", "path", "label"]).to_pydict()
            request["names"] = fingerprint([columns, self._classes])
        return request

    @property
    def _classes(self) -> list[str] | None:
        if self._source is not None:
            return self._source.classes
        return self._named.labels.classes if self._named.labels else None

    @property
    def _seen(self) -> int:
        """Images of the source, or vectors without images."""
        return self._count if self._source is None else len(self._source.entries)

    def _units(self) -> Sequence[Unit]:
        folder, size = self._stage.folder, self._options.block_size
        starts = range(0, self._count, size)
        return [
            self._unit(folder, number, start, min(start + size, self._count)) for number, start in enumerate(starts)
        ]

    def _unit(self, folder: Path, number: int, start: int, stop: int) -> Unit:
        images, last = self._images, stop == self._count
        if isinstance(images, TiedImages):
            assert self._source is not None
            missing = images.missing if last else ()
            of_rows = self._source, images.entries[start:stop]
            work = VectorBlock(self._vectors, self._dtype, start, stop, of_rows, missing, self._options.workers)
        else:
            work = VectorBlock(self._vectors, self._dtype, start, stop, images.slice(start, stop - start))
        outputs = (
            store.vectors_path(folder, number),
            store.error_part_path(folder, number),
            store.metadata_path(folder, number),
        )
        return Unit(f"{number:05d}", outputs, work, stop - start)

    def _record(self, blocks: int) -> Record:
        place, source = str(self._vectors.place), self._source
        columns = (
            self._options.model_dump(include={"image_column", "label_column"}, exclude_none=True) if source else {}
        )
        return {
            "source": {
                "spec": source.spec if source else place,
                "images": self._seen,
                "classes": self._classes,
                **({} if source else {"without_images": True}),
                **columns,
            },
            "encoder": {"name": f"vectors:{self._vectors.name}"},
            "vectors": {
                "name": self._vectors.name,
                "keys": self._options.keys and self._options.keys.name,
                "key_column": self._options.key_column,
            },
            "precision": "unknown",
            "dtype": self._dtype,
            "blocks": blocks,
        }

    def _result(self, manifest: Record, notes: list[str], fresh: bool = True) -> Result:
        folder, path = self._stage.folder, EmbeddingsManifest.path(self._workspace)
        made = EmbeddingsManifest.of(manifest, path)
        dropped = self._named.labels.dropped if self._named.labels else None
        left_out = self._source.left_out if self._source else LeftOut(**({"labels": dropped} if dropped else {}))
        lines = [
            *notes,
            f"embed: {summary(folder, made, left_out)}",
            f"embed: {made.dim}-d vectors of {self._vectors.place} ({made.dtype}) in {folder}; their keys are {self._named.origin}",
        ]
        if made.errors:
            lines[-1] += "; errors.parquet there lists what was left out"
        if self._source is None:
            lines.append(
                "embed: without images. export, train, review and the pictures of report need them: miner embed SOURCE --vectors "
                f"{self._options.vectors} --force"
            )
        return Result("embed", manifest, lines, fresh, [("images", f"{made.count:,}")], path=path, verdict=made.verdict)
