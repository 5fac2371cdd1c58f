"""Options that commands have in common, and those of the commands that are no stages."""

from pathlib import Path

from miner.artifacts.workspace import DEFAULT_WORKSPACE
from miner.options import Options, option


class GeneralOptions(Options):
    """Options of every command."""

    panel = "general"

    as_json: bool = option(False, "Print the result as JSON on standard output.", flag="--json")
    debug: bool = option(False, "Show the traceback of an error.")


class GeneralStageOptions(GeneralOptions):
    """Options of every stage."""

    workspace: Path = option(
        DEFAULT_WORKSPACE,
        "Folder that all stages read and write.",
        short="-w",
        metavar="FOLDER",
        variable="MINER_WORKSPACE",
    )
    config: Path | None = option(
        None, "YAML file with options. Flags win over it; --no-NAME turns a switch off.", metavar="FILE"
    )
    force: bool = option(False, "Replace what an earlier, different request made.")


class VerifyOptions(Options):
    """Options of `miner verify`."""

    path: str = option(
        ...,
        "A folder that miner wrote, or a copy of it under any name: a workspace, or embeddings/, pairs/, shards/ "
        "or runs/NAME in one. Or a URL of one: https://HOST/NAME, s3://BUCKET/NAME, hf://datasets/ORG/NAME.",
        argument=True,
        metavar="PATH|URL",
    )


class DoctorOptions(Options):
    """Options of `miner doctor`."""

    encoder: str | None = option(None, "Measure this encoder with several batch sizes, instead of all checks.")
