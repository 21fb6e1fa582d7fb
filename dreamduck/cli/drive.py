"""Drive in a browser: `dreamduck drive`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from threadpoolctl import threadpool_limits

from dreamduck.common import command_line
from dreamduck.common.config import add_arguments, from_arguments, given, refuse
from dreamduck.controllers.factory import ROAD_FIELDS
from dreamduck.web.access import is_loopback
from dreamduck.web.limits import log_loop_error
from dreamduck.web.server import Server, ServerConfig
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig

DESCRIPTION = """Drive in a browser: on the road, on the road as the world model sees it, or in the dream;
with --weights of another environment, there or in its dream.

Prints the address to open and serves it until Ctrl-C. Only this machine can reach it, unless
--host says otherwise; the address then holds a token, which every request needs."""
EXAMPLES = """examples:
  dreamduck drive
  dreamduck drive --port 0 --map-name loop_obstacles
  dreamduck drive --weights weights     # of any environment
  dreamduck drive --host 0.0.0.0        # from other machines, with the token
  dreamduck export dream.html  # the dream as one file, with no server"""
CLOSE_LIMIT = 1.7  # [s]; two seconds with the time that Python itself takes to exit
SKIPPED = ("camera_width", "camera_height")  # the page has a limit of its own


def main(argv: Sequence[str] | None = None) -> int | None:
    """Serve the page until it is interrupted."""
    parser = command_line.parser(DESCRIPTION, EXAMPLES)
    add_arguments(parser, ServerConfig)
    add_arguments(parser, SessionFactoryConfig, skip=SKIPPED)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    config = from_arguments(ServerConfig, arguments)
    factory = SessionFactory(from_arguments(SessionFactoryConfig, arguments))
    if factory.other is not None:
        refuse(
            given(parser, arguments, argv) & ROAD_FIELDS,
            "with a model of another environment than Duckietown's",
        )
    # Matrices of one car are small: shared between threads they take a hundred times longer as soon
    # as the machine has anything else to do (75 ms against 0.7 ms a dream step), and tabs are threads.
    with threadpool_limits(1, "blas"):
        asyncio.run(serve(Server(config, factory)))
    _abort(0)  # a thread may still compile or compute: do not wait for it
    return None


async def serve(server: Server) -> None:
    """Serve until SIGINT or SIGTERM; every world is ended before this returns.

    What has not ended CLOSE_LIMIT seconds after the first signal is given up with the whole process; a
    second signal does so at once.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)

    watchdog = threading.Timer(CLOSE_LIMIT, _abort, (0,))
    watchdog.daemon = True

    def stop(number: int, frame: object) -> None:
        if watchdog.is_alive():
            _abort(128 + number)
        watchdog.start()
        loop.call_soon_threadsafe(stopped.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    address = await server.start()
    threading.Thread(target=server.warm, name="dreamduck-warm", daemon=True).start()
    print(f"Drive at {address}", flush=True)
    if not is_loopback(server.config.host):
        print("Anyone with this address can drive; other machines need this one's name in it.", flush=True)
    try:
        await stopped.wait()
    finally:
        await server.stop()


def _abort(code: int) -> None:
    """End this process without waiting for any thread."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
