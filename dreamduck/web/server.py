"""The web server behind the page: its routes, its connections, and how it starts and stops."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import WSCloseCode, web

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError, DreamDuckError
from dreamduck.common.processes.threads import cores
from dreamduck.web import limits
from dreamduck.web.access import COOKIE, HEADERS, Guard, RequestHandler
from dreamduck.web.connection import Connection
from dreamduck.web.protocol import MAX_MESSAGE
from dreamduck.web.recording import SERVED
from dreamduck.web.session_factory import SessionFactory
from dreamduck.web.tab import Tab

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
HEARTBEAT = 15.0  # [s] a tab that answers no ping for so long is gone
REQUEST_LIMIT = 10.0  # [s] for a request to be sent, and for an idle connection
BODY_LIMIT = 1.0  # [s] for the rest of a body that nobody reads
SEND_LIMIT = 300.0  # [s] for an answer to be taken, a video for example
HANG_UP_LIMIT = 0.5  # [s] for a tab to answer the close
STOP_LIMIT = 1.0  # [s] for worlds to end when the server stops
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """Where the page is served, and to how many."""

    host: str = option("127.0.0.1", "address to listen on; anything but loopback needs the token")
    port: int = option(8064, "port; 0 takes any free one", low=0, high=65535)
    token: str = option("", "secret for an address that is not loopback; random by default")
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
        self._guard = Guard(config.host, config.token, config.origin)
        self._factory = factory
        self._files = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in TYPES}
        self._tabs: dict[Connection, asyncio.Task[Any] | None] = {}
        self._stopping = False
        # One thread for each world's call, and one to answer.
        self._threads = ThreadPoolExecutor(config.max_worlds + 1, "dreamduck-world")
        self._turns = asyncio.Semaphore(cores())
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.address = ""
        self._warm = False

    def application(self) -> web.Application:
        """The routes and the guard in front of them."""
        # No request has a body worth reading; what comes over the socket is limited there.
        app = web.Application(middlewares=[self._check], client_max_size=1024)
        app.router.add_get("/", self._index)
        app.router.add_get("/socket", self._socket)
        app.router.add_get("/status", self._status)
        app.router.add_get("/videos/{name}", self._video)
        app.router.add_get("/page/{name:[a-z_]+\\.[a-z]+}", self._file)
        app.on_response_prepare.append(_add_headers)
        return app

    async def start(self) -> str:
        """Listen; returns the address to open, with the token in it where there is one.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._runner = runner = web.AppRunner(self.application(), shutdown_timeout=0.1)
        await runner.setup()
        loop = asyncio.get_running_loop()
        most = limits.connection_limit(self.config.max_worlds)

        def answer() -> asyncio.BaseProtocol:
            assert runner.server is not None
            if len(runner.server.connections) >= most:
                return limits.Refusal()
            return RequestHandler(
                runner.server,
                loop=loop,
                logger=limits.http_log,
                keepalive_timeout=REQUEST_LIMIT,
                lingering_time=BODY_LIMIT,
            )

        try:
            self._listener = await loop.create_server(
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
        self.address = f"http://{host}:{port}/" + (
            f"?token={quote(token)}" if (token := self._guard.token) else ""
        )
        return self.address

    def warm(self) -> None:
        """Compile what the worlds run on before the first episode needs it."""
        try:
            self._factory.compile()
        except DreamDuckError as err:
            log.warning("the road cannot be driven on: %s", err)
        self._warm = True

    async def stop(self) -> None:
        """End every world and stop listening; a tab that does not end within STOP_LIMIT is cut off."""
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

    @web.middleware
    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._guard.check(request)
        response = await handler(request)
        if isinstance(response, web.FileResponse):
            async with asyncio.timeout(SEND_LIMIT):
                await response.prepare(request)
        return response

    # ---------------------------------------------------------------- responses

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if "token" in request.query and self._guard.token:
            # From now on a cookie holds the token, so that a copied address does not give it away.
            response = web.Response(status=303, headers={"Location": "/"})
            response.set_cookie(COOKIE, self._guard.token, httponly=True, samesite="Strict", path="/")
            return response
        return self._page("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self._page(request.match_info["name"])

    def _page(self, name: str) -> web.StreamResponse:
        if name not in self._files:
            raise web.HTTPNotFound
        kind = TYPES[Path(name).suffix]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def _video(self, request: web.Request) -> web.StreamResponse:
        path = self._factory.recorder.video(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Type": SERVED[path.suffix]})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"worlds": len(self._tabs), "max_worlds": self.config.max_worlds, "warm": self._warm}
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._guard.check_origin(request)
        # Images hardly compress, and compressing them would cost more than computing them.
        tab_socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=False, timeout=HANG_UP_LIMIT
        )
        await tab_socket.prepare(request)
        if len(self._tabs) >= self.config.max_worlds:
            text = f"{self.config.max_worlds} tabs drive already; close one, or raise --max-worlds"
            await _hang_up(request, tab_socket, WSCloseCode.TRY_AGAIN_LATER, text)
            return tab_socket
        tab = Connection(tab_socket, Tab(tab_socket, self._factory, self._threads, self._turns))
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
    """Add the headers to every response, a refusal too."""
    response.headers.update(HEADERS)
