"""The manifest of `embeddings/`."""

from typing import TYPE_CHECKING, ClassVar, Literal

from miner.artifacts.artifact import RecordPart, StageArtifact
from miner.errors import MinerError

if TYPE_CHECKING:
    from miner.source import Source

# The files in a folder of embeddings, and those that go when it is finished, as patterns of `StageFolder`.
RESULTS = ("errors.parquet", "img_emb/img_emb_*.npy", "metadata/metadata_*.parquet")
PARTS = "parts"  # the folder of what is finished of a block
SCRATCH = ("errors/errors_*.parquet", *(f"{PARTS}/{name}_*" for name in ("vectors", "errors", "metadata")))


class SourceRecord(RecordPart):
    """The source of the images.

    Attributes:
        spec: the spec as the user named it; a path is absolute.
        image_column, label_column: the columns of Parquet files, where the user chose them.
        without_images: whether only vectors are known; `spec` is their place then.
    """

    spec: str
    classes: list[str] | None = None
    image_column: str | None = None
    label_column: str | None = None
    without_images: bool = False

    def open(self) -> "Source":
        """Open the source again.

        Raises:
            MinerError: it is gone, cannot be read, or holds vectors without images.
        """
        self.require_images()
        from miner.source import open_source

        try:
            return open_source(self.spec, self.image_column, self.label_column)
        except MinerError as error:
            raise MinerError(
                f"The embedded images cannot be read: {error} If they were moved, run `miner embed` with their new place: it "
                "encodes nothing again."
            ) from error

    def require_images(self) -> None:
        """Refuse vectors without images.

        Raises:
            MinerError: there are no images.
        """
        if self.without_images:
            raise MinerError(f"This needs the images, and the workspace holds vectors alone. {self.remedy}")

    @property
    def remedy(self) -> str:
        """What to do about vectors without images."""
        return f"Name their images: `miner embed SOURCE --vectors {self.spec} --force`, then run the stages after it again."


class EncoderRecord(RecordPart):
    """The encoder of the images."""

    name: str
    licence: str | None = None
    labels_seen: str | None = None
    weights_sha256: str | None = None

    @property
    def saw_labels(self) -> bool | None:
        """Whether labels decided the weights, or the pairs that they were trained on; None where it is not known."""
        seen = (self.labels_seen or "unknown").lower().rpartition("labels seen: ")[2]
        if seen.startswith("unknown") or seen.endswith("no longer on record"):
            return None
        return not seen.startswith("none")


class RuntimeRecord(RecordPart):
    """The library beside torch that computed the encoder from a graph of ONNX."""

    name: str
    version: str
    graph_sha256: str


class GivenVectors(RecordPart):
    """The files of `--vectors` and `--keys`, by the last part of their paths."""

    name: str
    keys: str | None = None
    key_column: str | None = None


class EmbedRequest(RecordPart):
    """What `miner embed` was asked for. Refined embeddings have another request: they have no encoder here.

    Attributes:
        vectors_files: sha256 of the files of `--vectors`; None where an encoder made the vectors.
    """

    encoder: str | None = None
    layer: Literal["backbone", "projector", "streams"] = "backbone"
    pool: Literal["auto", "avg", "cls", "max"] = "auto"
    precision: str = "auto"
    source_fingerprint: str | None = None
    vectors_files: dict[str, str] | None = None


class EmbeddingsManifest(StageArtifact):
    """What is in `embeddings/`.

    Attributes:
        blocks: number of files of vectors, and of metadata tables.
        errors: number of images that could not be used, by reason.
        vectors: of `--vectors`; None where an encoder made the vectors.
        runtime: None where torch computed the encoder.
    """

    command: ClassVar = "miner embed SOURCE"
    folder: ClassVar = "embeddings"

    request: EmbedRequest
    source: SourceRecord
    encoder: EncoderRecord
    blocks: int
    dim: int
    dtype: str
    count: int
    errors: dict[str, int]
    precision: str = "float32"
    vectors: GivenVectors | None = None
    runtime: RuntimeRecord | None = None

    @property
    def verdict(self) -> str:
        """How many images have a vector, and which command tells how good the vectors are."""
        of = "row" if self.source.without_images else "image"
        share = self.count / (self.count + sum(self.errors.values()))
        has = f"{share:.1%} of the {of}s have a vector" if self.errors else f"every {of} has a vector"
        if self.source.classes:
            return f"{has}; `miner eval knn --embeddings` tells how well the vectors separate the classes"
        return has if self.vectors else f"{has}; `miner calibrate` tells whether the encoder tells these images apart"
