"""The page's server under load: steps a second of eight tabs, and its memory over 500 of them in turn.

Server and clients share the machine. A client does what a browser's tab does, without showing anything."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.common import save
from dreamduck.web.protocol import unpack
from dreamduck.web.share_link import WORLDS

COMMAND = "python -m benchmarks page_tabs"
TABS = 8
PACE = 10.0  # steps a second: x1
SETTLE, SECONDS = 1.0, 10.0  # until steps are counted, and that they are
OPENED = 500
MEASURED_FIRST = 100  # tabs, after which the server has allocated what it keeps


async def open_tab(session: aiohttp.ClientSession, address: str, world: str, seed: int) -> Any:
    """A tab that has begun an episode in motion, and runs."""
    socket = await session.ws_connect(address + "socket", origin=address.rstrip("/"), max_msg_size=0)
    await socket.send_json({"type": "pace", "rate": PACE})
    policy = "controller" if world == "dream" else "expert"
    begin = {"world": world, "seed": seed, "policy": policy, "run": True, "warm": True, "temperature": 1.0}
    await socket.send_json({"type": "begin", **begin})
    return socket


async def steps(socket: Any, until: int) -> int:
    """Receive moments up to a step of the episode; gives the step."""
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            step = int(unpack(message.data)[0]["step"])
            if step >= until:
                return step
        elif message.type == aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == "error":
            raise RuntimeError(message.data)
    raise RuntimeError("the server closed a tab")


async def rate(socket: Any) -> float:
    """Steps a second that a tab receives while it runs; an episode that ends begins again."""
    count, spent, last = 0, 0.0, None  # the time of the last moment, while it runs
    begin, ended = time.perf_counter() + SETTLE, False
    while time.perf_counter() < begin + SECONDS:
        message = await socket.receive(timeout=SECONDS)
        if message.type != aiohttp.WSMsgType.BINARY:
            continue
        running, now = unpack(message.data)[0]["running"], time.perf_counter()
        if last is not None:
            count, spent = count + 1, spent + now - last
        last = now if running and now >= begin else None
        if not running and not ended:
            await socket.send_json({"type": "seek", "step": 0})
            await socket.send_json({"type": "run", "on": True})
        ended = not running
    return count / spent


async def close(session: aiohttp.ClientSession, address: str, tabs: list[Any]) -> None:
    """Close all tabs, and wait until the server has ended their environments."""
    for tab in tabs:
        await tab.close()
    while True:
        async with session.get(address + "status") as answer:
            if not (await answer.json())["worlds"]:
                return
        await asyncio.sleep(0.01)


async def side_by_side(address: str, worlds: list[str]) -> list[float]:
    """The rate of each of several tabs that run at once."""
    async with aiohttp.ClientSession() as session:
        tabs = [await open_tab(session, address, world, seed) for seed, world in enumerate(worlds)]
        await asyncio.gather(*(steps(tab, 5) for tab in tabs))
        found = await asyncio.gather(*(rate(tab) for tab in tabs))
        await close(session, address, tabs)
    return [round(value, 2) for value in found]


def memory(process: subprocess.Popen[str]) -> float:
    """Resident memory of a process [MB]."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    assert found
    return round(int(found[1]) / 1000, 1)


async def one_after_another(address: str, process: subprocess.Popen[str]) -> dict[str, float]:
    """The server's memory over many tabs, each with three steps."""
    found = {}
    async with aiohttp.ClientSession() as session:
        for number in range(1, OPENED + 1):
            tab = await open_tab(session, address, WORLDS[number % len(WORLDS)], number)
            await tab.send_json({"type": "pace", "rate": 60})
            await steps(tab, 3)
            await close(session, address, [tab])
            if number in (1, MEASURED_FIRST, OPENED):
                found[f"after_{number}"] = memory(process)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dreamduck", "drive", "--port", "0", "--max-worlds", str(TABS)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                address = server.stdout.readline().removeprefix("Drive at ").strip()
                while not json.load(urllib.request.urlopen(address + "status"))["warm"]:
                    time.sleep(0.2)
                results = {
                    "tabs": TABS,
                    "steps_a_second_wanted": PACE,
                    "steps_a_second": {
                        "two of each environment": asyncio.run(side_by_side(address, [*WORLDS] * 2)),
                        "all in the split": asyncio.run(side_by_side(address, ["split"] * TABS)),
                    },
                    "memory_mb": asyncio.run(one_after_another(address, server)),
                    "tabs_opened_and_closed": OPENED,
                }
            finally:
                server.terminate()
    print(json.dumps(results, indent=2))
    print(save("page_tabs", COMMAND, results))


if __name__ == "__main__":
    main()
