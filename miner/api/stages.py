"""Each stage as a function, with the options of its command as keyword arguments."""

import inspect
import os
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from miner.api.opened import OpenedWorkspace, open_workspace
from miner.api.saved_vectors import saved_vectors
from miner.api.stage_texts import EXAMPLES, RETURNS
from miner.artifacts.workspace import DEFAULT_WORKSPACE, Workspace
from miner.errors import MinerError, UsageError
from miner.options import Options, details_of, field_texts, flag_name
from miner.run_stages import run_stage
from miner.stages import STAGES, load

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_DOCSTRING = """{about}

Args:
{first}
    force: replace what other options made.
    quiet: print no result.
    options: those of `miner {command}`.
Returns:
    The opened workspace. {returns}
Raises:
    UsageError: an option is unknown or wrong. It is a MinerError.
{raises}

"""
_WORKSPACE = "    workspace: opened, or its folder."
_FIRST = {
    "embed": """    source: a folder, shards, Parquet files, or the name of a data set; not needed with `vectors`.
    workspace: the folder to fill, or an opened workspace.
    vectors: a path, or an array (n, d) of numpy or torch: float16, float32 or float64.
    keys: a path, or a list of n names."""
}


class StageFunction:
    """A stage that can be called: `miner.pairs(workspace, min=0.8, max=0.95)`.

    The first argument is the workspace; of `embed` it is the source, and `workspace=` names the folder. `vectors` of `embed` is a
    path, or an array (n, d) of numpy or torch, and `keys` a path or a list of n names. `force` replaces what
    other options made. `quiet` prints no result. The call returns the opened workspace.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.options = STAGES[name].options

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """What the stage does, as its command says; its arguments, what it leaves, what it raises, an example, the options."""
        about = (inspect.getdoc(self.options) or "").partition("\b")[0].rstrip()
        raises = (inspect.getdoc(load(STAGES[self.name].target)) or "").partition("Raises:\n")[2].rstrip()
        name = self.name.replace(" ", "_")
        return _DOCSTRING.format(
            about=about, first=_FIRST.get(name, _WORKSPACE), command=self.name, returns=RETURNS[name], raises=raises
        ) + (inspect.cleandoc(EXAMPLES[name]) + listed(self.options))

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
        target: "str | os.PathLike[str] | None" = None,
        *,
        force: bool = False,
        quiet: bool = False,
        **options: Any,
    ) -> OpenedWorkspace:
        if self.name == "embed":
            root = options.pop("workspace", DEFAULT_WORKSPACE)
            options |= {"source": target, **saved_vectors(Path(root), options.get("vectors"), options.get("keys"))}
            options |= {name: os.fspath(options[name]) for name in ("source", "vectors") if options[name] is not None}
        elif target is None:
            raise UsageError(f"miner.{self.name.replace(' ', '_')} needs a workspace as its first argument.")
        else:
            root = target
        try:
            result = run_stage(self.name, self.options.parse(options), Workspace(Path(root)), force)
        except MinerError as error:
            error.args = (in_python(str(error), self.options),)
            raise
        if not quiet:
            print("\n".join(result.told), flush=True)
        return root.read_again() if isinstance(root, OpenedWorkspace) else open_workspace(root)


def in_python(message: str, options: type[Options]) -> str:
    """A message with the flags of these options as keyword arguments. Whole commands (`miner pairs --min 0.8`) stay."""
    names = {flag_name(name): name for name in options.model_fields} | {
        "--force": "force=True",
        "--workspace": "workspace",
    }
    names |= {f"--no{flag[1:]}": f"{name}=False" for flag, name in names.items()}
    return re.sub(
        rf"`[^`]*`|\bminer (?:{'|'.join(STAGES)})\b[^;]*|--[a-z][a-z-]*",
        lambda found: names.get(found[0], found[0]),
        message,
    )


def listed(options: type[Options]) -> str:
    """The options of a command at the end of a docstring, with defaults and texts."""
    texts, fields = field_texts(options), options.model_fields
    lines = [
        textwrap.fill(
            f"{name}{'' if fields[name].is_required() else f' = {fields[name].default!r}'}: {texts[name]}",
            120,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
        )
        for name in fields
        if not details_of(fields[name])["argument"]
    ]
    return "\n\nOptions, as keyword arguments (`top_k=1` for `--top-k 1`):\n" + "\n".join(lines)


@cache
def stage_function(name: str) -> StageFunction:
    """The function of a stage, by its name on the command line."""
    return StageFunction(name)
