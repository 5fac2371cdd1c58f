"""The notebooks of `examples/` hold the code of the scripts, and run; progress shows below a cell and goes away."""

import runpy
from pathlib import Path

import nbformat
import pytest

from tests.examples.conftest import EXAMPLES

SCRIPT = runpy.run_path(str(EXAMPLES.parent / "scripts/make_notebooks.py"))
NAMES = sorted(SCRIPT["ARGUMENTS"])


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_the_script_with_outputs(name: str) -> None:
    made = SCRIPT["notebook_of"](EXAMPLES / f"{name}.py")
    text = (EXAMPLES / f"{name}.ipynb").read_text("utf-8")
    stored = nbformat.reads(text, as_version=4)
    nbformat.validate(stored)
    assert [cell.source for cell in stored.cells] == [cell.source for cell in made.cells], (
        "run scripts/make_notebooks.py"
    )
    script = "".join((EXAMPLES / f"{name}.py").read_text().split())
    assert all("".join(cell.source.split()) in script for cell in stored.cells[2:-1])
    outputs = [output for cell in stored.cells[1:] for output in cell.outputs]
    assert any("data:image/" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert all(output.output_type != "error" for output in outputs) and stored.cells[-1].outputs
    assert len(text) < 200_000
    assert not any(f"{start}/{folder}/" in text for start in ' "(' for folder in ("home", "tmp", "root", "Users"))
    assert str(EXAMPLES.parent) not in text


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_and_learns(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "sentence_transformers_images":
        for package in ("sentence_transformers", "accelerate"):
            pytest.importorskip(package)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    notebook = SCRIPT["notebook_of"](EXAMPLES / f"{name}.py")
    notebook.cells.append(nbformat.v4.new_code_cell("print(sum(losses[-3:]) / 3 < losses[0])"))
    ran = SCRIPT["executed"](notebook, tmp_path)
    assert ran.cells[-1].outputs[-1].text == "True\n"
