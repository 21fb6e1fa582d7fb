"""Messages of one tab: what waits, what is refused, when the connection is closed."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiohttp import WSMsgType

from dreamduck.common.errors import ConfigError
from dreamduck.web import protocol
from dreamduck.web.connection import MAX_BAD_MESSAGES, MAX_WAITING, Connection


class Socket:
    """The page's end: sends texts while the tab is busy, and then waits."""

    def __init__(self, texts: list[str], free: asyncio.Event) -> None:
        self.texts, self.free, self.closed = texts, free, ""

    async def __aiter__(self):
        for text in self.texts:
            await asyncio.sleep(0)
            yield SimpleNamespace(type=WSMsgType.TEXT, data=text)
        self.free.set()
        for _ in range(100):  # what waits is answered
            await asyncio.sleep(0.001)

    async def close(self, code: int, message: bytes) -> None:
        self.closed = message.decode()


class Tab:
    """A tab that is busy until `free`; keeps what it was asked."""

    def __init__(self, free: asyncio.Event, refused: type | None = None) -> None:
        self.free, self.refused = free, refused
        self.handled: list[Any] = []
        self.errors: list[str] = []
        self.gone, self.newest = False, None

    async def greet(self) -> None:
        await self.free.wait()

    async def handle(self, message: protocol.Message) -> None:
        if self.refused and isinstance(message, self.refused):
            raise ConfigError("not here")
        self.handled.append(message)

    async def send_error(self, err: Exception) -> None:
        self.errors.append(str(err))

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        return


def serve(texts: list[str], refused: type | None = None) -> tuple[Socket, Tab]:
    """Send texts, and let the tab answer."""

    async def work() -> tuple[Socket, Tab]:
        free = asyncio.Event()
        socket, tab = Socket(texts, free), Tab(free, refused)
        await Connection(socket, tab).serve()  # type: ignore[arg-type]
        return socket, tab

    return asyncio.run(work())


def action(throttle: float) -> str:
    return f'{{"type":"action","throttle":{throttle},"steering":-0.5}}'


def test_of_actions_that_wait_the_newest_counts():
    """A stick that is moved while an episode is saved."""
    texts = [action(k / 1000) for k in range(3 * MAX_WAITING)]
    texts[40] = '{"type":"temperature","value":0.75}'
    texts[300] = '{"type":"step"}'
    socket, tab = serve(texts)
    assert not socket.closed
    assert [type(one).__name__ for one in tab.handled] == ["SetAction", "SetTemperature", "Step"]
    assert tab.handled[0].throttle == (3 * MAX_WAITING - 1) / 1000


def test_other_messages_are_not_dropped():
    socket, tab = serve(['{"type":"step"}'] * (MAX_WAITING + 5))
    assert socket.closed == "too many messages at once"
    assert not tab.handled


def test_many_bad_messages_in_a_row_close_the_connection():
    bad, good = '{"type":"view_latent","latent":3}', '{"type":"step"}'
    socket, tab = serve([bad] * (MAX_BAD_MESSAGES - 1) + [good] + [bad] * 3, protocol.ViewLatent)
    assert not socket.closed
    assert len(tab.errors) == MAX_BAD_MESSAGES + 2
    socket, tab = serve([bad] * (MAX_BAD_MESSAGES + 1), protocol.ViewLatent)
    assert socket.closed == "too many bad messages"
    assert len(tab.errors) == MAX_BAD_MESSAGES
