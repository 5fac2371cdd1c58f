"""The socket of the server, its link, and its end on Ctrl-C."""

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from miner.errors import MinerError, UsageError

_PORTS_TRIED = 100
_BACKLOG = 512
_LAST_REQUESTS_S = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the first free port at or above `port`.

    Raises:
        UsageError: the address does not belong to this machine, or the port needs special rights.
        MinerError: all ports tried are taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UsageError(f"--host {host} is not known here: {error.strerror}.") from error
    for number in range(port, min(port + _PORTS_TRIED, 65536)):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address[0], number, *address[2:]))
            listener.listen(_BACKLOG)
            return listener
        except PermissionError as error:
            listener.close()
            raise UsageError(f"--port {number} needs special rights. Choose one above 1023.") from error
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise UsageError(f"--host {host} cannot be listened on: {error.strerror}.") from error
    raise MinerError(f"All ports from {port} to {port + _PORTS_TRIED - 1} are taken. Choose another --port.")


def link(listener: socket.socket, host: str, token: str | None) -> str:
    """The link to open. A server that listens on all addresses is named by the name of this machine."""
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listener.getsockname()[1]}/" + (f"?token={token}" if token else "")


def serve(app: Starlette, listener: socket.socket, announce: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM, and finish those in progress. `announce` is called when signals are handled.

    The server has a thread of its own: the cell of a notebook runs inside an event loop, where no second one can start.

    Raises:
        UsageError: this is not the main thread, the only one that signals reach.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_REQUESTS_S,
    )
    server = uvicorn.Server(config)
    with _stopped_by_signals(server), ThreadPoolExecutor(1) as threads:
        announce()
        threads.submit(server.run, sockets=[listener]).result()


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Signals stop the server, not the command or the notebook."""
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("A page is served until an interrupt, which reaches the main thread alone. Start it there.")
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, server.handle_exit) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
