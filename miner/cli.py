"""The entry point: runs a command, and turns what stops it into one paragraph and an exit code."""

import atexit
import io
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from miner.commands.app import app
from miner.engine import explain_write_error
from miner.engine.heap import share_one_heap
from miner.errors import MinerError


class _Interrupted(BaseException):
    """The user or the system asked to stop. No library takes it for one of its own errors."""


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted


def program() -> NoReturn:
    """The process of a command: `main`, the exit hooks, and an end that does not take the interpreter apart.

    Before Python 3.14, a thread of a C++ library (Arrow's, torch's) that asks for the interpreter while it is taken apart aborts
    the process: a command that did its work, or said what is wrong, ended with SIGABRT instead of its exit code.
    """
    code: str | int | None = None
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends a process: threads, hooks, streams
    atexit._run_exitfuncs()
    status = code if isinstance(code, int) else int(code is not None)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        status = status or 1
    os._exit(status)


def main() -> None:
    """Entry point: errors for people, exit code 1 for failed work and 2 for wrong usage."""
    _use_utf8()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack characters, and a path may be no UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    share_one_heap()
    try:
        app()
    except MinerError as error:
        _fail(error)
    except _Interrupted:
        print("Interrupted. What was finished is kept; the same command continues.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if os.environ.get("MINER_DEBUG"):
            raise
        explained = explain_write_error(error, Path(getattr(error, "filename", None) or "."))
        if isinstance(explained, MinerError):
            _fail(explained)
        kind = type(error).__name__
        print(f"Error: {kind}: {error}. This is a fault of miner; --debug shows where it happened.", file=sys.stderr)
        sys.exit(1)


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode if the locale has another encoding: keys and records must not depend on it."""
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:
        os.environ["PYTHONUTF8"] = "1"  # for processes that are started from here
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _fail(error: MinerError) -> NoReturn:
    if os.environ.get("MINER_DEBUG"):
        raise error
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
