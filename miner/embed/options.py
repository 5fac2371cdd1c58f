"""Options of `miner embed`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import field_validator, model_validator

from miner.options import Fraction, Options, flag_name, option

Layer = Literal["backbone", "projector", "streams"]
Pool = Literal["auto", "avg", "cls", "max"]
Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]


_OF_VECTORS = ("keys", "vector_column", "key_column")
_OF_ENCODING = (
    *("encoder", "layer", "pool", "batch_size", "device", "precision", "runtime", "draft", "compile"),
    "engine_address",
)


class EmbedOptions(Options):
    """Encode every image of SOURCE once, with a frozen encoder. Or take vectors that exist already, with --vectors.

    Images that cannot be read are listed and left out. If SOURCE has grown, the same command encodes only the new images.

    \b
      miner embed photos/                       a folder of images
      miner embed cifar10 --encoder resnet50    a data set by name, and another encoder
      miner embed photos/ --vectors clip.npy --keys names.txt    your own vectors of these images
      miner embed --vectors clip.npy            vectors alone: pairs, but no pictures
    """

    panel = "basics"

    source: str | None = option(None, argument=True)
    """A folder of images, WebDataset shards (data-{000000..000009}.tar), Parquet files, hf://datasets/ORG/NAME, or a name:
    sample, cifar10, cifar100, stl10, fashion-mnist, flowers102, oxford-pets, food101, dtd, aircraft. See docs/sources.md."""
    encoder: str = option("efficientnet_lite0")
    """Frozen network, such as efficientnet_lite0 (works offline), resnet50, dino_resnet50, timm:NAME, run:FOLDER or
    onnx:FILE. See docs/encoders.md for all."""
    vectors: str | None = option(None, panel="vectors that exist", decides_result=False, metavar="PATH")
    """Take these vectors instead of encoding: .npy, .npz, .safetensors, .parquet or .arrow; a file, a pattern, or a folder as
    clip-retrieval, autofaiss or save_to_disk of `datasets` write it. See docs/vectors.md."""
    keys: Path | None = option(None, panel="vectors that exist", decides_result=False, metavar="FILE")
    """What the vectors are called, in their order: a text file with a name a line, or a table (.csv, .tsv, .parquet, .jsonl). With
    SOURCE, a name is the key, the path or the file name of an image. If not given: a column of a table beside the vectors, or
    else the numbers of the rows."""
    vector_column: str | None = option(None, panel="vectors that exist", decides_result=False, metavar="NAME")
    """Column, array or tensor that holds the vectors. Needed only if there are several."""
    key_column: str | None = option(None, panel="vectors that exist", decides_result=False, metavar="NAME")
    """Column of the names, in the table of --keys or beside the vectors. If not given: key, path, image_path or another usual
    name."""
    image_column: str | None = option(None, panel="expert", decides_result="if changed")
    """Column of Parquet files that holds the images. Needed only if there are several candidates."""
    label_column: str | None = option(None, panel="expert", decides_result="if changed")
    """Column of Parquet files that holds the labels, or none. Needed only if there are several candidates. Of --vectors without
    SOURCE: a column of the table of names. If not given there: label."""
    layer: Layer = option("backbone", panel="expert", decides_result="if changed")
    """backbone: the features of the network. projector: the output of the head that was trained on top. streams: the features
    of teacher and student of a run of dino or graphnnclr, side by side."""
    pool: Pool = option("auto", panel="expert", decides_result="if changed")
    """How a feature map or tokens become one vector: the average, the class token, or the maximum. auto: as the encoder was
    trained."""
    batch_size: int | None = option(None, ge=1, short="-b", decides_result=False)
    """Images per forward pass. If not given: 16 on a CPU, 512 on a GPU, and half of that if memory runs out. `miner doctor
    --encoder NAME` tries several sizes."""
    device: str = option("auto", decides_result=False)
    """auto (every GPU, else the CPU), cpu, cuda, mps, or a list: cuda:0,cuda:1."""
    workers: int = option(0, ge=0, panel="processes", decides_result=False)
    """Threads that decode images, and on a CPU encode them. 0: one per core, at most 32, or 8 with a GPU."""
    precision: Literal["auto", "fp32", "bf16"] = option("auto", panel="expert")
    """Arithmetic of the encoder. auto: bf16 where the device has it natively, or else fp32."""
    runtime: Runtime = option("auto", panel="expert", decides_result="if changed")
    """Library that computes the encoder on a CPU: torch, onnxruntime or openvino (extra `openvino`). auto: torch. Without
    native bf16, from 4,000 images on, the fastest that agrees with torch, measured once for an encoder. See docs/encoders.md."""
    draft: float | None = option(None, ge=1, decides_result="if changed")
    """Decode JPEGs at 1/2, 1/4 or 1/8 of their size. At least this many pixels (for example 2) remain per pixel of the resized
    image. Large photographs then decode several times faster; the vectors change slightly."""
    compile: bool = option(False, panel="expert", decides_result="if changed")
    """Compile the encoder with torch.compile. Compiling takes a minute and makes encoding faster; the vectors may change
    slightly. Needs a C++ compiler on a CPU, Triton on a GPU."""
    max_errors: Fraction = option(0.01, panel="expert", decides_result=False)
    """Stop if a larger share of the images is unusable. 10 unusable images are always allowed."""
    engine_address: str | None = option(None, panel="processes", decides_result=False)
    """Encode on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`."""
    dtype: Literal["float16", "float32"] = option(
        "float16", panel="expert", shown_default="float16; for --vectors their own"
    )
    """Type of the stored vectors."""
    block_size: int = option(2048, ge=1, panel="expert")
    """Images per output file. An interrupted run loses at most half a minute of work, whatever the size."""
    limit: int | None = option(None, ge=2)
    """Use only this many images, from the start of the source."""

    def _decides_result(self, name: str) -> bool:
        # Embeddings by torch have the request of those that are older than the option.
        return super()._decides_result(name) and (name, self.runtime) != ("runtime", "torch")

    @field_validator("batch_size", mode="before")
    @classmethod
    def _is_a_size(cls, value: object) -> object:
        if value == 0:
            raise ValueError(
                "0 is not a size. `miner doctor --encoder NAME` tries several sizes and names the one to use"
            )
        return value

    @model_validator(mode="after")
    def _images_or_vectors(self) -> Self:
        if self.source is None and self.vectors is None:
            raise ValueError("Name SOURCE, the images to encode; or --vectors PATH, vectors that exist already")
        foreign: tuple[str, ...] = _OF_VECTORS
        why = "describes vectors that exist already; give --vectors too"
        if self.vectors is not None:
            foreign = _OF_ENCODING
            why = "belongs to encoding, and --vectors encodes nothing; leave out one of them"
        for name in foreign:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{flag_name(name)} {why}")
        return self
