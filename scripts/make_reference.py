"""Write docs/reference.md from the docstrings of all public names: python scripts/make_reference.py"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import miner
from miner.api.stages import StageFunction, stage_function
from miner.commands.flags import flags_of
from miner.leaks.options import LeaksOptions
from miner.options import PANELS, Options, details_of
from miner.stages import STAGES

PAGE = Path(__file__).parents[1] / "docs/reference.md"
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):$")
_ITEM = re.compile(r"([\w, ]+): ")
_HEAD = """# Reference

```python
import miner

print(miner.__all__)
help(miner.pairs)  # the same text as here
```

All names of `miner.__all__`. They are stable; everything else may change. [python.md](python.md) is the introduction. The text
comes from the docstrings, by `python scripts/make_reference.py`.

The examples are executed after `import miner`. Beside them lie 40 photographs in two class folders of `photos`, and the default
workspace, where they were embedded, paired, exported, published and trained on.
"""
_OPTIONS = "The texts name options as the command line does: `--top-k 1` is `top_k=1` here."


def page() -> str:
    """The whole page, as Markdown."""
    functions = [name for name in miner.__all__ if inspect.isfunction(public(name)) and name != "leaks"] + ["leaks"]
    classes = [name for name in miner.__all__ if inspect.isclass(public(name))]
    stages = [name.replace(" ", "_") for name in STAGES]
    assert sorted([*functions, *classes, *stages]) == sorted(miner.__all__)
    parts = [_HEAD, "## Functions", *(_function(f"miner.{name}", public(name)) for name in functions)]
    parts += ["## Stages", _OPTIONS, *(_stage(name) for name in stages)]
    parts += ["## Classes", *(_class(name) for name in classes)]
    return "\n".join(part.strip() + "\n" for part in parts)


def public(name: str) -> Any:
    """What a public name stands for; the function behind a package that can be called."""
    if name.replace("_", " ") in STAGES:
        return stage_function(name.replace("_", " "))
    return miner._function("leaks") if name == "leaks" else getattr(miner, name)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class defines."""
    for name, member in vars(cls).items():
        if not name.startswith("_") and (callable(member) or hasattr(member, "__get__")):
            yield name, member


def _function(title: str, function: Any, level: str = "###") -> str:
    shown = f"{level} {title}\n\n`{title.rpartition('.')[2]}{_signature(function)}`\n\n"
    table = f"\n\n{_table(LeaksOptions)}" if function is public("leaks") else ""
    return shown + markdown(_without_options(function)) + table


def _stage(name: str) -> str:
    function: StageFunction = public(name)
    first = next(iter(inspect.signature(function).parameters))
    more = ', workspace="datasets_out/default"' if name == "embed" else ""
    signature = f"`{name}({first}, *{more}, force=False, quiet=False, **options)`\n\n"
    return f"### miner.{name}\n\n{signature}{markdown(_without_options(function))}\n\n{_table(function.options)}"


def _without_options(function: Any) -> str:
    """The docstring, whose end lists the options that the table lists."""
    return (inspect.getdoc(function) or "").partition("\n\nOptions, as keyword")[0]


def _table(options: type[Options]) -> str:
    """The options that are keywords, in the order of the help page."""
    fields = options.model_fields
    rows = []
    for flag in flags_of(options):
        if details_of(fields[flag.name])["argument"]:
            continue
        marker = flag.annotation.__metadata__[0]
        shown = "needed" if fields[flag.name].is_required() else f"`{fields[flag.name].default!r}`"
        choices = f"`{marker.metavar}`. " if "|" in (marker.metavar or "") else ""
        usual = f" If not given: {text}." if (text := details_of(fields[flag.name])["shown_default"]) else ""
        rows.append(
            (PANELS.index(marker.rich_help_panel or "options"), f"`{flag.name}`", shown, choices + marker.help + usual)
        )
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row[1:]) for row in sorted(rows, key=lambda row: row[0])]
    return "\n".join(["| option | default | |", "|---|---|---|", *(f"| {line} |" for line in lines)])


def _class(name: str) -> str:
    cls = public(name)
    parts = [f"### miner.{name}\n"]
    if "Args:" in (inspect.getdoc(cls) or ""):
        parts.append(f"`{name}{_signature(cls.__init__)}`\n")
    parts.append(markdown(inspect.getdoc(cls) or "") + "\n")
    for title, member in members(cls):
        if inspect.isfunction(member):
            parts.append(_function(f"{name}.{title}", member, "####") + "\n")
        else:
            parts.append(f"#### {name}.{title}\n\n{markdown(inspect.getdoc(member) or '')}\n")
    return "\n".join(parts)


def _signature(function: Any) -> str:
    """The arguments as they are written, without quotes around types."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    node.args.args = [arg for arg in node.args.args if arg.arg != "self"]
    for arg in [*node.args.args, *node.args.kwonlyargs]:
        if isinstance(arg.annotation, ast.Constant):
            arg.annotation = ast.Name(arg.annotation.value)
    returned = (
        node.returns.value if isinstance(node.returns, ast.Constant) else node.returns and ast.unparse(node.returns)
    )
    return f"({ast.unparse(node.args).replace('=', ' = ')})" + (f" -> {returned}" if returned else "")


def markdown(docstring: str) -> str:
    """A docstring as Markdown: the items of its sections as lists, and its examples as blocks."""
    found: list[str] = []
    example = False
    for line in docstring.split("\n"):
        if example and not line:
            found.append("```")
        elif line.startswith(">>>") and not example:
            found += ["```pycon"]
        example = bool(line) and (example or line.startswith(">>>"))
        if example:
            found.append(line)
        elif section := _SECTION.match(line):
            found += ["", f"**{section[1]}**", ""]
        elif line.startswith("    ") and line[4] != " ":
            found.append("- " + _ITEM.sub(r"`\1`: ", line[4:], count=1))
        else:
            found.append(f"  {line.strip()}" if line.startswith("        ") else line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join([*found, "```"] if example else found))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
