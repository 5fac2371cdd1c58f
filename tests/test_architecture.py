"""Who may import whom. CONTRIBUTING.md shows the same layers, and a test compares the two."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from miner.stages import STAGES

ROOT = Path(__file__).parents[1]

# From the bottom up. A module imports from its own room, and from rooms of lower layers.
LAYERS = (
    ("errors",),
    ("engine", "machine", "options", "statistics", "tables", "text"),
    ("source",),
    ("images",),
    ("learning",),
    ("artifacts",),
    ("server",),
    ("embed", "evaluate", "export", "pairs", "publish", "refine", "report", "review", "train", "verify"),
    ("stages",),
    ("recipe", "shipped_recipes"),
    ("run_stages",),
    ("api",),
    ("explore",),
    ("leaks",),
    ("downstream",),
    ("study",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
STAGE_ROOMS = LAYERS[7]

# The imports between stages, and why. A new one needs a reason that a stranger would accept.
BETWEEN_STAGES = {
    ("pairs", "embed"): "calibration encodes mild augmentations of images, --against the images of another set",
    ("publish", "embed"): "the commands that make a data set again",
    ("publish", "export"): "the commands that make a data set again",
    ("publish", "pairs"): "the commands that make a data set again",
    ("refine", "evaluate"): "refined features are judged as others are",
    ("refine", "pairs"): "the exact neighbour graph",
}

# Rooms that are imported to show `--help` or to read files; they must not pull in torch.
WITHOUT_TORCH = ("miner.cli", "miner.train.settings", "miner.artifacts.workspace", "miner.artifacts.pairs.table")

MOST_FILES = 14


@dataclass(frozen=True)
class Arrow:
    """One import of one module by another.

    Attributes:
        source: the module that imports.
        target: the module that is imported, or the package that hands the name on.
        line: of the statement.
        lazy: whether the import stands inside a function, or is for type checkers only.
    """

    source: str
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.source.replace('.', '/')}.py:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted((ROOT / "miner").rglob("*.py"))}


@cache
def arrows() -> tuple[Arrow, ...]:
    return tuple(arrow for name, path in modules().items() for arrow in _arrows_of(name, ast.parse(path.read_text())))


def _arrows_of(name: str, tree: ast.Module) -> Iterator[Arrow]:
    at_import = {id(node) for statement in tree.body for node in _run_at_import(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                target = whole if whole in modules() else str(node.module)
                yield Arrow(name, target, node.lineno, id(node) not in at_import)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield Arrow(name, alias.name, node.lineno, id(node) not in at_import)


def _run_at_import(statement: ast.stmt) -> Iterator[ast.AST]:
    """The statement and what runs with it when its module is imported: no function bodies, no `if TYPE_CHECKING`."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        return
    yield statement
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            yield from _run_at_import(child)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def between_rooms() -> Iterator[Arrow]:
    for arrow in arrows():
        if arrow.target.startswith("miner.") and room(arrow.source) and room(arrow.source) != room(arrow.target):
            yield arrow


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms)


def test_every_room_has_a_layer():
    rooms = {room(name) for name in modules()} - {""}

    assert rooms == {name for rooms in LAYERS for name in rooms}


def test_imports_go_down():
    wrong = [
        str(arrow)
        for arrow in between_rooms()
        if floor(room(arrow.source)) <= floor(room(arrow.target))
        and not {room(arrow.source), room(arrow.target)} <= {*STAGE_ROOMS}
        and not {room(arrow.source), room(arrow.target)} <= {*LAYERS[1]}
    ]

    assert not wrong, "\n".join(wrong)


def test_engine_knows_errors_only():
    wrong = [
        str(arrow) for arrow in between_rooms() if room(arrow.source) == "engine" and room(arrow.target) != "errors"
    ]

    assert not wrong, "\n".join(wrong)


def test_stages_import_few_stages():
    found = defaultdict(list)
    for arrow in between_rooms():
        pair = room(arrow.source), room(arrow.target)
        if pair[1] in STAGE_ROOMS and pair[0] in (*STAGE_ROOMS, "study"):
            found[pair].append(str(arrow))
    unlisted = [line for pair, lines in found.items() if pair not in BETWEEN_STAGES for line in lines]

    assert not unlisted, "\n".join(unlisted)
    assert not BETWEEN_STAGES.keys() - found.keys(), "the list names imports that are gone"


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_packages_form_no_circle(depth):
    def package(module: str) -> str:
        folder = module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]
        return ".".join(folder.split(".")[:depth])

    imports = defaultdict(set)
    for arrow in arrows():
        if arrow.target in modules():
            source, target = package(arrow.source), package(arrow.target)
            if source != target and not source.startswith(target + ".") and not target.startswith(source + "."):
                imports[source].add(target)

    assert not _circle(imports), " -> ".join(_circle(imports))


def _circle(imports: dict[str, set[str]]) -> list[str]:
    """A circle of packages, the first one again at its end; empty if there is none."""
    done: set[str] = set()

    def visit(package: str, path: list[str]) -> list[str]:
        if package in path:
            return [*path[path.index(package) :], package]
        if package in done:
            return []
        for target in sorted(imports.get(package, ())):
            if circle := visit(target, [*path, package]):
                return circle
        done.add(package)
        return []

    return next((circle for package in sorted(imports) if (circle := visit(package, []))), [])


@pytest.mark.parametrize("start", WITHOUT_TORCH)
def test_torch_is_not_imported(start):
    eager = defaultdict(list)
    for arrow in arrows():
        if not arrow.lazy:
            eager[arrow.source].append(arrow)
    waiting = [[arrow] for name in modules() if name == start or name.startswith(start + ".") for arrow in eager[name]]
    seen = set()
    while waiting:
        path = waiting.pop()
        target = path[-1].target
        assert target.split(".")[0] != "torch", "\n".join(map(str, path))
        parents = [target.rsplit(".", up)[0] for up in range(target.count(".") + 1)]
        for name in parents:  # a module's packages are imported with it
            if name in modules() and name not in seen:
                seen.add(name)
                waiting += [[*path, arrow] for arrow in eager[name]]


def test_rooms_are_small():
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in modules().values()}}
    full = [f"{folder.relative_to(ROOT)}: {count} files" for folder, count in counts.items() if count > MOST_FILES]

    assert not full, "\n".join(full)


def test_rooms_have_a_sentence_on_the_door():
    silent = [
        str(path.relative_to(ROOT))
        for path in modules().values()
        if path.name == "__init__.py" and len((ast.get_docstring(ast.parse(path.read_text())) or "").split()) < 4
    ]

    assert not silent, "\n".join(silent)


def test_one_public_name_is_one_thing():
    places = defaultdict(list)
    for name, path in modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    double = [f"{public}: {', '.join(names)}" for public, names in places.items() if len(names) > 1]

    assert not double, "\n".join(double)


def test_stages_are_found_in_run():
    elsewhere = [f"{name}: {stage.target}" for name, stage in STAGES.items() if ".run:" not in stage.target]

    assert not elsewhere, "\n".join(elsewhere)


def test_contributing_shows_every_room():
    shown = set(re.findall(r"`(miner/[\w/]+(?:\.py)?)`", (ROOT / "CONTRIBUTING.md").read_text()))
    packages = {str(path.parent.relative_to(ROOT)) for path in modules().values() if path.name == "__init__.py"}
    files = {f"miner/{name}.py" for names in LAYERS for name in names if name != "__main__"}

    assert {file for file in files if (ROOT / file).is_file()} | packages - {"miner"} <= shown
    assert {name for name in shown if not (ROOT / name).exists()} == set()


def test_modules_form_no_circle():
    imports = defaultdict(set)
    for arrow in arrows():
        if arrow.target in modules() and modules()[arrow.target].name != "__init__.py":
            imports[arrow.source].add(arrow.target)

    assert not _circle(imports), " -> ".join(_circle(imports))
