"""Who may talk to the server: this machine's own pages, and from elsewhere only those who hold the token."""

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
    """Whether an address is reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def content_security_policy(page: str) -> str:
    """Only the page's own inline script and style run, and only this server is asked for anything."""

    def sources(tag: str) -> str:
        blocks = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {sources('script')}; style-src {sources('style')}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Guard:
    """Checks every request before the application sees it, and adds the headers that keep browsers strict.

    - Host: a page of a stranger's domain that has been pointed at this address (DNS rebinding) arrives with that domain in it.
    - Origin and Sec-Fetch-Site: a form or script of another site cannot make a decision.
    - Token: when there is one, it has to come once in the link, and is kept in a cookie from then on.

    Args:
        app: behind it.
        host: the address listened on.
        token: that is asked for, if any.
        policy: the Content-Security-Policy.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None, policy: str) -> None:
        self.app, self.host, self.token = app, host.lower(), token
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

        answer = self._answer(Request(scope)) or self.app
        await answer(scope, receive, send_strictly)

    def _answer(self, request: Request) -> Response | None:
        """A response instead of the application's."""
        if not self._is_own_host(request.headers.get("host", "")):
            return _refusal(
                "This address does not belong to the review. Open the link that `miner review` printed, "
                "or start it with --host and this name."
            )
        if request.method != "GET" and not _is_same_origin(request):
            return _refusal("Decisions are only taken from the review's own page.")
        return self._without_token(request) if self.token else None

    def _is_own_host(self, header: str) -> bool:
        """Names that an outsider cannot point here: addresses themselves, localhost, and the names of this machine."""
        name = _host_name(header)
        if is_loopback(name) or name.endswith(".localhost"):
            return True
        if is_loopback(self.host):
            return False
        try:
            ip_address(name)
        except ValueError:
            own = socket.gethostname().lower()
            return name in {self.host, own, f"{own}.local"}
        return True

    def _without_token(self, request: Request) -> Response | None:
        assert self.token is not None
        server = request.scope.get("server") or ("", 0)
        cookie = f"miner-review-{server[1]}"
        if _equal(request.cookies.get(cookie, ""), self.token):
            return None
        if request.url.path == "/" and _equal(request.query_params.get("token", ""), self.token):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(cookie, self.token, httponly=True, samesite="lax")
            return answer
        return _refusal("This review asks for its access token. Open the whole link that `miner review` printed.")


def _host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_same_origin(request: Request) -> bool:
    """Browsers say where a request comes from; programs that are no browsers send neither header."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin"):
        return False
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _equal(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _refusal(reason: str) -> Response:
    return PlainTextResponse(reason + "\n", 403)
