"""Checks of one shell command: its program, its options, and the files that it names."""

import re
from pathlib import Path
from typing import Any
from unittest import mock

from miner.commands.app import app
from miner.engine.records import Result
from miner.options import read_yaml
from miner.recipe import Recipe, RunOptions, plan_recipe, read_recipe
from miner.study.definition import Study
from miner.study.plan import plan_study
from tests.docs.blocks import ROOT

# Words in capitals that a reader replaces by his own.
PLACEHOLDERS = {
    "FOLDER": "photos",
    "LABELLED_FOLDER": "photos",
    "SOURCE": "photos",
    "WORKSPACE": "datasets_out/default",
    "NEW": "datasets_out/new",
    "TRAIN": "photos",
    "TEST": "photos",
    "SEEDS": "photos",
    "POOL": "photos",
    "BUCKET": "bucket",
    "ORG": "somebody",
    "NAME": "some-pairs",
    "HOST": "localhost",
    "OUT": "measured",
    "PATH": "moco.pt",
}
_CAPITALS = re.compile(r"\b[A-Z][A-Z_]+\b")


def fill(word: str, placeholders: dict[str, str]) -> str:
    """A word with its placeholders replaced.

    Raises:
        AssertionError: a word in capitals is not among them.
    """
    unknown = set(_CAPITALS.findall(word)) - placeholders.keys()
    assert not unknown, f"the placeholder {unknown.pop()} is not in PLACEHOLDERS"
    return _CAPITALS.sub(lambda found: placeholders[found[0]], word)


def check(words: list[str]) -> None:
    """Check a command whose placeholders are filled, without running it.

    Raises:
        AssertionError: the program is unknown, or it does not have what the command asks of it.
        Exception: what `miner` raises about its options.
    """
    program, *arguments = words
    if program.startswith("scripts/"):
        assert (ROOT / program).is_file(), f"there is no {program}"
        return
    checks = {
        "miner": check_miner,
        "torchrun": _check_torchrun,
        "python": _check_script,
        "make": _check_make,
        "pip": _check_pip,
    }
    assert program in checks, f"nothing here can check the program {program!r}: mark the block as not executed"
    checks[program](arguments)


def check_miner(arguments: list[str]) -> None:
    """Let the real command line parse and validate everything, up to the call that would do the work."""
    done = Result("checked", {})
    with mock.patch("miner.commands.app.run_stage", return_value=done), mock.patch("miner.commands.app.load", _no_work):
        app(arguments, standalone_mode=False)


def _no_work(target: str) -> Any:
    def call(*values: Any, **more: Any) -> Result:
        if values and isinstance(values[0], RunOptions):
            check_recipe(values[0])
        return Result("checked", {})

    return call


def check_recipe(options: RunOptions) -> None:
    """Validate a recipe, or a study, with all changes."""
    content = read_yaml(options.recipe)
    if "arms" in content:
        plan_study(read_recipe(Study, content, options.recipe), options)
    else:
        plan_recipe(read_recipe(Recipe, content, options.recipe), options)


def _check_torchrun(arguments: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    parsed = get_args_parser().parse_args(arguments)
    assert parsed.module and parsed.training_script == "miner"
    check_miner(parsed.training_script_args)


def _check_script(arguments: list[str]) -> None:
    script = ROOT / arguments[0]
    assert script.is_file(), f"there is no {arguments[0]}"
    code = script.read_text()
    for flag in (word for word in arguments[1:] if word.startswith("--")):
        assert f'"{flag}"' in code, f"{arguments[0]} has no {flag}"


def _check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in arguments:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"the Makefile has no target {target}"


def _check_pip(arguments: list[str]) -> None:
    extras = re.findall(r"[\w-]+", arguments[-1].partition("[")[2])
    assert arguments[0] == "install" and Path(arguments[-1].partition("[")[0] or ".") == Path()
    project = (ROOT / "pyproject.toml").read_text()
    for extra in extras:
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), f"there is no extra {extra}"
