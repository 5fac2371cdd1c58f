"""Typed options: the one definition behind command-line flags, YAML keys and the Python API."""

import ast
import inspect
import json
import sys
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from miner.errors import UsageError
from miner.machine.memory import parse_bytes

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]


def _checked_size(text: str) -> str:
    parse_bytes(text)
    return text


Names = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
MemorySize = Annotated[str, AfterValidator(_checked_size)]

# The headings of help pages, in the order in which they are shown.
PANELS = (
    *(
        "arguments",
        "options",
        "basics",
        "vectors that exist",
        "pairs",
        "pair table",
        "agreement",
        "metadata",
        "graph",
        "method",
        "network",
        "views",
        "optimizer",
        "augmented mode",
    ),
    *("engine", "output", "data set card", "server", "processes", "studies", "general", "expert"),
)


class Options(BaseModel):
    """Base of the options of every command.

    Each field is made by `option`, and is a flag, a YAML key and an argument in Python. The docstring below a field is its text
    in `--help`. The docstring of the class is the text above the options; paragraphs after a line `\\b` keep their lines.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    panel: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for name in cls.__annotations__.keys() & cls.model_fields.keys() if cls.panel else ():
            details = details_of(cls.model_fields[name])
            details["panel"] = details["panel"] or cls.panel

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate values from any source.

        Raises:
            UsageError: names the option, what is wrong with it, and what is known.
        """
        try:
            return cls.model_validate({field_name(str(name)): value for name, value in values.items()})
        except ValidationError as error:
            raise UsageError("; ".join(_explain(cls, problem) for problem in error.errors())) from None

    @property
    def run_name(self) -> str | None:
        """Name of the run that the stage makes; None for a stage that makes no run."""
        return None

    def plain(self) -> dict[str, Any]:
        """The options as JSON values, by the names that YAML has."""
        # Through json, as pydantic refuses paths that are not UTF-8.
        values = json.loads(json.dumps(self.model_dump(), default=str))
        return {written_name(name): value for name, value in values.items()}

    def request(self) -> dict[str, Any]:
        """The options that decide the result (`decides_result`), as JSON values. Some stages override it to leave out more."""
        return {name: value for name, value in self.plain().items() if self._decides_result(field_name(name))}

    def _decides_result(self, name: str) -> bool:
        field = type(self).model_fields[name]
        decides = details_of(field)["decides_result"]
        return getattr(self, name) != field.default if decides == "if changed" else bool(decides)


def option(
    default: Any,
    *,
    panel: str | None = None,
    decides_result: bool | Literal["if changed"] = True,
    argument: bool = False,
    short: str | None = None,
    flag: str | None = None,
    metavar: str | None = None,
    variable: str | None = None,
    note: str = "",
    shown_default: str | None = None,
    **checks: Any,
) -> Any:
    """A field of an options class.

    Args:
        default: `...` if the option must be given.
        panel: the heading under which `--help` shows it, one of PANELS; if not given, the `panel` of the class that defines it.
        decides_result: whether a request holds it. False for what changes only the speed or the place of a result. False also
            for what the request holds in another form, such as a fingerprint. "if changed" for an option that is younger than
            results that must stay valid: the request holds it where it differs from its default.
        argument: whether it is positional.
        short: a short flag, such as "-b".
        flag: the long flag, if it is not named after the field.
        metavar: what a value looks like in `--help`, if not by its type.
        variable: the environment variable that is read where no flag is given.
        note: sentences that are computed, and follow the docstring in `--help`.
        shown_default: the default as `--help` shows it, if it depends on other options.
        checks: the checks of the value, as in pydantic's `Field`.
    """
    details: dict[str, Any] = {"panel": panel, "short": short, "flag": flag, "metavar": metavar, "variable": variable}
    details |= {"argument": argument, "decides_result": decides_result, "note": note, "shown_default": shown_default}
    return Field(default, json_schema_extra=details, **checks)


def details_of(field: FieldInfo) -> dict[str, Any]:
    """What `option` was told of a field beside its default, its description and its checks."""
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def field_texts(options: type[Options]) -> dict[str, str]:
    """The docstring below each field, in one line."""
    texts: dict[str, str] = {}
    for base in reversed(options.__mro__[: options.__mro__.index(Options)]):
        texts |= _docstrings(base.__module__).get(base.__name__, {})
    return texts


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """The docstrings below fields, by class. pydantic reads them too, but takes as long as all the rest of a help page."""
    found: dict[str, dict[str, str]] = {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, text in pairwise(owner.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(docstring))):
                    found.setdefault(owner.name, {})[name] = " ".join(docstring.split())
    return found


def flag_name(field: str) -> str:
    """The command-line spelling of an option."""
    return "--" + written_name(field).replace("_", "-")


def written_name(field: str) -> str:
    """The name of an option in YAML and in records; that of a field ends in `_` where it would be a word of Python."""
    return field.removesuffix("_")


def field_name(written: str) -> str:
    """The field of an option as it is written in YAML: `_` for `-`, and `global_` for `global`, which is a word of Python."""
    name = written.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with `_` for `-` in its names.

    Raises:
        UsageError: the file is missing, is not YAML, or is not a mapping.
    """
    from miner.engine.yaml_values import parse_yaml

    try:
        values = parse_yaml(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"The file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file in UTF-8.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold a mapping of option names to values.")
    return {field_name(str(name)): value for name, value in values.items()}


def _explain(cls: type[Options], problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        near = "".join(f"; did you mean {known}?" for known in get_close_matches(name, cls.model_fields, 1))
        return f"unknown option {name!r} (known: {', '.join(sorted(cls.model_fields))}){near}"
    if problem["type"] == "missing":
        return f"{name.upper()} is required"
    return (
        f"{flag_name(name)}: {str(problem['msg']).removeprefix('Value error, ')} (got {_shortened(problem['input'])})"
    )


def _shortened(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
