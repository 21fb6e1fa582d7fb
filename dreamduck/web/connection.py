"""The connection of one browser tab: its messages, and their errors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import WSMsgType, web

from dreamduck.common.errors import ConfigError, DreamDuckError, MessageError
from dreamduck.web import protocol
from dreamduck.web.replay import Cancelled
from dreamduck.web.tab import Tab

log = logging.getLogger(__name__)

MAX_BAD_MESSAGES = 20  # so many one after the other, and the connection is closed
MAX_WAITING = 200  # messages that wait for a slow world
# Of these the newest takes the place of one that waits, while an episode is saved for example.
NEWEST_COUNTS = (protocol.SetAction, protocol.SetTemperature, protocol.SetPace, protocol.SetInView)
Received = protocol.Message | protocol.Frame | DreamDuckError


class Connection:
    """What happens between one tab and its world.

    Args:
        socket: open.
        tab: at its other end.
    """

    def __init__(self, socket: web.WebSocketResponse, tab: Tab) -> None:
        self._socket, self._tab = socket, tab
        self._received: asyncio.Queue[Received] = asyncio.Queue(MAX_WAITING)
        self._newest: dict[type, Received] = {}  # of the kinds that wait
        self._stopped = asyncio.Event()
        self._bad_messages = 0

    def stop(self) -> None:
        """Make `serve` end the world and return; a replay is stopped at its next step."""
        self._tab.gone = True
        self._stopped.set()

    async def serve(self) -> None:
        """Answer until the tab is closed; then end its world."""
        works = (self._receive, self._answer, self._tab.run, self._stopped.wait)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work()) for work in works]
        try:
            # Whichever ends first: a world that fails must not leave its tab waiting for ever.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._tab.gone = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._tab.close()

    async def _receive(self) -> None:
        """Take messages until the tab is closed.

        They are answered elsewhere: a world may take a minute to be made, and without reading for so long
        no heartbeat would arrive.
        """
        async for message in self._socket:
            if message.type == WSMsgType.ERROR:
                break
            received = _read(message.type, message.data)
            if isinstance(received, protocol.Begin | protocol.OpenLink):
                self._tab.newest = received
            if isinstance(received, NEWEST_COUNTS):
                waits = type(received) in self._newest
                self._newest[type(received)] = received
                if waits:
                    continue
            try:
                self._received.put_nowait(received)
            except asyncio.QueueFull:
                await self._socket.close(code=1008, message=b"too many messages at once")
                break

    async def _answer(self) -> None:
        """Answer one message after the other, until too many in a row were bad."""
        await self._tab.greet()
        while self._bad_messages < MAX_BAD_MESSAGES:
            received = await self._received.get()
            received = self._newest.pop(type(received), received)
            try:
                if isinstance(received, DreamDuckError):
                    raise received
                if isinstance(received, protocol.Message):
                    await self._tab.handle(received)
                else:
                    await self._tab.keep_image(received)
                self._bad_messages = 0
            except (DreamDuckError, OSError) as err:
                if isinstance(err, ConnectionError):
                    raise
                await self._tab.send_error(err)
                self._bad_messages += isinstance(err, MessageError | ConfigError)
            except Cancelled:
                log.debug("a replay was stopped for a newer message")
        await self._socket.close(code=1008, message=b"too many bad messages")


def _read(kind: WSMsgType, data: Any) -> Received:
    """A message, an image, or what is wrong with it."""
    try:
        return protocol.image(data) if kind == WSMsgType.BINARY else protocol.parse(data)
    except DreamDuckError as err:
        return err
