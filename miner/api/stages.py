"""Each stage as a function, with the options of its command as keyword arguments."""

import inspect
import os
from functools import cache
from pathlib import Path
from typing import Any

from miner.api.opened import OpenedWorkspace, open_workspace
from miner.artifacts.workspace import DEFAULT_WORKSPACE, Workspace
from miner.run_stages import run_stage
from miner.stages import STAGES

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class StageFunction:
    """A stage that can be called: `miner.pairs(workspace, min=0.8, max=0.95)`.

    The first argument is the workspace; of `embed` it is the source, and `workspace=` names the folder. `force` replaces what
    other options made. `quiet` prints no result. The call returns the opened workspace.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.options = STAGES[name].options
        self.__doc__ = inspect.getdoc(self.options)

    @property
    def __signature__(self) -> inspect.Signature:
        """The first argument, and every option of the command with its default."""
        first = "source" if self.name == "embed" else "workspace"
        values = {
            **({"workspace": DEFAULT_WORKSPACE} if self.name == "embed" else {}),
            **{"force": False, "quiet": False},
            **{name: field.default for name, field in self.options.model_fields.items() if name != first},
        }
        options = [inspect.Parameter(name, _KEYWORD, default=default) for name, default in values.items()]
        return inspect.Signature([inspect.Parameter(first, inspect.Parameter.POSITIONAL_OR_KEYWORD), *options])

    def __call__(
        self,
        target: "OpenedWorkspace | str | os.PathLike[str]",
        *,
        force: bool = False,
        quiet: bool = False,
        **options: Any,
    ) -> OpenedWorkspace:
        if self.name == "embed":
            root = options.pop("workspace", DEFAULT_WORKSPACE)
            options["source"] = os.fspath(target) if not isinstance(target, OpenedWorkspace) else str(target.path)
        else:
            root = target
        workspace = Workspace(root.path if isinstance(root, OpenedWorkspace) else Path(root))
        result = run_stage(self.name, self.options.parse(options), workspace, force)
        if not quiet:
            print("\n".join(result.lines), flush=True)
        return open_workspace(workspace.root)


@cache
def stage_function(name: str) -> StageFunction:
    """The function of a stage, by its name on the command line."""
    return StageFunction(name)
