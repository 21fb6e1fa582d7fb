"""The web server behind the page: who may come in, and what they get.

On loopback anybody on this machine may drive, but only
pages that this server itself sent may talk to it; on any other address a token is needed as well."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import WSCloseCode, web

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError, DreamDuckError
from dreamduck.web import limits
from dreamduck.web.handler import Connection, SessionFactory
from dreamduck.web.protocol import MAX_MESSAGE
from dreamduck.web.session import Session
from dreamduck.web.share_link import Start
from dreamduck.window.policy_switch import EXPERT

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
COOKIE = "dreamduck"
HEARTBEAT = 15.0  # [s] a tab that answers no ping for so long is gone
REQUEST_LIMIT = 10.0  # [s] for a request to be sent, and for an idle connection
BODY_LIMIT = 1.0  # [s] for the rest of a body that nobody reads
SEND_LIMIT = 300.0  # [s] for an answer to be taken, a video for example
HANG_UP_LIMIT = 0.5  # [s] for a tab to say goodbye
STOP_LIMIT = 1.0  # [s] for worlds to end when the server stops
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
    token: str = option("", "what guards an address that is not loopback; random by default")
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
        factory: makes the worlds.
    """

    def __init__(self, config: ServerConfig, factory: SessionFactory) -> None:
        self.config = config
        self.local = is_loopback(config.host)
        self.token = config.token or ("" if self.local else secrets.token_urlsafe(24))
        self._factory = factory
        self._files = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in TYPES}
        self._tabs: dict[Connection, asyncio.Task[Any] | None] = {}
        self._stopping = False
        # One thread for each world's call, and one to answer.
        self._threads = ThreadPoolExecutor(config.max_worlds + 1, "dreamduck-world")
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
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
        app.on_response_prepare.append(_add_headers)
        return app

    async def start(self) -> str:
        """Listen; returns the address to open, with the token in it where there is one.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._runner = runner = web.AppRunner(
            self.application(),
            access_log=None,
            logger=limits.http_log,
            keepalive_timeout=REQUEST_LIMIT,
            lingering_time=BODY_LIMIT,
            shutdown_timeout=0.1,
        )
        await runner.setup()
        most = limits.connection_limit(self.config.max_worlds)

        def answer() -> asyncio.BaseProtocol:
            assert runner.server is not None
            return runner.server() if len(runner.server.connections) < most else limits.Refusal()

        try:
            self._listener = await asyncio.get_running_loop().create_server(
                answer, self.config.host, self.config.port, backlog=limits.BACKLOG, reuse_address=True
            )
        except (OSError, OverflowError, UnicodeError) as err:
            await runner.cleanup()
            where = f"{self.config.host}:{self.config.port}"
            reason = getattr(err, "strerror", None) or err
            raise ConfigError(f"{where}: cannot be listened on ({reason}); try --port 0") from err
        for bound in self._listener.sockets:
            with socket.fromfd(bound.fileno(), bound.family, bound.type) as copy:
                copy.listen(limits.WAITING)  # few are accepted at once, but many may wait
        port = self._listener.sockets[0].getsockname()[1]
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        self.address = f"http://{host}:{port}/" + (f"?token={quote(self.token)}" if self.token else "")
        return self.address

    def warm(self) -> None:
        """Drive a step on a road of its own, so that its code is compiled by the time somebody wants it."""
        try:
            session = Session(self._factory.make(Start("road", self._factory.describe()["map_name"])))
            session.choose_driver(EXPERT)
            session.advance()
            session.look()
            session.close()
        except DreamDuckError as err:
            log.warning("the road cannot be driven on: %s", err)
        self._warm = True

    async def stop(self) -> None:
        """End every world and stop listening; who does not end within STOP_LIMIT is cut off."""
        if self._runner is None or self._listener is None:
            return
        runner, self._runner = self._runner, None
        self._stopping = True
        self._listener.close()
        for tab in self._tabs:
            tab.stop()
        tasks = [task for task in self._tabs.values() if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_LIMIT)
        for handler in runner.server.connections if runner.server else ():
            if handler.transport is not None:
                handler.transport.abort()
        await runner.cleanup()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---------------------------------------------------------------- who may come in

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._check_host(request)
        if self.token and not self._knows_token(request):
            raise web.HTTPForbidden(
                text="The address that the server printed holds a token; open that one.\n"
            )
        response = await handler(request)
        if isinstance(response, web.FileResponse):
            async with asyncio.timeout(SEND_LIMIT):
                await response.prepare(request)
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
        if name not in self._files:
            raise web.HTTPNotFound
        kind = TYPES[Path(name).suffix]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def _film(self, request: web.Request) -> web.StreamResponse:
        path = self._factory.recorder.film(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Type": "video/mp4"})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"worlds": len(self._tabs), "max_worlds": self.config.max_worlds, "warm": self._warm}
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._check_origin(request)
        # Pictures hardly compress, and compressing them would cost more than their worlds.
        tab_socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=False, timeout=HANG_UP_LIMIT
        )
        await tab_socket.prepare(request)
        if len(self._tabs) >= self.config.max_worlds:
            text = f"{self.config.max_worlds} tabs drive already; close one, or raise --max-worlds"
            await _hang_up(request, tab_socket, WSCloseCode.TRY_AGAIN_LATER, text)
            return tab_socket
        tab = Connection(tab_socket, self._factory, self._threads)
        self._tabs[tab] = asyncio.current_task()
        try:
            await tab.serve()
        except ConnectionError:
            log.debug("a tab went away")
        finally:
            del self._tabs[tab]
            if self._stopping:
                await _hang_up(request, tab_socket, WSCloseCode.GOING_AWAY, "the server stops")
            else:
                await _hang_up(request, tab_socket, WSCloseCode.OK, "")
        return tab_socket


async def _hang_up(request: web.Request, tab_socket: web.WebSocketResponse, code: int, text: str) -> None:
    """Close a tab's socket; one that does not read is cut off."""
    try:
        async with asyncio.timeout(2 * HANG_UP_LIMIT):
            await tab_socket.close(code=code, message=text.encode())
    except TimeoutError:
        log.debug("a tab did not read its goodbye")
    if request.transport is not None:
        request.transport.abort()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer carries them, a refusal too."""
    response.headers.update(HEADERS)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
