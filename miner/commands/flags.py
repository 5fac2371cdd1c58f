"""Flags from options: one parameter of the command line for each field of an options class."""

import inspect
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from miner.options import Options, flag_name, marks

# What a value looks like, by the name of the field, or else by its type.
_BY_NAME = {
    **dict.fromkeys(("source", "gallery", "test"), "SOURCE"),
    **dict.fromkeys(("encoder", "name", "run"), "NAME"),
    **{"device": "DEVICE", "engine_address": "ADDRESS", "host": "ADDRESS", "memory": "SIZE", "to": "PLACE"},
}
_BY_TYPE = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def flags_of(options: type[Options]) -> list[inspect.Parameter]:
    """The parameters of a command that takes these options. A flag that is not given is None: a config file may set it."""
    return [_flag(name, field) for name, field in options.model_fields.items()]


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, said = plain_type(field.annotation), marks(field)
    required = field.default is PydanticUndefined
    shown: dict[str, Any] = {
        "help": " ".join((field.description or "").split()),
        "metavar": said["metavar"] or (name.upper() if said["argument"] else metavar(name, kind)),
        "show_default": False if required or field.default in (None, []) else _shown(field.default),
        "envvar": said["variable"],
        "rich_help_panel": said["panel"],
    }
    if said["argument"]:
        marker = typer.Argument(**shown)
    else:
        flag = said["flag"] or flag_name(name)
        names = [f"{flag}/--no{flag[1:]}" if kind is bool else flag, *filter(None, [said["short"]])]
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
    return "|".join(get_args(kind)) if get_origin(kind) is Literal else _BY_NAME.get(name) or _BY_TYPE.get(kind, "")


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:,}" if isinstance(default, int) and default >= 100_000 else str(default)
