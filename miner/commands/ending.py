"""How every command ends: with its result, a verdict, the command that comes next, and the page, which --open shows."""

import json
import shlex
import webbrowser
from dataclasses import replace
from pathlib import Path

from miner.artifacts.workspace import Workspace
from miner.engine import Result, is_follower


def with_next_command(result: Result, workspace: Workspace) -> Result:
    """The result of a stage, with the command that takes the workspace further.

    A stage that has named one keeps it. What a stage wrote elsewhere (--to) can be verified there.
    """
    if result.next_command or result.rehearsal or is_follower():
        return result
    root, path = workspace.root.absolute(), result.path
    if path is not None and not (isinstance(path, Path) and root in path.absolute().parents):
        place = shlex.quote(str(path).removesuffix(f"/{path.name}"))
        return replace(result, next_command=f"miner verify {place}  (checks every file, as its readers can)")
    from miner.artifacts.overview.next_step import next_step
    from miner.artifacts.overview.parts import workspace_parts

    return replace(result, next_command=str(next_step(workspace, workspace_parts(workspace))))


def show(result: Result, as_json: bool, opens: bool = False) -> None:
    """Print a result: for people, or as JSON. Of several processes that torchrun started, the first one does.

    Args:
        opens: whether to open the page in the browser.
    """
    if is_follower():
        return
    if as_json:
        facts = {
            "stage": result.stage,
            "fresh": result.fresh,
            "path": str(result.path or ""),
            "verdict": result.verdict,
        }
        facts = {name: value for name, value in {**facts, "next": result.next_command}.items() if value != ""}
        print(json.dumps({**facts, **result.record}, indent=2, sort_keys=True))
    else:
        for line in result.told:
            print(line)
        if not result.fresh:
            print(f"{result.stage}: nothing to do, this was finished before.")
        if result.next_command:
            print(f"{result.stage}: next, {result.next_command}")
    if opens and result.page:
        webbrowser.open(result.page.absolute().as_uri())
