"""Access control of the page: names of this machine, origins, a token; and the headers of every response.

On loopback any user of this machine may drive, but only pages from this server may connect to it;
on any other address a token is needed as well."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "dreamduck"
HEADERS = {
    # Nothing is loaded from elsewhere, and no other site may show the page in a frame.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "style-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """The checks of every request.

    Args:
        host: the address that is listened on.
        token: "" for a random one where the address is not loopback, and for none where it is.
        origin: one more origin to allow; "" for none.

    Attributes:
        token: that a request must know; "" where there is none.
    """

    def __init__(self, host: str, token: str, origin: str) -> None:
        self._local = is_loopback(host)
        self.token = token or ("" if self._local else secrets.token_urlsafe(24))
        self._origin = origin

    def check(self, request: web.Request) -> None:
        """Refuse a foreign host name, and a request without the token.

        Raises:
            HTTPForbidden: says what was expected.
        """
        self._check_host(request)
        given = request.query.get("token", "") or request.cookies.get(COOKIE, "")
        if self.token and not hmac.compare_digest(given.encode(errors="replace"), self.token.encode()):
            raise web.HTTPForbidden(
                text="The address that the server printed holds a token; open that one.\n"
            )

    def _check_host(self, request: web.Request) -> None:
        """Refuse a name that is not ours: another site's name may be made to point to us."""
        if not self._local or (self._origin and urlsplit(self._origin).netloc == request.host):
            return
        try:
            name = urlsplit(f"//{request.host}").hostname or ""
        except ValueError:  # half an IPv6 address, for example
            name = ""
        if not is_loopback(name):
            raise web.HTTPForbidden(text=f"Expected the host to be this machine, got {name[:80]!r}.\n")

    def check_origin(self, request: web.Request) -> None:
        """Refuse sockets that other sites' pages open; a program that is no browser sends no origin.

        Raises:
            HTTPForbidden: says what was expected.
        """
        ours = [f"http://{request.host}", f"https://{request.host}", self._origin]
        for origin in request.headers.getall("Origin", []):
            if not origin or origin not in ours:
                text = f"Expected the page of this server, got one of {origin[:80]!r}.\n"
                raise web.HTTPForbidden(text=text)


class RequestHandler(web.RequestHandler):
    """A connection whose responses to bytes that are not HTTP carry the headers too."""

    __slots__ = ()

    def handle_error(self, *arguments: Any, **keywords: Any) -> web.StreamResponse:
        """The response to an error."""
        response = super().handle_error(*arguments, **keywords)
        response.headers.update(HEADERS)
        return response


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
