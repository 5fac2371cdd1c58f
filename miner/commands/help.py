"""Help pages in plain text: options under headings, the expert ones last, and commands in the order of use."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from miner.options import PANELS

# Width of the left column, in characters.
_COMMANDS = 10
_OPTIONS = 28


class CommandWithPanels(TyperCommand):
    """A command whose options stand under the headings that they name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self.get_params(ctx), formatter)


class GroupWithPanels(TyperGroup):
    """A group whose commands stand under the headings of `panels`, in that order."""

    panels: ClassVar[Mapping[str, Sequence[str]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in self.panels.values() for name in names] or super().list_commands(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for heading, names in (self.panels or {"Commands": self.list_commands(ctx)}).items():
            rows = [(name, _summary(self.commands[name].help)) for name in names]
            _write_section(heading, rows, _COMMANDS, formatter)
        _write_options(self.get_params(ctx), formatter)


def _write_options(params: Iterable[Any], formatter: Any) -> None:
    sections = defaultdict(list)
    for param in params:
        sections[_panel(param)].append((_spelled(param), _explained(param)))
    for panel in sorted(sections, key=PANELS.index):
        _write_section(panel.capitalize(), sections[panel], _OPTIONS, formatter)


def _write_section(heading: str, rows: Iterable[tuple[str, str]], width: int, formatter: Any) -> None:
    with formatter.section(typer.style(heading, bold=True)):
        formatter.write_dl([(f"{left:<{width}}", right) for left, right in rows], col_max=width)


def _panel(param: Any) -> str:
    if param.param_type_name == "argument":
        return "arguments"
    return param.rich_help_panel or ("general" if param.name == "help" else "options")


def _spelled(param: Any) -> str:
    """An option as one writes it; of a switch, the form that changes the default."""
    names = param.secondary_opts if param.show_default == "on" else sorted(param.opts, key=len)
    if param.param_type_name == "argument":
        return str(param.metavar)
    return ", ".join(names) if param.is_flag else f"{', '.join(names)} {param.metavar}"


def _explained(param: Any) -> str:
    default = "" if param.show_default in ("on", "off") else param.show_default
    notes = [f"default: {default}"] if isinstance(default, str) and default else []
    notes += [f"or set {param.envvar}"] if param.envvar else []
    notes += ["required"] if param.required else []
    return f"{param.help or ''} [{'; '.join(notes)}]" if notes else param.help or ""


def _summary(text: str | None) -> str:
    """The first paragraph of a help text."""
    return " ".join((text or "").partition("\n\n")[0].split())
