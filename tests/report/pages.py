"""A report read back with an HTML parser."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from miner.artifacts.workspace import Workspace
from miner.report.options import ReportOptions
from miner.report.run import report

_VOID = {"meta", "link", "img", "br", "input"}


@dataclass
class Page(HTMLParser):
    """Elements with attributes, the visible text of each section by its heading's id, and tags left open."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)
    text: str = ""
    sections: dict[str, str] = field(default_factory=dict)
    current: str = "head"

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag == "section":
            self.current = attributes["aria-labelledby"]
        if tag not in _VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] not in ("style", "script"):
            self.text += data
            self.sections[self.current] = self.sections.get(self.current, "") + data

    def images(self) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]

    def charts(self) -> list[str]:
        """What screen readers read of each chart."""
        return [attributes["aria-label"] for _, attributes in self.elements if attributes.get("class") == "chart"]


def write(workspace: Workspace, gallery: int = 12, random: int = 8) -> Page:
    report(ReportOptions(gallery=gallery, random=random), workspace)
    return read(workspace)


def read(workspace: Workspace) -> Page:
    page = Page()
    page.feed((workspace.report / "index.html").read_text())
    assert page.open_tags == []
    return page


def shown_similarities(section: str) -> list[float]:
    return [float(text) for text in re.findall(r"\b[01]\.\d{3}\b", section)]
