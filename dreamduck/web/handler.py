"""One browser tab: its messages in, its moments out, its world ended when it goes.

Worlds compute on a thread, one call at a time for
each tab, so that a slow world holds up neither the others nor the answers to other tabs."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

from aiohttp import WSMsgType, web

from dreamduck.common.errors import ConfigError, DreamDuckError, MessageError, ResetNeeded
from dreamduck.web import protocol, recording
from dreamduck.web.session import REPLAY, Cancelled, Scene, Session, replay
from dreamduck.web.share_link import Start, from_link, to_link

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_COMPLAINTS = 20  # so many bad messages, and the connection is closed
MAX_WAITING = 200  # messages that wait for a slow world
PAUSED_RATE = 30.0  # looks a second while paused, when something is being changed
MAX_TOLD = 500  # characters of an error that the page shows
Heard = protocol.Message | protocol.Frame | DreamDuckError


class SessionFactory(Protocol):
    """What makes worlds; see `dreamduck.web.session_factory.SessionFactory`."""

    def describe(self) -> dict[str, Any]:
        """What the page has to know: worlds, maps, controller, latents."""
        ...

    def outline(self, name: str) -> dict[str, Any]:
        """A map from above."""
        ...

    def make(self, start: Start) -> Scene:
        """Begin an episode."""
        ...

    def latents(self, frame: protocol.Frame) -> tuple[float, ...]:
        """What the VAE sees in a frame."""
        ...

    @property
    def recorder(self) -> recording.Recorder:
        """Where drives are kept."""
        ...


class Connection:
    """What happens between one tab and its world.

    Args:
        socket: open.
        workshop: makes the worlds.
        threads: where they compute.
    """

    def __init__(self, socket: web.WebSocketResponse, workshop: SessionFactory, threads: Executor) -> None:
        self._socket = socket
        self._workshop = workshop
        self._threads = threads
        self._lock = asyncio.Lock()  # one call of the world at a time
        self._session: Session | None = None
        self._open: set[Session] = set()  # all that were made and not closed
        self._picture: protocol.Frame | None = None
        self._running = False
        self._pace = 10.0
        self._changed = asyncio.Event()  # something to show, or running
        self._heard: asyncio.Queue[Heard] = asyncio.Queue(MAX_WAITING)
        self._newest: protocol.Message | None = None  # the last that asks for another world
        self._stopped = asyncio.Event()
        self._gone = False
        self._working: set[asyncio.Future[Any]] = set()
        self._complaints = 0

    def stop(self) -> None:
        """Make `serve` end the world and return; a replay is given up at its next step."""
        self._gone = True
        self._stopped.set()

    async def serve(self) -> None:
        """Answer until the tab is closed; then end its world."""
        works = (self._listen, self._answer, self._tick, self._stopped.wait)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work()) for work in works]
        try:
            # Whichever ends first: a world that fails must not leave its tab waiting for ever.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._gone = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._working:  # a call of the world that was under way; it must not meet its end
                await asyncio.wait(self._working)
            for session in self._open:
                await self._think(session.close)

    async def _listen(self) -> None:
        """Take messages until the tab is closed.

        They are answered elsewhere: a world may take a minute to be made, and whoever does not
        listen for so long hears no heartbeat.
        """
        async for received in self._socket:
            if received.type == WSMsgType.ERROR:
                break
            heard = _read(received.type, received.data)
            if isinstance(heard, protocol.Begin | protocol.Again):
                self._newest = heard  # what is still being made for an older one is given up
            try:
                self._heard.put_nowait(heard)
            except asyncio.QueueFull:
                await self._socket.close(code=1008, message=b"too many messages at once")
                break

    async def _answer(self) -> None:
        """Answer one message after the other."""
        await self._say("hello", **await self._think(self._workshop.describe))
        while await self._hear(await self._heard.get()):
            pass

    async def _hear(self, heard: Heard) -> bool:
        """Take one message; False closes the connection."""
        try:
            if isinstance(heard, DreamDuckError):
                raise heard
            if isinstance(heard, protocol.Message):
                await self._handle(heard)
            else:
                self._picture = heard
                await self._say("picture")
        except (DreamDuckError, OSError) as err:
            if isinstance(err, ConnectionError):
                raise
            await self._complain(err)
            self._complaints += isinstance(err, MessageError | ConfigError)
            if self._complaints >= MAX_COMPLAINTS:
                await self._socket.close(code=1008, message=b"too many bad messages")
                return False
        except Cancelled:
            log.debug("a link was given up for something newer")
        return True

    async def _handle(self, message: protocol.Message) -> None:
        handlers: dict[type, Callable[[Any], Awaitable[None]]] = {
            protocol.Begin: self._begin,
            protocol.Again: self._again,
            protocol.Seek: self._seek,
            protocol.Pull: self._pull,
            protocol.Step: self._step,
            protocol.Save: self._save,
            protocol.Link: self._link,
            protocol.Records: self._records,
            protocol.Peek: self._peek,
        }
        handler = handlers.get(type(message))
        if handler is not None:
            await handler(message)
        else:
            await self._turn(message)
        self._changed.set()

    async def _turn(self, message: protocol.Message) -> None:
        """What takes effect at once."""
        if isinstance(message, protocol.Pace):
            self._pace = message.rate
            return
        session = self._driven()
        if isinstance(message, protocol.Hold):
            session.hold(message.throttle, message.steering)
        elif isinstance(message, protocol.Run):
            self._running = message.on
        else:
            async with self._lock:  # a step that is being computed is the last driver's to the end
                if isinstance(message, protocol.Temperature):
                    session.heat(message.value)
                elif isinstance(message, protocol.Driver):
                    session.choose_driver(message.driver)

    # ---------------------------------------------------------------- driving

    async def _begin(self, message: protocol.Begin) -> None:
        def begin() -> Session:
            z: tuple[float, ...] = ()
            if message.picture:
                if self._picture is None:
                    raise MessageError("begin: no picture was sent before")
                z = self._workshop.latents(self._picture)
            elif message.record:
                z = self._workshop.latents(self._workshop.recorder.frame(message.record, message.frame)[0])
            session = Session(self._workshop.make(message.start(z)), message.temperature)
            if message.driver in session.scene.drivers:
                session.choose_driver(message.driver)
            return session

        await self._replace(begin, message.run)

    async def _again(self, message: protocol.Again) -> None:
        def cancelled() -> bool:
            return self._gone or self._newest is not message

        def drive() -> Session:
            session = replay(self._workshop.make, from_link(message.link), cancelled)
            if message.driver in session.scene.drivers:
                session.choose_driver(message.driver)
            if message.resume:
                session.seek(message.step)
            else:
                session.choose_driver(REPLAY)
            return session

        await self._replace(drive, run=not message.resume)

    async def _replace(self, make: Callable[[], Session], run: bool) -> None:
        """Begin another world in the place of the one that is; if it cannot be, that one goes on."""

        def build() -> Session:
            session = make()
            self._open.add(session)
            return session

        async with self._lock:
            session = await self._think(build)
            old, self._session = self._session, session
            if old:
                await self._think(old.close)
                self._open.discard(old)
            start = dataclasses.asdict(session.scene.start)
            outline = None
            if start["world"] != "dream":
                outline = await self._think(lambda: self._workshop.outline(start["map_name"]))
            start["z"] = list(start["z"])
            drivers = list(session.scene.drivers)
            await self._say("world", start=start, drivers=drivers, map=outline)
        self._running = run

    async def _seek(self, message: protocol.Seek) -> None:
        session = self._driven()
        self._running = False
        async with self._lock:
            await self._think(lambda: session.seek(message.step))

    async def _pull(self, message: protocol.Pull) -> None:
        session = self._driven()
        async with self._lock:
            await self._think(lambda: session.pull(message.latent, message.value))

    async def _step(self, message: protocol.Step) -> None:
        session = self._driven()
        self._running = False
        async with self._lock:
            await self._think(session.advance)

    async def _tick(self) -> None:
        """Drive while it runs, and show every moment."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            if not self._running:
                await self._changed.wait()
            self._changed.clear()
            async with self._lock:
                if self._session is None:
                    self._running = False
                    continue
                try:
                    moment = await self._think(self._moment)
                except (DreamDuckError, OSError) as err:
                    self._running = False
                    await self._complain(err)
                    continue
            await self._socket.send_bytes(moment)
            # A late moment is not made up for: the drive slows down, it does not jump.
            due = max(due + 1 / (self._pace if self._running else PAUSED_RATE), clock())
            await asyncio.sleep(due - clock())

    def _moment(self) -> bytes:
        """Drive one step if it runs; then the moment as it is."""
        session = self._driven()
        if self._running:
            session.advance()
            if session.over:
                self._running = False
                session.end_replay()
        pictures, facts = session.look()
        return protocol.pack({"running": self._running, **facts, "news": session.news()}, pictures)

    # ---------------------------------------------------------------- keeping

    async def _save(self, message: protocol.Save) -> None:
        session = self._driven()
        async with self._lock:
            saved = await self._think(lambda: self._workshop.recorder.save(session))
        await self._say("saved", **saved)

    async def _link(self, message: protocol.Link) -> None:
        session = self._driven()
        async with self._lock:
            step = session.at
            try:
                link, reason = await self._think(lambda: to_link(session.script())), ""
            except ConfigError as err:
                link, reason = "", str(err)
        await self._say("link", link=link, reason=reason, step=step, tag=message.tag)

    async def _records(self, message: protocol.Records) -> None:
        await self._say("records", records=await self._think(self._workshop.recorder.names))

    async def _peek(self, message: protocol.Peek) -> None:
        recorder = self._workshop.recorder
        frame, length = await self._think(lambda: recorder.frame(message.record, message.frame))
        facts = {"peek": message.record, "frame": message.frame, "length": length}
        await self._socket.send_bytes(protocol.pack(facts, {"record": frame}))

    # ---------------------------------------------------------------- helpers

    def _driven(self) -> Session:
        if self._session is None:
            raise ResetNeeded("expected a drive to be begun first")
        return self._session

    async def _say(self, type: str, **values: Any) -> None:
        await self._socket.send_str(protocol.to_json({"type": type, **values}))

    async def _complain(self, err: Exception) -> None:
        text = " ".join(str(err).split())
        await self._say("error", message=text if len(text) <= MAX_TOLD else text[: MAX_TOLD - 3] + "...")

    async def _think(self, work: Callable[[], T]) -> T:
        """Compute on a thread; whoever gives up waiting leaves the work in `_working`."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._working.add(future)
        future.add_done_callback(self._worked)
        return await asyncio.shield(future)

    def _worked(self, future: asyncio.Future[Any]) -> None:
        self._working.discard(future)
        if not future.cancelled():
            future.exception()  # it counts as seen, if nobody waits for it any more


def _read(kind: WSMsgType, data: Any) -> Heard:
    """A message, a picture, or what is wrong with it."""
    try:
        return protocol.picture(data) if kind == WSMsgType.BINARY else protocol.parse(data)
    except DreamDuckError as err:
        return err
