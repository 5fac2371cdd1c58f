"""Options that commands have in common, and those of the commands that are no stages."""

from pathlib import Path

from pydantic import Field

from miner.artifacts.workspace import DEFAULT_WORKSPACE
from miner.options import Options


class GeneralOptions(Options):
    """Options of every command."""

    panel = "general"

    as_json: bool = Field(
        False,
        description="Print the result as JSON on standard output.",
        json_schema_extra={"flag": "--json"},
    )
    debug: bool = Field(False, description="Show the traceback of an error.")


class GeneralStageOptions(GeneralOptions):
    """Options of every stage."""

    workspace: Path = Field(
        DEFAULT_WORKSPACE,
        description="Folder that all stages read and write.",
        json_schema_extra={"short": "-w", "metavar": "FOLDER", "variable": "MINER_WORKSPACE"},
    )
    config: Path | None = Field(
        None,
        description="YAML file with options. Flags win over it; --no-NAME turns a switch off.",
        json_schema_extra={"metavar": "FILE"},
    )
    force: bool = Field(False, description="Replace what an earlier, different request made.")


class VerifyOptions(Options):
    """Options of `miner verify`."""

    path: str = Field(
        description="A folder that miner wrote, or a copy of it under any name: a workspace, or embeddings/, pairs/, shards/ "
        "or runs/NAME in one. Or a URL of one: https://HOST/NAME, s3://BUCKET/NAME, hf://datasets/ORG/NAME.",
        json_schema_extra={"argument": True, "metavar": "PATH|URL"},
    )


class DoctorOptions(Options):
    """Options of `miner doctor`."""

    encoder: str | None = Field(
        None, description="Measure this encoder with several batch sizes, instead of all checks."
    )
