"""The requests of one browser tab: an environment of its own, its steps, its links and its recordings."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from aiohttp import web

from dreamduck.common.errors import ConfigError, DreamDuckError, MessageError, ResetNeeded
from dreamduck.web import protocol
from dreamduck.web.replay import replay
from dreamduck.web.scenes import Frame
from dreamduck.web.session import REPLAY, Session
from dreamduck.web.session_factory import SessionFactory
from dreamduck.web.share_link import from_link, to_link

T = TypeVar("T")

PAUSED_RATE = 30.0  # moments a second while paused, when something is being changed
PROGRESS_INTERVAL = 0.5  # [s] between two messages of a replay's progress
MADE_UP = 0.5  # of a step: lateness that the next steps make up for
INSETS_EVERY = 4  # moments between which a late tab goes without its small images
MAX_ERROR = 500  # characters of an error that the page shows


class Tab:
    """One tab's environment. It computes on a thread, one call at a time.

    A slow environment therefore holds up neither the others nor the answers to other tabs.

    Args:
        socket: open.
        factory: makes the worlds.
        threads: where they compute.
        turns: of the steps of all tabs; more at once than there are cores would slow one another down, and
            some tabs more than others.

    Attributes:
        newest: the last message that asks for another world; a replay for an older one is stopped.
        gone: whether the tab is closed, so that nothing more is to be made.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        factory: SessionFactory,
        threads: Executor,
        turns: asyncio.Semaphore,
    ) -> None:
        self._socket, self._factory, self._threads, self._turns = socket, factory, threads, turns
        self._lock = asyncio.Lock()  # one call of the world at a time
        self._session: Session | None = None
        self._open: set[Session] = set()  # all that were made and not closed
        self._image: Frame | None = None
        self._running = False
        self._in_view = True
        self._late = 0  # moments in turn that were late
        self._pace = 10.0
        self._changed = asyncio.Event()  # something to show, or running
        self._calls: set[asyncio.Future[Any]] = set()
        self.newest: protocol.Message | None = None
        self.gone = False

    async def greet(self) -> None:
        """Send the page its settings."""
        await self._send("hello", **await self._compute(self._factory.describe))

    async def handle(self, message: protocol.Message) -> None:
        """Execute a message.

        Raises:
            DreamDuckError: it cannot be done; the episode continues.
        """
        handlers: dict[type, Callable[[Any], Awaitable[None]]] = {
            protocol.Begin: self._begin,
            protocol.OpenLink: self._open_link,
            protocol.Seek: self._seek,
            protocol.SetLatent: lambda message: self._change(
                lambda session: session.set_latents({message.latent: message.value})
            ),
            protocol.SetLatents: lambda message: self._change(
                lambda session: session.set_latents(dict(enumerate(message.values)))
            ),
            protocol.ResetLatents: lambda _: self._change(Session.reset_latents),
            protocol.Sync: lambda _: self._change(Session.sync),
            protocol.ViewLatent: self._view_latent,
            protocol.Step: self._step,
            protocol.Save: self._save,
            protocol.Export: self._export,
            protocol.MakeLink: self._make_link,
            protocol.ListRecords: self._list_records,
            protocol.GetFrame: self._get_frame,
        }
        await handlers.get(type(message), self._set)(message)
        self._changed.set()

    async def keep_image(self, image: Frame) -> None:
        """Keep an image (64, 64, 3) to dream from."""
        self._image = image
        await self._send("image")

    async def close(self) -> None:
        """End the environment, after the call that is being computed."""
        self.gone = True
        if self._calls:
            await asyncio.wait(self._calls)
        for session in self._open:
            await self._compute(session.close)

    # ---------------------------------------------------------------- driving

    async def _set(self, message: protocol.Message) -> None:
        """Apply a message that takes effect at once."""
        if isinstance(message, protocol.SetPace):
            self._pace = message.rate
            return
        if isinstance(message, protocol.SetInView):
            self._in_view = message.on
            return
        session = self._current()
        if isinstance(message, protocol.SetAction):
            session.set_action(message.throttle, message.steering)
        elif isinstance(message, protocol.Run):
            self._running = message.on
        else:
            async with self._lock:  # a step that is being computed ends with the policy it began with
                if isinstance(message, protocol.SetTemperature):
                    session.temperature = float(message.value)
                elif isinstance(message, protocol.SetPolicy):
                    session.choose_policy(message.policy)

    async def _begin(self, message: protocol.Begin) -> None:
        def begin() -> Session:
            z: tuple[float, ...] = ()
            if message.image:
                if self._image is None:
                    raise MessageError("begin: no image was sent before")
                z = self._factory.latents(self._image)
            elif message.record:
                z = self._factory.latents(self._factory.recorder.frame(message.record, message.frame)[0])
            temperature = message.temperature
            if temperature is None:
                temperature = self._factory.temperature
            session = Session(self._factory.make(message.start(z)), temperature)
            if message.policy in session.scene.policy_names:
                session.choose_policy(message.policy)
            return session

        await self._replace(begin, message.run)

    async def _open_link(self, message: protocol.OpenLink) -> None:
        progress = self._tell_progress()

        def cancelled() -> bool:
            return self.gone or self.newest is not message

        def begin() -> Session:
            script, temperature = from_link(message.link), self._factory.temperature
            session = replay(self._factory.make, script, temperature, cancelled, progress)
            if message.policy in session.scene.policy_names:
                session.choose_policy(message.policy)
            if message.resume:
                session.seek(message.step)
            else:
                session.choose_policy(REPLAY)
            return session

        await self._replace(begin, run=not message.resume)

    def _tell_progress(self) -> Callable[[int, int], None]:
        """What a replay calls at each step, on its thread: the page hears of it about twice a second."""
        loop, due = asyncio.get_running_loop(), time.monotonic() + PROGRESS_INTERVAL

        def tell(step: int, steps: int) -> None:
            nonlocal due
            if time.monotonic() >= due and not self.gone:
                due = time.monotonic() + PROGRESS_INTERVAL
                asyncio.run_coroutine_threadsafe(self._send("progress", step=step, steps=steps), loop)

        return tell

    async def _replace(self, make: Callable[[], Session], run: bool) -> None:
        """Replace the environment by another; if that cannot be made, the old one continues."""

        def build() -> Session:
            session = make()
            self._open.add(session)
            return session

        async with self._lock:
            session = await self._compute(build)
            old, self._session, self._late = self._session, session, 0
            if old:
                await self._compute(old.close)
                self._open.discard(old)
            start = dataclasses.asdict(session.scene.start)
            outline = None
            if start["world"] != "dream":
                outline = await self._compute(lambda: self._factory.outline(start["map_name"]))
            start["z"] = list(start["z"])
            policies = list(session.scene.policy_names)
            await self._send("world", start=start, policies=policies, map=outline)
        self._running = run

    async def _seek(self, message: protocol.Seek) -> None:
        await self._pause_and(lambda session: session.seek(message.step))

    async def _step(self, message: protocol.Step) -> None:
        await self._pause_and(Session.advance)

    async def _pause_and(self, work: Callable[[Session], object]) -> None:
        self._current()
        self._running = False
        await self._change(work)

    async def _change(self, work: Callable[[Session], object]) -> None:
        """Change this moment."""
        session = self._current()
        async with self._lock:
            await self._compute(lambda: work(session))

    async def _view_latent(self, message: protocol.ViewLatent) -> None:
        session = self._current()
        async with self._lock:
            views = await self._compute(lambda: session.view_latent(message.latent, protocol.VIEWED))
        await self._socket.send_bytes(protocol.pack({"latent": message.latent}, views))

    async def run(self) -> None:
        """Take steps while it runs, and send every moment."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            if not self._running:
                await self._changed.wait()
                due = max(due, clock())
            self._changed.clear()
            async with self._lock:
                if self._session is None:
                    self._running = False
                    continue
                # A world that waits for another process, for example, takes no turn from others.
                computes = self._session.scene.quick_return
                try:
                    async with self._turns if computes else contextlib.nullcontext():
                        moment = await self._compute(self._moment)
                except (DreamDuckError, OSError) as err:
                    self._running = False
                    await self.send_error(err)
                    continue
            await self._socket.send_bytes(moment)
            period = 1 / (self._pace if self._running else PAUSED_RATE)
            due += period
            self._late = self._late + 1 if self._running and due < clock() else 0
            # Greater lateness is not made up for: the episode slows down, it does not jump.
            due = max(due, clock() - MADE_UP * period)
            await asyncio.sleep(due - clock())

    def _moment(self) -> bytes:
        """Take one step if it runs; then the moment, packed."""
        session = self._current()
        if self._running:
            session.advance()
            if session.over:
                self._running = False
                session.end_replay()
        images, facts = session.show(self._in_view, not self._running or self._late % INSETS_EVERY == 0)
        return protocol.pack({"running": self._running, **facts, "changes": session.changes()}, images)

    # ---------------------------------------------------------------- saving and sharing

    async def _save(self, message: protocol.Save) -> None:
        session = self._current()
        async with self._lock:
            saved = await self._compute(lambda: self._factory.recorder.save(session))
        await self._send("saved", **saved)

    async def _export(self, message: protocol.Export) -> None:
        session, recorder = self._current(), self._factory.recorder
        async with self._lock:
            what = message.form, message.images, message.every
            name = await self._compute(lambda: recorder.export(session, *what))
        await self._send("exported", file=name)

    async def _make_link(self, message: protocol.MakeLink) -> None:
        session = self._current()
        async with self._lock:
            step = session.at
            try:
                link, reason = await self._compute(lambda: to_link(session.script())), ""
            except ConfigError as err:
                link, reason = "", str(err)
        await self._send("link", link=link, reason=reason, step=step, tag=message.tag)

    async def _list_records(self, message: protocol.ListRecords) -> None:
        await self._send("records", records=await self._compute(self._factory.recorder.names))

    async def _get_frame(self, message: protocol.GetFrame) -> None:
        recorder = self._factory.recorder
        frame, length = await self._compute(lambda: recorder.frame(message.record, message.frame))
        facts = {"record": message.record, "frame": message.frame, "length": length}
        await self._socket.send_bytes(protocol.pack(facts, {"record": frame}))

    # ---------------------------------------------------------------- helpers

    def _current(self) -> Session:
        if self._session is None:
            raise ResetNeeded("expected an episode to be begun first")
        return self._session

    async def _send(self, type: str, **values: Any) -> None:
        await self._socket.send_str(protocol.to_json({"type": type, **values}))

    async def send_error(self, err: Exception) -> None:
        """Send an error in one line."""
        text = " ".join(str(err).split())
        await self._send("error", message=text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 3] + "...")

    async def _compute(self, work: Callable[[], T]) -> T:
        """Compute on a thread; if this is cancelled, the call ends by itself, and `close` waits for it."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._calls.add(future)
        future.add_done_callback(self._forget)
        return await asyncio.shield(future)

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self._calls.discard(future)
        if not future.cancelled():
            future.exception()  # it counts as seen, if nobody waits for it any more
