"""Protection of the page's server from hostile clients: a limit on connections, and a short log.

A client may send half a request, or bytes that are not HTTP, or open connections without end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any, cast

from aiohttp.http_exceptions import HttpProcessingError

from dreamduck.web.access import HEADERS

log = logging.getLogger(__name__)

EACH_TAB = 4  # connections of a tab: its socket, and what a browser opens to load the page
OTHERS = 32  # connections beside those
FEWEST = 4
RESERVE = 24  # files that stay free for worlds, recordings, videos, and connections about to be refused
BACKLOG = 8  # connections that are accepted at once
WAITING = 128  # connections that wait to be accepted
WARN_EVERY = 10.0  # [s] between two warnings
BUSY = {"Content-Length": "0", "Connection": "close", "Retry-After": "5", **HEADERS}


def connection_limit(worlds: int) -> int:
    """How many connections to hold at once: what the tabs need, within what this process may open.

    Args:
        worlds: tabs that may drive at once.
    """
    wanted = EACH_TAB * worlds + OTHERS
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < hard:
            most = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
            soft = max(soft, most)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        used = len(os.listdir("/proc/self/fd"))
    except (ImportError, OSError, ValueError):  # not Linux
        return wanted
    if soft == resource.RLIM_INFINITY:
        return wanted
    limit = max(FEWEST, min(wanted, soft - used - RESERVE))
    if limit < wanted:
        log.info("at most %d connections at once, since this process may open %d files", limit, soft)
    return limit


class Refusal(asyncio.Protocol):
    """A connection beyond the limit: it gets status 503, and is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Respond and close."""
        refused = cast(asyncio.Transport, transport)
        lines = ["HTTP/1.1 503 Service Unavailable", *map(": ".join, BUSY.items()), "", ""]
        refused.write("\r\n".join(lines).encode())
        refused.close()
        log.warning("a connection was refused: the limit is reached")


class ShortLog(logging.Filter):
    """Turns tracebacks into one line, and passes one warning in `WARN_EVERY` seconds.

    Requests that are not HTTP are logged at level DEBUG. With `--verbose` everything is logged in full.
    """

    def __init__(self) -> None:
        super().__init__()
        self._due = 0.0
        self._dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is logged."""
        if log.isEnabledFor(logging.DEBUG):
            return True
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno < logging.WARNING:
            return True
        if isinstance(error, HttpProcessingError):
            return False
        if time.monotonic() < self._due:
            self._dropped += 1
            return False
        text = record.getMessage()
        if error is not None:
            text += f": {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if self._dropped:
            text += f" ({self._dropped} more warnings before)"
        record.msg, record.args, record.exc_info, record.exc_text = text, (), None, None
        self._due, self._dropped = time.monotonic() + WARN_EVERY, 0
        return True


log.addFilter(ShortLog())
http_log = logging.getLogger(f"{__name__}.http")  # what aiohttp logs of its requests
http_log.addFilter(ShortLog())


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler; for example, there may be no file left for a connection."""
    error = context.get("exception")
    http_log.error("%s", context.get("message", "error"), exc_info=error)
