"""Each page begins with its task, and no code block escapes the tests of the pages."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, blocks_of

MOST_WORDS = 60  # before the first block of code
WITHOUT_CODE = {"docs/glossary.md"}
# Cards of published data, which tests/publish executes, and what was published once.
GENERATED = re.compile(r"miner/publish/|datasets_out/|tests/data/|\.github/")
DOCS = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_a_page_begins_with_its_task(page: Path) -> None:
    before, fence, _ = page.read_text("utf-8").partition("```")
    words = re.sub(r"<!--.*?-->", "", before).split()
    assert name(page) in WITHOUT_CODE or (fence and len(words) <= MOST_WORDS), f"{len(words)} words before the code"


def test_every_page_of_the_repository_is_read() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("a copy without a git repository, which lists the pages")
    pages = {each for each in listed.stdout.split() if not GENERATED.match(each)}
    assert pages <= {name(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_stands_between_fences(page: Path) -> None:
    """Indented code would be executed by nothing."""
    text = page.read_text("utf-8")
    for block in blocks_of(text, name(page)):
        text = text.replace(block.text, "")
    assert re.findall(r"\n\n(?: {4}|\t)(?![-*\d ]).*", text) == []


def test_fences_of_every_kind_are_found() -> None:
    page = "~~~python\n1\n~~~\n````\n```\nx\n```\n````\n``` yaml title='a'\ny: 1\n```\n"
    assert [(block.language, block.text) for block in blocks_of(page, "p.md")] == [
        ("python", "1"),
        ("", "```\nx\n```"),
        ("yaml title='a'", "y: 1"),
    ]
