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


class GeneralWorkspaceOptions(GeneralOptions):
    """Options of every command that looks at a workspace."""

    workspace: Path = option(DEFAULT_WORKSPACE, short="-w", metavar="FOLDER", variable="MINER_WORKSPACE")
    """Folder that all stages read and write."""


class GeneralStageOptions(GeneralWorkspaceOptions):
    """Options of every stage."""

    config: Path | None = option(None, metavar="FILE")
    """YAML file with options. Flags override the file; --no-NAME turns a switch off."""
    force: bool = option(False)
    """Replace a result that was made with other options."""


class GeneralRunOptions(GeneralOptions):
    """Options of `run`, whose recipe names the workspace."""

    open: bool = option(False)
    """Open the result in the browser of this machine."""


class GeneralPageOptions(GeneralRunOptions, GeneralStageOptions):
    """Options of every command that makes a page or a picture in a workspace."""


class GeneralStartOptions(GeneralPageOptions):
    """Options of `start`, whose workspace is named after the source."""

    workspace: Path | None = option(None, short="-w", metavar="FOLDER", variable="MINER_WORKSPACE")  # type: ignore[assignment]
    """Folder that all stages read and write. If not given: datasets_out/NAME, named after SOURCE."""


class StartOptions(Options):
    """From images to pairs in one command: embed, calibrate, pairs by the recommended rule, and a report.

    It ends with what came out, whether it is good, and what to do next. What an earlier or interrupted call has finished is
    skipped.

    \b
      miner start photos/
      miner start photos/ --encoder dino_resnet50 -w datasets_out/dino --open
    """

    panel = "basics"

    source: str = option(..., argument=True)
    """A folder of images, or another source as `miner embed` takes it. See docs/sources.md."""
    encoder: str = option("efficientnet_lite0")
    """Frozen network, as of `miner embed`. See docs/encoders.md."""
    limit: int | None = option(None, ge=2)
    """Use only this many images, from the start of the source."""
    device: str = option("auto")
    """auto (every GPU, else the CPU), cpu, cuda, mps, or a list: cuda:0,cuda:1."""


class GeneralLeaksOptions(GeneralPageOptions):
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


class StatusOptions(Options):
    """Say what is in the workspace: made from what, fresh or stale, how large, and which command comes next.

    A part is stale if what it was made from has changed since. Nothing is written.
    """


class CleanOptions(Options):
    """Say what can go of the workspace and how much that frees; with --yes, remove it.

    That is what is stale, and what an interrupted command has left. Embeddings, runs and reviews go only if they are named, and so
    does everything that is fresh. Files that are not of miner stay.

    \b
      miner clean                 what is stale or unfinished, and its size
      miner clean --yes           remove that
      miner clean runs/moco --yes remove this run
    """

    panel = "basics"

    parts: list[str] = option([], argument=True, metavar="PART...")
    """Only these parts, named as `miner status` names them, such as shards or runs/moco; fresh or not."""
    yes: bool = option(False)
    """Remove it. Without this flag, nothing is removed."""


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
