"""The command line. Every command turns flags into typed options and calls one public function."""

import inspect
import json
import os
import signal
import sys
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from miner import __version__
from miner.artifacts.workspace import DEFAULT_WORKSPACE, Workspace
from miner.engine.atomic import explain_write_error
from miner.engine.heap import share_one_heap
from miner.engine.result import Result
from miner.engine.torchrun import is_follower
from miner.errors import MinerError
from miner.options import flag_name, read_config
from miner.run_stages import run_stage
from miner.stages import STAGES, StageCommand, load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Mine semantic image pairs with a frozen encoder, publish them, and pretrain vision encoders on them.\n\n"
    "Stages share one workspace folder, so they work one after another: `miner embed FOLDER`, `miner calibrate`, "
    "`miner pairs --auto`, `miner export`, `miner train`, `miner eval knn`, `miner eval linear`, `miner report`.",
)
evaluation = typer.Typer(no_args_is_help=True, help="Evaluate a trained backbone.")
app.add_typer(evaluation, name="eval")

WorkspaceFlag = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="MINER_WORKSPACE", help="Folder that all stages read and write.")
]
ForceFlag = Annotated[bool, typer.Option("--force", help="Replace what an earlier, different request made.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result record as JSON on standard output.")]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ConfigFlag = Annotated[Path | None, typer.Option("--config", help="YAML file with options; flags win over it.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"miner {__version__}")
        raise typer.Exit


def show(result: Result, as_json: bool) -> None:
    """Print a result: for people, or as JSON. Of several processes that torchrun started, the first one does."""
    if is_follower():
        return
    if as_json:
        typer.echo(json.dumps(result.record, indent=2, sort_keys=True))
        return
    for line in result.lines:
        typer.echo(line)
    if not result.fresh:
        typer.echo(f"{result.stage}: nothing to do, this was finished before.")


def fail(error: MinerError) -> NoReturn:
    if os.environ.get("MINER_DEBUG"):
        raise error
    typer.echo(f"Error: {error}", err=True)
    sys.exit(error.exit_code)


def show_traceback(debug: bool) -> None:
    """Let errors through as they are, here and in worker processes."""
    if debug:
        os.environ["MINER_DEBUG"] = "1"


def add_stage(name: str, stage: StageCommand) -> None:
    """Make a command out of an options class: one flag per field."""

    def command(workspace: Path, force: bool, as_json: bool, debug: bool, config: Path | None, **values: Any) -> None:
        show_traceback(debug)
        given = {field: _plain(value) for field, value in values.items() if value is not None}
        options = stage.options.parse({**(read_config(config) if config else {}), **given})
        show(run_stage(name, options, Workspace(workspace), force), as_json)

    parameters = [_parameter(field, info) for field, info in stage.options.model_fields.items()]
    common = {
        "workspace": (WorkspaceFlag, DEFAULT_WORKSPACE),
        "force": (ForceFlag, False),
        "as_json": (JsonFlag, False),
        "debug": (DebugFlag, False),
        "config": (ConfigFlag, None),
    }
    parameters += [
        inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for field, (annotation, default) in common.items()
    ]
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    parent = evaluation if name.startswith("eval ") else app
    parent.command(name.removeprefix("eval "), help=stage.help)(command)


def _parameter(field: str, info: FieldInfo) -> inspect.Parameter:
    """The typer parameter of an options field. Its own default is None, so that a config file can speak first."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    default = None if info.default in (PydanticUndefined, None) else _shown(info.default)
    kind: Any = info.annotation
    optional: Any = kind if info.default in (PydanticUndefined, None) else kind | None
    if extra.get("argument"):
        required = info.default is PydanticUndefined
        marker = typer.Argument(help=info.description, show_default=default or False)
        annotation: Any = Annotated[optional, marker]
        value = inspect.Parameter.empty if required else None
        return inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=annotation)
    flag = flag_name(field)
    names = [f"{flag}/--no-{field.replace('_', '-')}"] if kind in (bool, bool | None) else [flag]
    names += [str(extra["short"])] if "short" in extra else []
    option = typer.Option(*names, help=info.description, show_default=default or False)
    return inspect.Parameter(
        field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[optional, option]
    )


def _shown(default: Any) -> str:
    return ("on" if default else "off") if isinstance(default, bool) else str(default)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


for _name, _stage in STAGES.items():
    add_stage(_name, _stage)


@app.command()
def verify(
    path: Annotated[
        str,
        typer.Argument(
            help="A folder that miner wrote, or a copy of it under any name: a workspace, or embeddings/, pairs/, shards/ or "
            "runs/NAME in one. Or a URL of one: https://HOST/NAME, s3://BUCKET/NAME, hf://datasets/ORG/NAME.",
            metavar="PATH|URL",
        ),
    ],
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Check that what miner wrote is whole and says what it says; exit code 1 on damage.

    Every file against the checksum in its manifest, and every manifest against its own digest: a damaged file is named with
    the bytes where the damage begins, and so is a file that is missing or that nothing lists. Then the content: vectors
    have length 1, pairs are sorted and inside the band, some similarities are computed again; in shards every key is unique,
    every image decodes and is the one that was embedded, and every pair is two different images.
    """
    show_traceback(debug)
    show(load("miner.verify.run:verify")(path), as_json)


@app.command("run")
def run_recipe(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, such as pipelines/demo.yaml.")],
    workspace: Annotated[Path | None, typer.Option("--workspace", "-w", help="Instead of the recipe's own.")] = None,
    force: ForceFlag = False,
    set_option: Annotated[
        list[str] | None, typer.Option("--set", help="Change an option of the recipe: STAGE.OPTION=VALUE. Repeatable.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Use the recipe's `full` settings (a GPU's worth of work).")
    ] = False,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Of a study, instead of its own, such as 0,1,2.")] = None,
    arms: Annotated[
        str | None, typer.Option("--arms", help="Of a study, with commas between them; optional ones run only so.")
    ] = None,
    engine_address: Annotated[
        str | None,
        typer.Option("--engine-address", help="Run a study on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`)."),
    ] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Run all stages of a recipe, or all runs of a study, skipping what is done."""
    show_traceback(debug)
    run = load("miner.commands.run:run_recipe")
    grid = {"seeds": seeds, "arms": arms, "engine_address": engine_address}
    show(run(recipe, workspace, set_option or [], full=full, force=force, quiet=as_json, **grid), as_json)


@app.command()
def doctor(
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Measure this encoder with several batch sizes instead.")
    ] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what works on this machine: devices, FAISS build, decoders, disk."""
    show_traceback(debug)
    show(
        load("miner.commands.doctor:doctor_encoder")(encoder) if encoder else load("miner.commands.doctor:doctor")(),
        as_json,
    )


class _Interrupted(BaseException):
    """The user or the system asked to stop. No library takes it for one of its own errors."""


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted


def main() -> None:
    """Entry point: errors for people, exit code 1 for failed work and 2 for wrong usage."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    share_one_heap()
    try:
        app()
    except MinerError as error:
        fail(error)
    except _Interrupted:
        typer.echo("Interrupted. What was finished is kept; the same command continues.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if os.environ.get("MINER_DEBUG"):
            raise
        explained = explain_write_error(error, Path(getattr(error, "filename", None) or "."))
        if isinstance(explained, MinerError):
            fail(explained)
        kind = type(error).__name__
        typer.echo(f"Error: {kind}: {error}. This is a fault of miner; --debug shows where it happened.", err=True)
        sys.exit(1)
