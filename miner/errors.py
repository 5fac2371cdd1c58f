"""Errors that people read: what happened, to which file or option, and what to do next."""

from functools import cache

DISTRIBUTION = "semantic-pair-miner"


class MinerError(Exception):
    """The work failed. The message is one paragraph for the user; the command exits with code 1.

    >>> try:
    ...     miner.open("nowhere")
    ... except miner.MinerError as error:
    ...     print(str(error).partition(".")[0])
    There is no workspace nowhere
    """

    exit_code = 1


class UsageError(MinerError):
    """The request itself is wrong (an option, a value, a combination). The command exits with code 2."""

    exit_code = 2


@cache
def install_extra(extra: str) -> str:
    """The command that adds an optional part, such as `ray`, to the package as it is installed: from a checkout or a wheel."""
    import json  # both only for a message: `import miner` loads next to nothing
    from importlib import metadata

    try:
        origin = json.loads(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:  # the package runs from its folder
        origin = {"dir_info": {"editable": True}}
    editable = origin.get("dir_info", {}).get("editable", False)
    return f"pip install -e '.[{extra}]'" if editable else f"pip install '{DISTRIBUTION}[{extra}]'"
