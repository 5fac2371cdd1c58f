"""Flags from options: one parameter of the command line for each field of an options class."""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
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
    texts: dict[str, str] = {}
    for base in reversed(options.__mro__[: options.__mro__.index(Options)]):
        texts |= _docstrings(base.__module__).get(base.__name__, {})
    return [_flag(name, field, texts[name]) for name, field in options.model_fields.items()]


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """The docstrings below fields, by class. pydantic reads them too, but takes as long as all the rest of a help page."""
    found: dict[str, dict[str, str]] = {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, text in pairwise(owner.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(said))):
                    found.setdefault(owner.name, {})[name] = " ".join(said.split())
    return found


def _flag(name: str, field: FieldInfo, text: str) -> inspect.Parameter:
    kind, said = plain_type(field.annotation), marks(field)
    required = field.default is PydanticUndefined
    shown: dict[str, Any] = {
        "help": f"{text} {said['note']}".strip(),
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
