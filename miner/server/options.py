"""Options of every command that serves a page."""

from miner.options import Options, option


class ServerOptions(Options):
    """Where the page is, and who can reach it."""

    port: int = option(8471, ge=0, le=65535, panel="server")
    """Port of the page. If the port is taken, the next free one is used."""
    host: str = option("127.0.0.1", panel="server")
    """Address to listen on. If other machines can reach the address, the page needs an access token, which the printed link
    contains."""
    token: str | None = option(None, min_length=16, exclude=True, panel="server")
    """Your own access token, so that a link stays valid after a restart. If not given: a new token, if the page needs one."""
    open: bool = option(False, panel="server")
    """Open the page in a browser of this machine."""
