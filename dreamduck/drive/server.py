"""The web server behind the page: who may come in, and what they get.

Flow: connection -> [server] -> browser. On loopback anybody on this machine may drive, but only
pages that this server itself sent may talk to it; on any other address a token is needed as well."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import ipaddress
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

from aiohttp import WSCloseCode, web

from dreamduck.config import check, option
from dreamduck.drive.connection import Connection, Workshop
from dreamduck.drive.messages import MAX_MESSAGE
from dreamduck.drive.session import EXPERT, Session
from dreamduck.drive.start import Start
from dreamduck.errors import ConfigError, DreamDuckError

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
COOKIE = "dreamduck"
HEARTBEAT = 15.0  # [s] a tab that answers no ping for so long is gone
HEADERS = {
    # Nothing is loaded from elsewhere, and nobody else may show the page inside theirs.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "style-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """Where the page is served, and to how many."""

    host: str = option("127.0.0.1", "address to listen on; anything but loopback needs the token")
    port: int = option(8064, "port; 0 takes any free one", low=0, high=65535)
    token: str = option("", "what guards an address that is not loopback; drawn anew by default")
    max_worlds: int = option(8, "tabs that may drive at once", low=1, high=64)
    origin: str = option("", "one more origin to allow, for a proxy, such as https://example.org")

    def __post_init__(self) -> None:
        check(self)
        if self.token and len(self.token) < 16:
            raise ConfigError(f"token: expected at least 16 characters, got {len(self.token)}")
        if self.origin and not re.fullmatch(r"https?://[^/?#@]+", self.origin):
            raise ConfigError(
                f"origin: expected one such as https://example.org, without a path, got {self.origin!r}"
            )


class Server:
    """The page's server.

    Args:
        config: where, and to how many.
        workshop: makes the worlds.
    """

    def __init__(self, config: ServerConfig, workshop: Workshop) -> None:
        self.config = config
        self.local = is_loopback(config.host)
        self.token = config.token or ("" if self.local else secrets.token_urlsafe(24))
        self._workshop = workshop
        self._sockets: set[web.WebSocketResponse] = set()
        # One thread for each world's call, and one to answer.
        self._threads = ThreadPoolExecutor(config.max_worlds + 1, "dreamduck-world")
        self._runner: web.AppRunner | None = None
        self.address = ""
        self._warm = False

    def application(self) -> web.Application:
        """The routes and the guard in front of them."""
        # No request has a body worth reading; what comes over the socket is limited there.
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/", self._index)
        app.router.add_get("/socket", self._socket)
        app.router.add_get("/status", self._status)
        app.router.add_get("/films/{name}", self._film)
        app.router.add_get("/page/{name:[a-z_]+\\.[a-z]+}", self._file)
        app.on_shutdown.append(self._shut_sockets)
        app.on_cleanup.append(self._stop_threads)
        return app

    async def start(self) -> str:
        """Listen; returns the address to open, with the token in it where there is one.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._runner = web.AppRunner(self.application(), access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port)
        try:
            await site.start()
        except OSError as err:
            await self._runner.cleanup()
            where = f"{self.config.host}:{self.config.port}"
            raise ConfigError(f"{where}: cannot be listened on ({err.strerror}); try --port 0") from err
        port = self._runner.addresses[0][1]
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        self.address = f"http://{host}:{port}/" + (f"?token={quote(self.token)}" if self.token else "")
        return self.address

    def warm(self) -> None:
        """Drive a step on a road of its own, so that its code is compiled by the time somebody wants it."""
        try:
            world = self._workshop.make(Start("road", self._workshop.describe()["map_name"]))
            session = Session(world)
            session.choose_driver(EXPERT)
            session.advance()
            session.look()
            session.close()
        except DreamDuckError as err:
            log.warning("the road cannot be driven on: %s", err)
        self._warm = True

    async def stop(self) -> None:
        """End every world and stop listening."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    # ---------------------------------------------------------------- who may come in

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._check_host(request)
        if self.token and not self._knows_token(request):
            raise web.HTTPForbidden(
                text="The address that the server printed holds a token; open that one.\n"
            )
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _check_host(self, request: web.Request) -> None:
        """Refuse a name that is not ours: some other site's name may be made to point to us."""
        if not self.local or (self.config.origin and urlsplit(self.config.origin).netloc == request.host):
            return
        try:
            name = urlsplit(f"//{request.host}").hostname or ""
        except ValueError:  # half an IPv6 address, for example
            name = ""
        if not is_loopback(name):
            raise web.HTTPForbidden(text=f"Expected the host to be this machine, got {name[:80]!r}.\n")

    def _knows_token(self, request: web.Request) -> bool:
        given = request.query.get("token", "") or request.cookies.get(COOKIE, "")
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _check_origin(self, request: web.Request) -> None:
        """Refuse sockets that other sites' pages open; a program that is no browser sends no origin."""
        ours = [f"http://{request.host}", f"https://{request.host}"]
        if self.config.origin:
            ours.append(self.config.origin)
        for origin in request.headers.getall("Origin", []):
            if origin not in ours:
                text = f"Expected the page of this server, got one of {origin[:80]!r}.\n"
                raise web.HTTPForbidden(text=text)

    # ---------------------------------------------------------------- what they get

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if "token" in request.query and self.token:
            # From now on a cookie holds the token, so that a copied address does not give it away.
            response = web.Response(status=303, headers={"Location": "/"})
            response.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict", path="/")
            return response
        return self._page("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self._page(request.match_info["name"])

    def _page(self, name: str) -> web.StreamResponse:
        path = next((p for p in PAGE.iterdir() if p.name == name and p.suffix in TYPES), None)
        if path is None:
            raise web.HTTPNotFound
        return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], charset="utf-8")

    async def _film(self, request: web.Request) -> web.StreamResponse:
        path = self._workshop.recorder.film(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={**HEADERS, "Content-Type": "video/mp4"})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"worlds": len(self._sockets), "max_worlds": self.config.max_worlds, "warm": self._warm}
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._check_origin(request)
        # Pictures hardly compress, and compressing them would cost more than their worlds.
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=False)
        await socket.prepare(request)
        if len(self._sockets) >= self.config.max_worlds:
            text = f"{self.config.max_worlds} tabs drive already; close one, or raise --max-worlds"
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=text.encode())
            return socket
        self._sockets.add(socket)
        try:
            await Connection(socket, self._workshop, self._threads).serve()
        except ConnectionError:
            log.debug("a tab went away")
        finally:
            self._sockets.discard(socket)
        return socket

    async def _shut_sockets(self, app: web.Application) -> None:
        closing = [
            socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops")
            for socket in self._sockets
        ]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _stop_threads(self, app: web.Application) -> None:
        self._threads.shutdown(wait=True)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
