"""Errors that people read: what happened, to which file or option, and what to do next."""

from pathlib import Path

DISTRIBUTION = "semantic-pair-miner"
_CHECKOUT = Path(__file__).parents[1] / "pyproject.toml"


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


def install_extra(extra: str) -> str:
    """The command that adds an optional part, such as `ray`, to the package as it runs: from a checkout or as a wheel."""
    return f"pip install -e '.[{extra}]'" if _CHECKOUT.is_file() else f"pip install '{DISTRIBUTION}[{extra}]'"
