"""Errors that people read: what happened, to which file or option, and what to do next."""


class MinerError(Exception):
    """The work failed. The message is one paragraph for the user; the command exits with code 1."""

    exit_code = 1


class UsageError(MinerError):
    """The request itself is wrong (an option, a value, a combination). The command exits with code 2."""

    exit_code = 2
