"""Help pages as a newcomer meets them."""

import os
import re
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from miner.commands.app import Commands, app
from miner.options import PANELS
from miner.stages import STAGES

PAGES = [
    "",
    "eval",
    *STAGES,
    "start",
    "status",
    "clean",
    "leaks",
    "similar",
    "explore",
    "verify",
    "run",
    "encoders",
    "doctor",
]
PYTHON_TYPES = r"Annotated|typing|<class|Literal\[|Optional|Union|NoneType|FieldInfo|<\w+>|\bstr\b|\bfloat\b|\bbool\b"
WORDS = r"[A-Z][A-Z.=|:-]+|NAME,\.\.\.|0,1,\.\.\.|[a-z0-9_-]+(\|[a-z0-9_-]+)+"


def help_page(command: str, flag: str = "--help", width: int = 100) -> str:
    answer = CliRunner().invoke(app, [*command.split(), flag], env={"COLUMNS": str(width)})
    assert answer.exit_code == 0, answer.output
    return answer.output


def parameters(command: str) -> list:
    found = get_command(app)
    for name in command.split():
        found = found.commands[name]
    return found.params


@pytest.mark.parametrize("command", PAGES)
def test_help_explains_every_option(command: str) -> None:
    page = help_page(command)
    assert "Base of the options" not in page and "\\b" not in page
    for parameter in parameters(command):
        assert parameter.help, parameter.name
        assert {*parameter.opts, *parameter.secondary_opts, parameter.metavar} & {*re.split(r"[\s,]+", page)}


@pytest.mark.parametrize("command", PAGES)
def test_help_shows_no_python_type(command: str) -> None:
    assert re.findall(PYTHON_TYPES, help_page(command, width=300)) == []
    for parameter in parameters(command):
        if parameter.param_type_name == "option" and not parameter.is_flag:
            assert re.fullmatch(WORDS, parameter.metavar), parameter.name


@pytest.mark.parametrize("command", PAGES)
def test_short_help_flag_shows_the_same_page(command: str) -> None:
    assert help_page(command, "-h") == help_page(command)


def test_help_keeps_asterisks() -> None:
    page = help_page("export")
    assert "images-*.tar" in page and "pairs-*.tar" in page


def test_help_groups_every_command_once() -> None:
    grouped = [name for names in Commands.panels.values() for name in names]
    assert sorted(grouped) == sorted({name.split()[0] for name in PAGES if name})
    page = help_page("")
    assert [page.index(f"\n  {name}  ") for name in grouped] == sorted(page.index(f"\n  {name}  ") for name in grouped)


@pytest.mark.parametrize("command", STAGES)
def test_headings_stand_in_order(command: str) -> None:
    headings = [line[:-1].lower() for line in help_page(command).splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert headings == sorted(headings, key=PANELS.index) and PANELS[-1] == "expert"


def test_switch_is_shown_as_one_would_write_it() -> None:
    page = help_page("train")
    assert "--no-sync-norm" in page and "--compile" in page
    assert "--no-compile" not in page and " --sync-norm" not in page
    assert "Do not count" in help_page("eval transfer").partition("--no-overlap")[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("miner ", {"embed", "train", "eval"}),
        ("miner pairs --engine ", {"exact", "faiss", "ivf", "hnsw"}),
        ("miner train --back", {"--backbone"}),
    ],
)
def test_shell_completes_commands_options_and_choices(words: str, expected: set[str]) -> None:
    program = "import sys; sys.argv = ['miner']; from miner.cli import main; main()"
    asked = {"_MINER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    assert expected <= set(answer.stdout.split()), answer.stderr


def test_unknown_option_names_similar_ones() -> None:
    answer = CliRunner().invoke(app, ["train", "--epoch", "3"])
    assert answer.exit_code == 2 and "--epochs" in answer.output


def test_a_value_is_named_by_its_field_only_if_it_is_text() -> None:
    assert "--gallery INTEGER" in help_page("report") and "--gallery SOURCE" in help_page("eval knn")


@pytest.mark.parametrize("width", range(70, 110, 5))
def test_no_flag_is_cut_at_the_end_of_a_line(width: int) -> None:
    options = help_page("train", width=width).partition("\nBasics:\n")[2]
    assert not re.search(r"--[a-z-]*-\n", options)
