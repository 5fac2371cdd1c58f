"""Each stage as a function, with the options of its command as keyword arguments."""

import inspect
import os
from functools import cache
from pathlib import Path
from typing import Any

from miner.api.opened import OpenedWorkspace, open_workspace
from miner.api.saved_vectors import saved_vectors
from miner.artifacts.workspace import DEFAULT_WORKSPACE, Workspace
from miner.errors import UsageError
from miner.run_stages import run_stage
from miner.stages import STAGES

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class StageFunction:
    """A stage that can be called: `miner.pairs(workspace, min=0.8, max=0.95)`.

    The first argument is the workspace; of `embed` it is the source, and `workspace=` names the folder. `vectors` of `embed` is a
    path, or an array (n, d) of numpy or torch, and `keys` a path or a list of n names. `force` replaces what
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
        needed = None if self.name == "embed" else inspect.Parameter.empty  # not needed with `vectors`
        target = inspect.Parameter(first, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=needed)
        return inspect.Signature([target, *options])

    def __call__(
        self,
        target: "OpenedWorkspace | str | os.PathLike[str] | None" = None,
        *,
        force: bool = False,
        quiet: bool = False,
        **options: Any,
    ) -> OpenedWorkspace:
        if self.name == "embed":
            root = options.pop("workspace", DEFAULT_WORKSPACE)
            options["source"] = target.path if isinstance(target, OpenedWorkspace) else target
            options |= saved_vectors(Path(root), options.get("vectors"), options.get("keys"))
            options |= {name: os.fspath(options[name]) for name in ("source", "vectors") if options[name] is not None}
        elif target is None:
            raise UsageError(f"miner.{self.name.replace(' ', '_')} needs a workspace as its first argument.")
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
