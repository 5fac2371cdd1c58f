"""What the command line makes of options: flags, and help pages in plain text with options and commands under headings."""

import inspect
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand, TyperGroup

from miner.options import PANELS, Options, details_of, field_texts, flag_name

# What a value looks like: text by the name of its field, other values by their type.
_BY_NAME = {
    **dict.fromkeys(("source", "gallery", "test"), "SOURCE"),
    **dict.fromkeys(("encoder", "name", "run"), "NAME"),
    **{"device": "DEVICE", "engine_address": "ADDRESS", "host": "ADDRESS", "memory": "SIZE", "to": "PLACE"},
}
_BY_TYPE = {int: "INTEGER", float: "NUMBER", Path: "PATH"}

# Width of the left column, in characters.
_COMMANDS = 10
_OPTIONS = 28


def flags_of(options: type[Options]) -> list[inspect.Parameter]:
    """The parameters of a command that takes these options. A flag that is not given is None: a config file may set it."""
    texts = field_texts(options)
    return [_flag(name, field, texts[name]) for name, field in options.model_fields.items()]


def _flag(name: str, field: FieldInfo, text: str) -> inspect.Parameter:
    kind, details = plain_type(field.annotation), details_of(field)
    required = field.default is PydanticUndefined
    shown: dict[str, Any] = {
        "help": f"{text} {details['note']}".strip(),
        "metavar": details["metavar"] or (name.upper() if details["argument"] else metavar(name, kind)),
        "show_default": details["shown_default"] or _shown(field.default),
        "envvar": details["variable"],
        "rich_help_panel": details["panel"],
    }
    if details["argument"]:
        marker = typer.Argument(**shown)
    else:
        flag = details["flag"] or flag_name(name)
        names = [f"{flag}/--no{flag[1:]}" if kind is bool else flag, *filter(None, [details["short"]])]
        marker = typer.Option(*names, **shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, marker],
    )


def plain_type(annotation: Any) -> Any:
    """A type without `Annotated` and `None`, for the command line, which checks no bounds."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        (kind,) = (kind for kind in get_args(annotation) if kind is not NoneType)
        return plain_type(kind)
    return annotation


def metavar(name: str, kind: Any) -> str:
    """What a value looks like, for people."""
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is list:
        return f"{metavar(name, get_args(kind)[0])}..."
    return _BY_NAME.get(name, "TEXT") if kind is str else _BY_TYPE.get(kind, "")


def _shown(default: Any) -> str | bool:
    if default in (None, PydanticUndefined, []):
        return False
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:,}" if isinstance(default, int) and default >= 100_000 else str(default)


class CommandWithPanels(TyperCommand):
    """A command whose options stand under the headings that they name. `--flag A B` gives a list two items."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        lists = {flag for param in self.get_params(ctx) if param.multiple for flag in param.opts}
        return super().parse_args(ctx, _one_item_per_flag(args, lists))

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


def _one_item_per_flag(args: Iterable[str], lists: Collection[str]) -> list[str]:
    """Arguments with a flag before each item of a list: click takes one value per flag. An argument stands before lists."""
    spread: list[str] = []
    flag = None
    for arg in args:
        if arg.startswith("-"):
            flag = arg if arg in lists else None
        elif flag and spread[-1] != flag:
            spread.append(flag)
        spread.append(arg)
    return spread


def _write_options(params: Iterable[Any], formatter: Any) -> None:
    sections = defaultdict(list)
    for param in params:
        sections[_panel(param)].append((_spelled(param), _explained(param)))
    for panel in sorted(sections, key=PANELS.index):
        _write_section(panel.capitalize(), sections[panel], _OPTIONS, formatter)


def _write_section(heading: str, rows: Iterable[tuple[str, str]], width: int, formatter: Any) -> None:
    with formatter.section(typer.style(heading, bold=True)):
        # A line may end after "-", which would cut a flag in two, but not after "\u2011".
        formatter.write_dl([(f"{left:<{width}}", right.replace("-", "\u2011")) for left, right in rows], col_max=width)
    formatter.buffer = [text.replace("\u2011", "-") for text in formatter.buffer]


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
