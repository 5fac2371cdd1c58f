"""A hook of MkDocs: README is the first page, and files of the repository that a page links become files of the site."""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every page with its links as the site has them, and the files that these name."""
    waiting, done = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], set[Path]()
    while waiting:
        path = waiting.pop()
        done.add(path)
        if old := files.get_file_from_path(_place(path)):
            files.remove(old)
        if path.suffix == ".md":
            text, named = _page(path)
            files.append(File.generated(config, _place(path), content=text))
            waiting += named - done - set(waiting)
        else:
            files.append(File.generated(config, _place(path), abs_src_path=str(path)))
    return files


def _page(path: Path) -> tuple[str, set[Path]]:
    """The text of a page of the repository as one of the site, and the files that it names."""
    named = set[Path]()

    def linked(link: re.Match[str]) -> str:
        target = (path.parent / link["path"]).resolve()
        if not target.is_file():
            return link[0]  # MkDocs says so
        named.add(target)
        return f"]({os.path.relpath(_place(target), Path(_place(path)).parent)}{link['anchor'] or ''})"

    return _LINK.sub(linked, path.read_text("utf-8")), named


def _place(path: Path) -> str:
    """Where a file of the repository lies in the site."""
    inside = path.relative_to(ROOT)
    if inside == Path("README.md"):
        return "index.md"
    return str(inside.relative_to("docs") if inside.parts[0] == "docs" else Path("repository") / inside)
