"""The recipes that come with the package: `miner run demo` finds them in a checkout and in an installed wheel."""

from pathlib import Path

from miner.errors import DISTRIBUTION, UsageError

_IN_CHECKOUT = Path(__file__).parents[1] / "pipelines"


def recipe_file(asked: Path) -> Path:
    """The file of a recipe: a path as it is, or the name of a recipe of the package, such as `demo` or `studies/pairs_cpu`.

    Raises:
        UsageError: there is neither such a file nor such a recipe.
    """
    if asked.suffix or asked.exists():
        return asked
    shipped = shipped_recipes()
    if found := shipped.get(asked.as_posix()):
        return found
    raise UsageError(f"There is no file {asked}, and no recipe of this name. The recipes are: {', '.join(shipped)}.")


def shipped_recipes() -> dict[str, Path]:
    """Files by name, which is the path below `pipelines/` without its ending; sorted."""
    if _IN_CHECKOUT.is_dir():
        files = {path.relative_to(_IN_CHECKOUT): path for path in _IN_CHECKOUT.rglob("*.yaml")}
    else:
        files = _in_wheel()
    return {name.with_suffix("").as_posix(): path for name, path in sorted(files.items())}


def _in_wheel() -> dict[Path, Path]:
    from importlib import metadata

    installed = metadata.files(DISTRIBUTION) or []
    return {
        Path(*file.parts[file.parts.index("pipelines") + 1 :]): Path(str(file.locate()))
        for file in installed
        if "pipelines" in file.parts and file.suffix == ".yaml"
    }
