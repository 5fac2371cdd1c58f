"""Access to the server: from this machine, its own page; from other machines, only with the access token.

Starlette's TrustedHostMiddleware is not used: its patterns cannot allow every IP address, and its refusal does not say what to do.
"""

import base64
import hashlib
import re
import secrets
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def content_security_policy(page: str) -> str:
    """A policy that allows the inline script and style of the page, and requests to this server, and nothing else."""

    def sources(tag: str) -> str:
        blocks = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {sources('script')}; style-src {sources('style')}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Guard:
    """Middleware that checks every request, and adds headers that keep browsers strict.

    - Host: must name this machine. Otherwise an attacker could point a domain at this address (DNS rebinding).
    - Origin and Sec-Fetch-Site: must be those of the page itself, so that a form or script of another site changes nothing.
    - Token: if there is one, the link must carry it once; a cookie keeps it from then on.

    Args:
        command: the name of the command that serves the page.
        host: address that the server listens on.
        policy: Content-Security-Policy of the page.
    """

    def __init__(self, app: ASGIApp, command: str, host: str, token: str | None, policy: str) -> None:
        self.app, self.command, self.host, self.token = app, command, host.lower(), token
        self.headers = {**_HEADERS, "content-security-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        response = self._refusal(Request(scope)) or self.app
        await response(scope, receive, send_strictly)

    def _refusal(self, request: Request) -> Response | None:
        """The response to a request that must not reach the application, else None."""
        if not self._is_own_host(request.headers.get("host", "")):
            return _refuse(
                f"This address does not belong to `miner {self.command}`. Open the link that it printed, or start it with "
                "--host and this name."
            )
        if request.method != "GET" and not _is_same_origin(request):
            return _refuse(f"Only the page of `miner {self.command}` itself may send this.")
        return self._check_token(request) if self.token else None

    def _is_own_host(self, header: str) -> bool:
        """Whether a Host header is an IP address, localhost, or a name of this machine: an attacker controls none of these."""
        name = _host_name(header)
        if is_loopback(name) or name.endswith(".localhost"):
            return True
        if is_loopback(self.host):
            return False
        try:
            ip_address(name)
        except ValueError:
            machine = socket.gethostname().lower()
            return name in {self.host, machine, f"{machine}.local"}
        return True

    def _check_token(self, request: Request) -> Response | None:
        assert self.token is not None
        server = request.scope.get("server") or ("", 0)
        cookie = f"miner-{self.command}-{server[1]}"
        if _equal(request.cookies.get(cookie, ""), self.token):
            return None
        if request.url.path == "/" and _equal(request.query_params.get("token", ""), self.token):
            response = RedirectResponse("/", 303)
            response.set_cookie(cookie, self.token, httponly=True, samesite="lax")
            return response
        return _refuse(f"This page needs an access token. Open the whole link that `miner {self.command}` printed.")


def _host_name(header: str) -> str:
    """The name in a Host header, without the port; empty if the header is malformed."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_same_origin(request: Request) -> bool:
    """Whether a request comes from the page itself. Browsers send these headers; other programs send neither."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin"):
        return False
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _equal(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _refuse(reason: str) -> Response:
    return PlainTextResponse(reason + "\n", 403)
