"""How a command serves its page: the token, the link, and what it says."""

import importlib
import secrets
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from miner.errors import MinerError, install_extra
from miner.server.options import ServerOptions

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from miner.server.images import ImageStore

_TOKEN_BYTES = 18


def require_server(command: str, note: str = "") -> None:
    """Refuse to go on without the libraries of the server.

    Raises:
        MinerError: one of them is not installed.
    """
    for package in ("starlette", "uvicorn"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MinerError(
                f"miner {command} needs {package}. Install it with: {install_extra('review')}{note}."
            ) from error


def serve_page(
    command: str,
    options: ServerOptions,
    application_of: "Callable[[str | None], Starlette]",
    images: "ImageStore",
    facts: str,
    purpose: str,
) -> None:
    """Serve a page until Ctrl-C.

    Args:
        application_of: makes the application, which needs this token.
        images: opened while the page is shown.
        facts: what the page is about, for the terminal.
        purpose: what others may use the link for.
    Raises:
        MinerError: the address or its ports cannot be used.
    """
    from miner.server.guard import is_loopback
    from miner.server.listen import link, listen, serve

    token = options.token or (None if is_loopback(options.host) else secrets.token_urlsafe(_TOKEN_BYTES))
    with listen(options.host, options.port) as listener:
        address = link(listener, options.host, token)

        def announce() -> None:
            if not is_loopback(options.host):
                tell(
                    f"{command}: WARNING: other machines can reach this page, and the connection is not encrypted. "
                    f"Give the link only to {purpose}."
                )
            if options.port not in (0, listener.getsockname()[1]):
                tell(f"{command}: port {options.port} is taken, so the page has another port")
            tell(f"{command}: {facts}")
            tell(f"{command}: open {address} and press Ctrl-C here at the end (in a notebook: interrupt the kernel)")
            threading.Thread(target=_open_images, args=(command, images), daemon=True).start()
            if options.open:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        serve(application_of(token), listener, announce)


def tell(line: str) -> None:
    """Print a line for people while the page is served."""
    print(line, file=sys.stderr, flush=True)


def _open_images(command: str, images: "ImageStore") -> None:
    if problem := images.open():
        tell(f"{command}: {problem} Only images that the exported shards hold can be shown.")
