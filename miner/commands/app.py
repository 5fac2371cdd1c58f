"""All commands. Each turns flags into typed options and calls one public function."""

import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import typer

from miner import __version__
from miner.artifacts.workspace import Workspace
from miner.commands.ending import show, with_next_command
from miner.commands.flags import CommandWithPanels, GroupWithPanels, flags_of
from miner.commands.options import (
    CleanOptions,
    DoctorOptions,
    EncodersOptions,
    GeneralLeaksOptions,
    GeneralOptions,
    GeneralPageOptions,
    GeneralRunOptions,
    GeneralStageOptions,
    GeneralStartOptions,
    GeneralWorkspaceOptions,
    SimilarOptions,
    StartOptions,
    StatusOptions,
    VerifyOptions,
)
from miner.engine import Result
from miner.explore.options import ExploreOptions
from miner.leaks.options import LeaksOptions
from miner.options import Options, read_yaml
from miner.recipe import RunOptions
from miner.run_stages import run_stage
from miner.stages import STAGES, load


class Commands(GroupWithPanels):
    """All commands, in the order of use."""

    panels: ClassVar = {
        "All at once": ("start",),
        "From images to pairs": ("embed", "calibrate", "explore", "pairs", "similar", "review"),
        "Publish pairs": ("export", "verify", "publish"),
        "Train and measure": ("train", "eval", "refine", "report"),
        "Compare sets": ("leaks",),
        "The workspace": ("status", "clean"),
        "Recipes, and this machine": ("run", "encoders", "doctor"),
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""Find pairs of different images that mean the same, publish them, and train vision encoders on them.

    All stages read and write one folder, the workspace (-w). `miner start FOLDER` runs the first four. A first session:

    \b
      miner embed FOLDER      encode every image once, with a frozen encoder
      miner calibrate         say where duplicates begin, and show what each rule chooses
      miner pairs             find pairs by the recommended rule
      miner report            look at the pairs, as one HTML page
      miner train             train an encoder on the images and the pairs
      miner eval knn          measure what it has learned, where images have labels
    """,
)
evaluation = typer.Typer(
    cls=GroupWithPanels, no_args_is_help=True, help="Measure what a trained backbone, or a refinement, has learned."
)
app.add_typer(evaluation, name="eval")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"miner {__version__}")
        raise typer.Exit


def _stage_runner(name: str) -> Callable[[Options, GeneralStageOptions], Result]:
    def run(options: Options, general: GeneralStageOptions) -> Result:
        workspace = Workspace(general.workspace)
        return with_next_command(run_stage(name, options, workspace, general.force), workspace)

    return run


def _explore(options: ExploreOptions, general: GeneralWorkspaceOptions) -> Result:
    workspace = Workspace(general.workspace)
    return with_next_command(load("miner.explore.run:explore")(options, workspace), workspace)


def add_command(
    name: str,
    options_class: type[Options],
    run: Callable[[Any, Any], Result],
    general_class: type[GeneralOptions] = GeneralOptions,
) -> None:
    """Make a command out of an options class: one flag per field, below the docstring of the class.

    A name that begins with "eval " joins that group. `run` does the work, from the options and the general ones.
    """

    def command(**values: Any) -> None:
        given = {field: value for field, value in values.items() if value is not None}
        general = general_class.parse(
            {field: given.pop(field) for field in general_class.model_fields if field in given}
        )
        if general.debug:  # errors pass as they are, here and in worker processes
            os.environ["MINER_DEBUG"] = "1"
        config = getattr(general, "config", None)
        options = options_class.parse({**(read_yaml(config) if config else {}), **given})
        result = run(options, general)
        show(result, general.as_json, getattr(general, "open", False))
        if result.exit_code:
            raise typer.Exit(result.exit_code)

    general_flags = sorted(flags_of(general_class), key=lambda flag: flag.name in GeneralOptions.model_fields)
    flags = [*flags_of(options_class), *general_flags]
    vars(command)["__signature__"] = inspect.Signature(flags)
    command.__annotations__ = {flag.name: flag.annotation for flag in flags}
    group = evaluation if name.startswith("eval ") else app
    group.command(name.removeprefix("eval "), cls=CommandWithPanels, help=inspect.getdoc(options_class))(command)


for _name, _stage in STAGES.items():
    _general = GeneralPageOptions if _name in ("calibrate", "report") else GeneralStageOptions
    add_command(_name, _stage.options, _stage_runner(_name), _general)
add_command(
    "start",
    StartOptions,
    lambda options, general: load("miner.commands.start:start")(
        options, general.workspace, general.force, general.as_json
    ),
    GeneralStartOptions,
)
add_command(
    "leaks",
    LeaksOptions,
    lambda options, general: load("miner.leaks.run:find_leaks")(
        options, Workspace(general.workspace), force=general.force, quiet=general.as_json
    ),
    GeneralLeaksOptions,
)
add_command("explore", ExploreOptions, _explore, GeneralWorkspaceOptions)
add_command(
    "similar",
    SimilarOptions,
    lambda options, general: load("miner.api.similar:show_similar")(general.workspace, **dict(options)),
    GeneralPageOptions,
)
add_command(
    "status",
    StatusOptions,
    lambda _, general: load("miner.commands.status:status")(Workspace(general.workspace)),
    GeneralWorkspaceOptions,
)
add_command(
    "clean",
    CleanOptions,
    lambda options, general: load("miner.commands.status:clean")(options, Workspace(general.workspace)),
    GeneralWorkspaceOptions,
)
add_command("verify", VerifyOptions, lambda options, _: load("miner.verify.run:verify")(options.path))
add_command(
    "run",
    RunOptions,
    lambda options, general: load("miner.commands.run:run_recipe")(options, general.as_json),
    GeneralRunOptions,
)
add_command(
    "encoders",
    EncodersOptions,
    lambda options, general: load("miner.commands.encoders:encoders")(options.measure, quiet=general.as_json),
)
add_command("doctor", DoctorOptions, lambda options, _: load("miner.commands.doctor:doctor")(options.encoder))
