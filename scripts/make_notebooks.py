"""Make the notebooks of examples/ from the scripts beside them, and execute them: python scripts/make_notebooks.py"""

import ast
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"

# Pairs of the built-in sample, as a workspace and as a published set, and the arguments that train on them for a moment.
_PREPARE = """# Pairs of 64 images that miner brings along. Take your own: miner.embed("photos", workspace="example/workspace")
import miner

workspace = miner.embed("sample", workspace="example/workspace", limit=64)
miner.pairs(workspace, rule="mutual", neighbors=2, max=0.95)"""
_PUBLISH = """
miner.export(workspace)
miner.publish(workspace, to="example/set", license="cc-by-4.0", image_license="mit")"""
_SMALL = ("--epochs", "8", "--batch-size", "32")
ARGUMENTS = {
    "lightly_simclr": ("example/workspace", *_SMALL, "--size", "16", "--device", "cpu"),
    "pytorch_loop": ("example/set", *_SMALL, "--size", "16", "--device", "cpu"),
    "sentence_transformers_images": ("example/set", *_SMALL, "--lr", "1e-3", "--output", "example/model"),
}


def notebook_of(script: Path) -> nbformat.NotebookNode:
    """A notebook with the statements of a script: its imports, a cell for each function, and a call of `main` in place of the last.

    Cells before them make pairs. No cell has outputs yet.
    """
    text = script.read_text("utf-8")
    docstring, *statements, _ = ast.parse(text).body
    lines = text.split("\n")
    pieces = [_PREPARE + (_PUBLISH if "example/set" in ARGUMENTS[script.stem] else "") + "\nworkspace.pairs"]
    last, ended = None, 0
    for statement in statements:
        kind = ast.Import if isinstance(statement, ast.Import | ast.ImportFrom) else type(statement)
        piece = "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
        if kind is last is ast.Import:
            pieces[-1] += "\n" * (statement.lineno - ended) + piece
        else:
            pieces.append(piece)
        last, ended = kind, statement.end_lineno or 0
    pieces.append(f"losses = main({list(ARGUMENTS[script.stem])})".replace("'", '"'))
    about = f"# {script.name}\n\n{ast.literal_eval(docstring.value)}".replace("\n    ", "\n\n    ", 1).strip()
    cells = [nbformat.v4.new_markdown_cell(about), *map(nbformat.v4.new_code_cell, pieces)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat draws one at random
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def executed(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, after it was executed in a folder; without warnings and times, which differ by machine.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(folder)}}, record_timing=False, coalesce_streams=True
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_result(output)]
    return notebook


def _is_result(output: nbformat.NotebookNode) -> bool:
    """Whether it is neither a warning nor a bar of progress that has ended."""
    return output.get("name") != "stderr" and output.get("data", {}).get("text/plain") != ""


def main() -> None:
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    for script in sorted(EXAMPLES.glob("*.py")):
        with TemporaryDirectory() as folder:
            nbformat.write(executed(notebook_of(script), Path(folder)), script.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
