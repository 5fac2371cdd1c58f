"""Every code block of the pages is executed on a small workspace, or the page says why not."""

import doctest
import io
import json
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

import miner
from miner.artifacts.workspace import Workspace
from miner.recipe import RunOptions
from tests.docs.blocks import Block, all_blocks, blocks_of, commands_of
from tests.docs.command_line import PLACEHOLDERS, check, check_recipe, fill
from tests.docs.running import copy_folder, is_run, judge_a_pair, make_folder, run, run_python

PUBLISHED = "docs/publishing.md"  # here FOLDER is a published data set, elsewhere a folder of images
MIXED = "images-jpg-"  # in a block about shards of a source with two file endings

Folder = Callable[[str], Path]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder by its kind of photographs, made when it is first needed. Not to be changed."""
    kinds = {
        "jpg": [
            *("embed photos", "calibrate", "pairs", "export", "train --method moco --epochs 100"),
        ],
        "jpg png": ["embed photos", "pairs --min 0.7 --max 0.95", "export"],
    }
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("pages")
            make_folder(folders[kind], kind.split(), kinds[kind])
            judge_a_pair(Workspace(folders[kind] / "datasets_out/default"))
            with chdir(folders[kind]):  # after the review, whose verdicts are published
                run(["publish", "--license", "cc-by-4.0", "--image-license", "mit", "--to", "published"])
        return folders[kind]

    return folder


@pytest.fixture
def execute(made: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Block], None]:
    """Executes a block in a copy of a folder; raises what is wrong with it."""
    kinds = {
        "": _shell,
        "sh": _shell,
        "bash": _shell,
        "python": _python,
        "pycon": _session,
        "json": _json,
        "yaml": _recipe,
    }

    def execute(block: Block) -> None:
        assert block.language in kinds, f"{block.place}: nothing executes {block.language!r}: mark the block"
        monkeypatch.setenv("MINER_DEBUG", "")  # put back after a block with --debug
        if "datasets" in block.text:
            monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
        with chdir(copy_folder(made("jpg png" if MIXED in block.text else "jpg"), tmp_path / "copy")):
            kinds[block.language](block)

    return execute


def _placeholders(block: Block) -> dict[str, str]:
    return {**PLACEHOLDERS, "FOLDER": "published"} if block.place.startswith(PUBLISHED) else PLACEHOLDERS


def _shell(block: Block) -> None:
    commands = commands_of(block.text)
    assert commands, "the block holds no command"
    for words in commands:
        filled = [fill(word, _placeholders(block)) for word in words]
        check(filled)
        if filled[0] == "miner" and is_run(filled[1:]):
            run(filled[1:])


def _session(block: Block) -> None:
    """A session of Python, whose outputs must be those of the page."""
    session = doctest.DocTestParser().get_doctest(block.text, {"miner": miner}, block.place, None, None)
    said = io.StringIO()
    assert not doctest.DocTestRunner(verbose=False).run(session, out=said.write).failed, said.getvalue()


def _python(block: Block) -> None:
    run_python(block.text.replace("FOLDER", _placeholders(block)["FOLDER"]), block.place)


def _json(block: Block) -> None:
    """A value, or members of an object."""
    json.loads(block.text if block.text.startswith(("{", "[")) else f"{{{block.text}}}")


def _recipe(block: Block) -> None:
    Path("recipe.yaml").write_text(block.text)
    check_recipe(RunOptions(recipe=Path("recipe.yaml")))


@pytest.mark.parametrize("block", [block for block in all_blocks() if not block.excuse], ids=lambda block: block.place)
def test_a_block_works_as_it_is_printed(block: Block, execute: Callable[[Block], None]) -> None:
    execute(block)


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("", "miner embed FOLDER --colour red", "--colour"),
        ("", "miner pairs --min 0.9 --max 0.8", "above --max"),
        ("", "$ miner pears\nsome output", "pears"),
        ("", "miner eval knn --mode exact", "--mode"),
        ("", "miner export --exclude nowhere.jsonl", r"nowhere\.jsonl"),
        ("", "miner run pipelines/demo.yaml --set train.colour=red", "colour"),
        ("", "miner run pipelines/studies/pairs_cpu.yaml --arms semantics", "semantics"),
        ("", "miner embed PLACE", "placeholder PLACE"),
        ("", "torchrun --nproc-per-node 2 -m miner train --colour red", "--colour"),
        ("", "python tests/bench/join.py --colour red", "no --colour"),
        ("", "make coffee", "no target coffee"),
        ("", "pip install -e .[coffee]", "no extra coffee"),
        ("", "datasets_out/NAME/\n  run.json", "mark the block"),
        ("", "# nothing", "no command"),
        ("python", "import miner\nminer.colour", "colour"),
        ("pycon", ">>> 1 + 1\n3", "Got:\n +2"),
        (
            "python",
            'import webdataset\nw = webdataset.WebDataset("shards/none-000000.tar", shardshuffle=False)',
            "none-000000",
        ),
        ("json", '"exact": false,', "property name"),
        ("yaml", "stages:\n  - embed: {source: sample, colour: red}", "colour"),
        ("text", "a drawing", "mark the block"),
    ],
)
def test_a_wrong_block_is_found(language: str, text: str, words: str, execute) -> None:
    with pytest.raises(Exception, match=words):
        execute(Block("docs/page.md:1", language, text, None))


def test_commands_that_are_run_change_the_copy(execute, tmp_path: Path) -> None:
    execute(Block("docs/page.md:1", "", "miner pairs --min 0.5 --max 0.9  # wide\nminer report", None))
    assert (tmp_path / "copy/datasets_out/default/report/index.html").exists()


def test_blocks_are_found_with_their_excuses() -> None:
    page = "a\n<!-- not executed: output -->\n```\nx\n```\n\n```python\n1\n```\n<!-- not executed: -->\n```\ny\n```"
    found = [(block.place, block.language, block.text, block.excuse) for block in blocks_of(page, "p.md")]
    assert found == [("p.md:3", "", "x", "output"), ("p.md:7", "python", "1", None), ("p.md:11", "", "y", None)]


def test_commands_are_joined_and_lose_prompts_and_comments() -> None:
    assert commands_of("miner a \\\n  --b 'c d'   # why\n\n# alone\nminer e") == [
        ["miner", "a", "--b", "c d"],
        ["miner", "e"],
    ]
    assert commands_of("$ miner a\noutput\n$ miner b") == [["miner", "a"], ["miner", "b"]]
