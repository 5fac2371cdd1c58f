"""Options that commands have in common, and those of the commands that are no stages."""

from pathlib import Path

from miner.artifacts.workspace import DEFAULT_LEAKS, DEFAULT_WORKSPACE
from miner.options import Options, option


class GeneralOptions(Options):
    """Options of every command."""

    panel = "general"

    as_json: bool = option(False, flag="--json")
    """Print the result as JSON on standard output."""
    debug: bool = option(False)
    """Show the traceback of an error."""


class GeneralStageOptions(GeneralOptions):
    """Options of every stage."""

    workspace: Path = option(DEFAULT_WORKSPACE, short="-w", metavar="FOLDER", variable="MINER_WORKSPACE")
    """Folder that all stages read and write."""
    config: Path | None = option(None, metavar="FILE")
    """YAML file with options. Flags override the file; --no-NAME turns a switch off."""
    force: bool = option(False)
    """Replace a result that was made with other options."""


class GeneralLeaksOptions(GeneralStageOptions):
    """Options of `leaks`: a folder of its own, because the stages of one set have nothing to do with it."""

    workspace: Path = option(DEFAULT_LEAKS, short="-w", metavar="FOLDER")
    """Folder of the result, and of sets that are embedded for it."""


class SimilarOptions(Options):
    """Show the embedded images that are most similar to an image: their paths and cosines, and a page with pictures.

    \b
      miner similar photos/cat.jpg      a file, or an embedded image by its path or key
      miner similar new.jpg --neighbors 30
    """

    panel = "basics"

    query: str = option(..., argument=True, metavar="IMAGE|KEY|TEXT")
    """An image file, which the encoder of the workspace encodes; the key or path of an embedded image; or a text, where this
    encoder has a text tower."""
    neighbors: int = option(12, ge=1)
    """Images to show."""
    device: str = option("auto")
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps: where the query is encoded."""


class VerifyOptions(Options):
    """Check that every file is complete and unchanged; exit code 1 on damage.

    Every file is compared with the checksum in its manifest, and every manifest with its own digest. A damaged file is named with
    the bytes where the damage begins. Files that are missing, or that no manifest lists, are named too.

    The content is checked as well: vectors have length 1, pairs are sorted and inside the band, and some similarities are computed
    again. In shards every key is unique, every image decodes and is the embedded one, and every pair is two different images.
    """

    path: str = option(..., argument=True, metavar="PATH|URL")
    """A folder that miner wrote, or a copy of it under any name: a workspace, or embeddings/, pairs/, shards/ or runs/NAME in
    one. A URL of one is taken too: https://HOST/NAME, s3://BUCKET/NAME, hf://datasets/ORG/NAME."""


class EncodersOptions(Options):
    """List encoders that are worth a try: width, input, size, labels that they have seen, licence, and where the weights are.

    \b
      miner encoders                a table
      miner encoders --measure      with images per second on this machine, in about a minute
    """

    panel = "basics"

    measure: bool = option(False)
    """Measure the images per second of each on this machine."""


class DoctorOptions(Options):
    """Show what works on this machine: devices, FAISS build, decoders, disk.

    With --encoder, try several batch sizes with this encoder, and name the one to use.
    """

    encoder: str | None = option(None)
    """Measure this encoder with several batch sizes, instead of all checks."""
