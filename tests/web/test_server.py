"""The server as browsers and hostile clients use it; no browser is needed."""

import asyncio
import contextlib
import errno
import inspect
import io
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, CookieJar, WSMsgType, WSServerHandshakeError

from dreamduck.common.errors import ConfigError
from dreamduck.recordings import Episode, read_episode, write_episode
from dreamduck.web import limits
from dreamduck.web.access import HEADERS, is_loopback
from dreamduck.web.protocol import MAX_MESSAGE, VIEWED, unpack
from dreamduck.web.server import PAGE, Server, ServerConfig
from dreamduck.web.share_link import MAX_STEPS, Script, Start, to_link
from tests.web.fakes import LATENTS, LineEnv, LineFactory, LineScene

HEARTBEAT = 3.0  # [s] shorter than the server's, so that these tests are; a busy machine still keeps to it
PATIENCE = 30.0  # [s] for what must come; a busy machine is slow
LONG = to_link(Script(Start("road"), np.zeros((MAX_STEPS, 2), np.float32), (0.0,) * MAX_STEPS))


class Tab:
    """A tab that speaks the page's protocol."""

    def __init__(self, socket):
        self.socket = socket

    async def say(self, type, **values):
        await self.socket.send_str(json.dumps({"type": type, **values}))

    async def receive(self):
        """The next message; the socket's own timeout would begin again with every ping."""
        async with asyncio.timeout(PATIENCE):
            return await self.socket.receive()

    async def hear(self, type):
        """The next answer of a type; moments are passed over unless they are asked for."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            message = await self.receive()
            if message.type == WSMsgType.BINARY:
                header, images = unpack(message.data)
                if type == "moment":
                    return {**header, "seen": images}
            elif message.type == WSMsgType.TEXT:
                answer = json.loads(message.data)
                if answer["type"] == type:
                    return answer
                assert answer["type"] != "error", answer
            else:
                raise AssertionError(f"closed: {message}")
        raise AssertionError(f"no {type} came")

    async def moment(self, wanted):
        """The first moment for which `wanted` holds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            moment = await self.hear("moment")
            if wanted(moment):
                return moment
        raise AssertionError("no such moment came")

    async def begin(self, **values):
        await self.say("begin", **{"world": "road", "temperature": 0.0, **values})
        return await self.hear("world")


def serving(tmp_path, **config):
    """Run a coroutine function against a server: test(address, http, open_tab, factory)."""

    def run(test):
        async def main():
            factory = LineFactory(tmp_path)
            server = Server(ServerConfig(port=0, **config), factory)
            address = await server.start()
            try:
                async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:

                    async def tab(**headers):
                        socket = await http.ws_connect(
                            address.partition("?")[0] + "socket", headers=headers
                        )
                        return Tab(socket)

                    await test(address, http, tab, factory)
            finally:
                await server.stop()
            assert all(world.closed for world in factory.made)

        asyncio.run(main())

    return run


async def until(wanted):
    """Wait until `wanted` holds, which may be a coroutine function; returns what it gave."""
    end = time.monotonic() + PATIENCE
    while True:
        found = wanted()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.02)


def test_a_tab_out_of_view_gets_numbers_without_images(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        assert (await one.hear("moment"))["seen"].keys() == {"camera"}
        await one.say("in_view", on=False)
        await one.say("step")
        moment = await one.moment(lambda m: m["step"] == 1)
        assert (moment["seen"], moment["place"]) == ({}, 0)
        await one.say("in_view", on=True)  # paused, and shown again
        moment = await one.moment(lambda m: m["seen"])
        assert moment["step"] == 1

    serving(tmp_path)(test)


def test_a_late_tab_gets_its_small_images_more_rarely(tmp_path, monkeypatch):
    monkeypatch.setattr(LineScene, "insets", ("camera",))

    async def test(address, http, tab, factory):
        factory.pace = 0.03
        one = await tab()
        await one.begin(run=True)
        assert (await one.hear("moment"))["kept"] == []
        await one.say("pace", rate=60)  # a step takes longer
        moments = [await one.hear("moment") for _ in range(20)][8:]
        assert [moment["kept"] for moment in moments].count([]) == 3
        assert all(moment["seen"].keys() != set(moment["kept"]) for moment in moments)
        await one.say("run", on=False)
        moment = await one.moment(lambda m: not m["running"])
        assert (moment["seen"].keys(), moment["kept"]) == ({"camera"}, [])

    serving(tmp_path)(test)


def test_a_drive_from_beginning_to_video(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        assert (await one.hear("hello"))["worlds"]["road"] == ""
        world = await one.begin(seed=7)
        assert world["start"]["seed"] == 7
        assert world["map"] == {"name": "loop_empty"}
        await one.say("pace", rate=60)
        await one.say("action", throttle=1.0, steering=-0.5)
        await one.say("run", on=True)
        moment = await one.moment(lambda m: m["step"] == 6)
        assert moment["action"] == pytest.approx([1, -0.5], abs=1e-4)
        assert np.frombuffer(moment["seen"]["camera"], np.uint8).reshape(64, 64, 3)[0, 0, 0] == 12
        await one.say("run", on=False)
        moment = await one.moment(lambda m: not m["running"])
        await one.say("seek", step=2)
        moment = await one.moment(lambda m: m["step"] == 2)
        assert moment["length"] >= 6
        await one.say("step")
        moment = await one.moment(lambda m: m["step"] == 3)
        assert moment["length"] == 3
        await one.say("save")
        saved = await one.hear("saved")
        episode = read_episode(tmp_path / "records" / saved["episode"])
        assert len(episode) == 3
        assert episode.meta["seed"] == 7
        assert episode.action[:, 0].tolist() == pytest.approx([1, 1, 1], abs=1e-4)
        video = await http.get(f"{address}videos/{saved['video']}")
        assert video.headers["Content-Type"] == "video/mp4"
        assert (await video.read())[4:8] == b"ftyp"
        await one.say("save")
        assert (await one.hear("saved"))["episode"] != saved["episode"]
        await one.say("export", form="strip", images=["camera"], every=1)
        name = (await one.hear("exported"))["file"]
        image = await http.get(f"{address}videos/{name}")
        assert image.headers["Content-Type"] == "image/png"
        assert (await image.read())[1:4] == b"PNG"
        await one.say("export", form="strip", images=["dream"])
        assert "images: expected some of camera, got 'dream'" in (await one.hear("error"))["message"]
        await one.say("records")
        names = (await one.hear("records"))["records"]
        assert len(names) == 2
        await one.say("record_frame", record=names[0], frame=99)
        peeked = await one.moment(lambda m: "record" in m)
        assert peeked["length"] == 3
        assert len(peeked["seen"]["record"]) == 64 * 64 * 3

    serving(tmp_path)(test)


def test_policies_and_a_link(tmp_path):
    async def test(address, http, tab, factory):
        one, two = await tab(), await tab()
        await one.begin(seed=5, temperature=1.0)
        await one.say("policy", policy="expert")
        for _ in range(4):
            await one.say("step")
        moment = await one.moment(lambda m: m["step"] == 4)
        assert moment["policy"] == "expert"
        await one.say("link", tag="t")
        link = await one.hear("link")
        assert link["tag"] == "t"
        await two.say("open_link", link=link["link"], resume=True)
        again = await two.moment(lambda m: m["step"] == 4)
        assert again["place"] == moment["place"]
        assert not again["running"]
        await two.say("open_link", link=link["link"])
        again = await two.moment(lambda m: m["step"] == 4)
        assert again["place"] == moment["place"]
        assert again["length"] == 4

    serving(tmp_path)(test)


def test_a_closed_tab_ends_its_world_and_no_other(tmp_path):
    async def test(address, http, tab, factory):
        one, two = await tab(), await tab()
        await one.begin()
        await two.begin()
        await one.say("run", on=True)
        await two.say("run", on=True)
        await one.moment(lambda m: m["step"] == 2)
        await one.socket.close()
        await until(lambda: factory.made[0].closed)
        at = (await two.hear("moment"))["step"]
        await two.moment(lambda m: m["step"] > at + 2)
        assert not factory.made[1].closed
        await two.begin()  # another world in the same tab ends the first
        assert factory.made[1].closed

    serving(tmp_path)(test)


def test_a_world_that_takes_long_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("dreamduck.web.server.HEARTBEAT", HEARTBEAT)

    async def test(address, http, tab, factory):
        factory.pains = 2 * HEARTBEAT  # the pong to the first ping is due after 1.5 heartbeats
        one = await tab()
        await one.begin()
        factory.pains = 1.0
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)
        two = await tab()
        await two.say("begin", world="road")
        await until(lambda: len(factory.made) == 2)
        await two.socket.close()  # in the middle of it
        await until(lambda: factory.made[1].closed)

    serving(tmp_path)(test)


def test_a_flood_of_messages_closes_the_connection(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        factory.pains = 1.0
        await one.say("begin", world="road")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await one.say("step")
        while (message := await one.receive()).type == WSMsgType.TEXT:
            pass
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        await asyncio.sleep(2 * factory.pains)  # the world may be made only after its tab has gone
        await until(lambda: all(world.closed for world in factory.made))

    serving(tmp_path)(test)


def test_the_dream_from_a_picture_and_from_a_recording(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)
        await one.say("save")
        record = (await one.hear("saved"))["episode"].removesuffix(".npz")
        await one.socket.send_bytes(bytes([9, 8, 7]) * 64 * 64)
        await one.hear("image")
        world = await one.begin(world="dream", image=True)
        assert world["start"]["z"] == [9, 8, 7]
        assert world["map"] is None
        world = await one.begin(world="dream", record=record, frame=0)
        assert world["start"]["z"] == [0, 0, 0]

    serving(tmp_path)(test)


BAD: list[tuple[str | bytes, str]] = [  # a message, and what its error says
    ("", "message: expected JSON"),
    ("{", "message: expected JSON"),
    ("[]", 'message: expected an object with a "type"'),
    ("null", 'message: expected an object with a "type"'),
    ("1" * 5000, "message: expected JSON"),
    ("[" * 20000, "message: expected JSON"),
    ('{"type": "fly"}', "message: expected a type of begin, "),
    ('{"type": ["begin"]}', 'message: expected an object with a "type"'),
    ('{"type": "action"}' + " " * 10 + "x", "message: expected JSON"),
    ('{"type": "action", "throttle": 2}', "throttle: expected at most 1.0, got 2"),
    ('{"type": "action", "throttle": NaN}', "throttle: expected a finite number"),
    ('{"type": "action", "throttle": "1"}', "throttle: expected a finite number, got '1'"),
    ('{"type": "action", "boost": 1}', "unknown boost; expected some of throttle, steering"),
    ('{"type": "temperature", "value": 1e999}', "value: expected a finite number"),
    ('{"type": "seek", "step": -1}', "step: expected at least 0, got -1"),
    ('{"type": "seek", "step": 1.5}', "step: expected an integer, got 1.5"),
    ('{"type": "latent", "latent": 77, "value": 0}', "latent: expected 0 to 3, got 77"),
    ('{"type": "policy", "policy": "controller"}', "policy: expected one of person, expert, replay, got"),
    ('{"type": "begin", "world": "moon"}', "world: expected one of road, seen, dream, split, got 'moon'"),
    ('{"type": "begin", "map_name": "nowhere"}', "map_name: no such map"),
    ('{"type": "begin", "world": "dream", "image": true}', "begin: no image was sent before"),
    ('{"type": "record_frame", "record": "999"}', "999.npz: no such file"),
    ('{"type": "open_link", "link": "AAAA"}', "link: not one of ours, or damaged"),
    ('{"type": "save"}', "save: expected an episode of at least one step"),
    (b"\x00" * 100, "image: expected 12288 bytes (64 x 64, RGB), got 100"),
    (b"", "image: expected 12288 bytes (64 x 64, RGB), got 0"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_a_bad_message_is_reported_and_does_no_harm(tmp_path, bad, words):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        await (one.socket.send_bytes(bad) if isinstance(bad, bytes) else one.socket.send_str(bad))
        assert words in (await one.hear("error"))["message"]
        await one.begin()
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)

    serving(tmp_path)(test)


def test_only_recordings_of_the_folder_are_read(tmp_path):
    """An episode beside the folder is not, by whatever path it is asked for."""
    frames = np.full((2, 64, 64, 3), 99, np.uint8)
    nothing = np.zeros(2, np.float32)
    episode = Episode(frames, np.zeros((2, 2), np.float32), nothing, np.zeros(2, bool), meta={})
    for folder in ("records", "secret"):
        (tmp_path / folder).mkdir()
        write_episode(tmp_path / folder / "1.npz", episode)

    async def test(address, http, tab, factory):
        one = await tab()
        for record in ("../secret/1", str(tmp_path / "secret" / "1"), "../records/1", "./1"):
            assert (factory.recorder.folder / f"{record}.npz").is_file()
            for type in ("record_frame", "begin"):
                await one.say(type, record=record)
                message = (await one.hear("error"))["message"]
                assert message.startswith(f"record: expected a number, got {record!r:.40}"), type
        await one.say("record_frame", record="1")
        peeked = await one.moment(lambda m: "record" in m)
        assert set(peeked["seen"]["record"]) == {99}
        assert (await one.begin(world="dream", record="1"))["start"]["z"] == [99, 99, 99]

    serving(tmp_path)(test)


def test_latents_are_changed_and_viewed(tmp_path):
    async def test(address, http, tab, factory):
        def pixel(moment, name="camera"):
            return list(moment["seen"][name][:3])

        one = await tab()
        await one.begin(world="dream")
        await one.say("step")
        assert pixel(await one.moment(lambda m: m["step"] == 1))[1] == 0
        await one.say("latents", values=[3.0, 1.0, *[0.0] * (LATENTS - 2)])
        moment = await one.moment(lambda m: pixel(m)[1])
        assert pixel(moment)[1] == 60
        assert moment["changes"] == [1, [[0, 0, 0.0, [[0, 3.0], [1, 1.0], [2, 0.0], [3, 0.0]], False]]]
        await one.say("view_latent", latent=1)
        views = await one.moment(lambda m: "latent" in m)
        assert views["latent"] == 1
        assert list(views["seen"]) == list(VIEWED) == ["low", "middle", "high"]
        assert [pixel(views, name) for name in VIEWED] == [[0, 60, 40], [0, 60, 100], [0, 60, 160]]
        await one.say("reset_latents")
        moment = await one.moment(lambda m: not pixel(m)[1])
        assert moment["changes"] == [1, [[0, 0, 0.0, [], False]]]
        for type, values, words in (
            ("latents", {"values": [0.0] * (LATENTS + 1)}, f"latent: expected 0 to {LATENTS - 1}, got"),
            ("latents", {"values": [11.0]}, "latent: expected -10.0 to 10.0, got 11.0"),
            ("view_latent", {"latent": LATENTS}, f"latent: expected 0 to {LATENTS - 1}, got {LATENTS}"),
            ("sync", {}, "sync: expected the road and the dream beside each other"),
        ):
            await one.say(type, **values)
            assert words in (await one.hear("error"))["message"]

    serving(tmp_path)(test)


def test_a_long_replay_tells_its_progress(tmp_path):
    async def test(address, http, tab, factory):
        factory.pace = 0.02  # a minute for the whole
        one = await tab()
        await one.say("open_link", link=LONG)
        first, second = await one.hear("progress"), await one.hear("progress")
        assert first["steps"] == second["steps"] == MAX_STEPS
        assert 0 < first["step"] < second["step"] < MAX_STEPS

    serving(tmp_path)(test)


def test_many_bad_messages_or_a_huge_one_close_the_connection(tmp_path):
    async def closed(one):
        while True:
            message = await one.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED):
                return message.data

    async def test(address, http, tab, factory):
        one = await tab()
        for _ in range(30):
            await one.socket.send_str("nonsense")
        assert await closed(one) == 1008
        for huge in (b"x" * (MAX_MESSAGE + 1), b"x" * 30_000_000):
            one = await tab()
            await one.begin()
            with contextlib.suppress(ConnectionError):  # the server hangs up in the middle of it
                await one.socket.send_bytes(huge)
            assert await closed(one) in (1009, None)
        await until(lambda: all(world.closed for world in factory.made))
        response = await http.post(address, data=io.BytesIO(b"x" * 10_000_000))
        assert response.status == 405

    serving(tmp_path)(test)


def test_strange_origins_and_hosts_are_refused(tmp_path):
    async def test(address, http, tab, factory):
        own = address.rstrip("/")
        assert (await (await tab(Origin=own)).hear("hello"))["type"] == "hello"
        for origin in (
            "http://evil.example",
            "null",
            own + ".evil.example",
            "https://127.0.0.1",
            "http://localhost:1",
            "http://[::1",
            "",
            "\udcff",
        ):
            with pytest.raises(WSServerHandshakeError) as info:
                await tab(Origin=origin)
            assert info.value.status == 403
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.1",
            "[",
            "[::1",
            "127.0.0.1@evil",
        ):
            assert (await http.get(address, headers={"Host": host})).status == 403

    serving(tmp_path)(test)


def test_a_token_guards_what_is_not_loopback(tmp_path):
    async def test(address, http, tab, factory):
        bare, _, query = address.partition("?")
        token = query.removeprefix("token=")  # of letters that need no quoting
        assert len(token) >= 16
        for path in (
            "",
            "status",
            "socket",
            "page/main.js",
            "videos/1.mp4",
            "?token=",
            "?token=" + "x" * len(token),
        ):
            assert (await http.get(bare + path)).status == 403
        for wrong in ("wrong", "\udcff", "ö" * len(token)):
            assert (await http.get(bare, headers={"Cookie": f"dreamduck={wrong}"})).status == 403
        assert (await http.get(bare, headers={"Host": "["})).status == 403
        welcome = await http.get(address)
        assert welcome.status == 200
        assert "token" not in str(welcome.url)  # the cookie has it now
        cookie = welcome.history[0].headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        one = Tab(await http.ws_connect(bare + "socket"))
        await one.begin()

    serving(tmp_path, host="0.0.0.0")(test)
    with pytest.raises(ConfigError):
        ServerConfig(token="short")


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://a@b", "*"])
def test_an_origin_that_no_browser_sends(origin):
    with pytest.raises(ConfigError, match="origin"):
        ServerConfig(origin=origin)


def test_behind_a_proxy(tmp_path):
    async def test(address, http, tab, factory):
        named = {"Host": "ducks.example", "Origin": "https://ducks.example"}
        assert (await (await tab(**named)).hear("hello"))["type"] == "hello"
        assert (await http.get(address, headers={"Host": "ducks.example"})).status == 200
        assert (await http.get(address, headers={"Host": "other.example"})).status == 403

    serving(tmp_path, origin="https://ducks.example")(test)


def test_a_drive_continues_where_another_cannot_be_begun(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        await one.say("run", on=True)
        await one.moment(lambda m: m["step"] == 2)
        await one.say("begin", world="road", map_name="nowhere")
        await one.hear("error")
        await one.moment(lambda m: m["step"] > 4 and m["running"])

    serving(tmp_path)(test)


def test_the_chosen_policy_begins(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin(policy="expert")
        await one.say("step")
        moment = await one.moment(lambda m: m["step"] == 1)
        assert moment["policy"] == "expert"
        assert moment["action"] == pytest.approx([1, 0.25], abs=1e-4)
        await one.begin(policy="controller")  # who cannot drive here
        await one.say("step")
        assert (await one.moment(lambda m: m["step"] == 1))["policy"] == "person"

    serving(tmp_path)(test)


@pytest.mark.parametrize("blocked", ["records", "videos"])
def test_a_drive_that_cannot_be_saved_is_not_lost(tmp_path, blocked):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin(seed=3)
        for _ in range(3):
            await one.say("step")
        await one.moment(lambda m: m["step"] == 3)
        (tmp_path / blocked).write_text("a file where the folder should be")
        await one.say("save")
        message = (await one.hear("error"))["message"]
        assert "save" in message
        assert blocked in message
        assert "\n" not in message
        assert not list(tmp_path.glob("records/*.npz"))  # both files, or neither
        await one.say("step")
        await one.moment(lambda m: m["step"] == 4)
        (tmp_path / blocked).unlink()
        await one.say("save")
        saved = await one.hear("saved")
        assert len(read_episode(tmp_path / "records" / saved["episode"])) == 4

    serving(tmp_path)(test)


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            await one.say("save")
            assert "No space left" in (await one.hear("error"))["message"]
        await one.say("save")
        await one.hear("saved")

    serving(tmp_path)(test)


def test_an_error_of_the_system_ends_no_drive(tmp_path, monkeypatch):
    async def test(address, http, tab, factory):
        def refused(*arguments):
            raise PermissionError(errno.EACCES, "Permission denied", "records")

        one = await tab()
        await one.begin()
        with monkeypatch.context() as patch:
            patch.setattr(factory.recorder, "names", refused)
            await one.say("records")
            assert "Permission denied" in (await one.hear("error"))["message"]
            patch.setattr(LineEnv, "step", refused)
            await one.say("run", on=True)
            assert "Permission denied" in (await one.hear("error"))["message"]
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)

    serving(tmp_path)(test)


def test_a_drive_continues_after_the_server_was_away(tmp_path):
    """The messages to a tab are enough to restore its moment, and the moments after it."""

    async def first(address, http, tab, factory):
        one = await tab()
        known["start"] = (await one.begin(seed=8, temperature=0.5, policy="expert"))["start"]
        moments: list[list[Any]] = []
        for type, values in (
            *(("step", {}),) * 4,
            ("seek", {"step": 2}),
            ("latent", {"latent": 1, "value": 1.5}),
            ("temperature", {"value": 2.0}),
            *(("step", {}),) * 5,
            ("seek", {"step": 3}),
        ):
            await one.say(type, **values)
        while True:
            moment = await one.hear("moment")
            start, rows = moment["changes"]
            moments = [*moments[:start], *rows]
            if moment["step"] == 3 and moment["length"] == 7:
                break
        known.update(moments=moments, moment=moment)

    async def second(address, http, tab, factory):
        moments = known["moments"]
        actions = np.array([row[:2] for row in moments[1:]], np.float64) / 32767
        start = Start(**{**known["start"], "z": tuple(known["start"]["z"])})
        changed = tuple((step, *item) for step, row in enumerate(moments) for item in row[3])
        temperatures = tuple(row[2] for row in moments[1:])
        link = to_link(Script(start, actions.astype(np.float32), temperatures, changed))
        one = await tab()
        await one.say("open_link", link=link, resume=True, step=3, policy="expert")
        moment = await one.hear("moment")
        assert moment == {**known["moment"], "changes": [0, moments]}

    known: dict[str, Any] = {}
    serving(tmp_path)(first)
    serving(tmp_path)(second)


def test_the_policy_changes_between_two_steps(tmp_path):
    """A step that is being computed ends with the policy it began with, and drops nothing of a replay."""

    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        for _ in range(6):
            await one.say("step")
        await one.moment(lambda m: m["step"] == 6)
        await one.say("seek", step=0)
        await one.moment(lambda m: m["step"] == 0)
        await one.say("policy", policy="replay")
        world = factory.made[0]
        world.pace = 0.3
        world.entered.clear()
        await one.say("run", on=True)
        await until(world.entered.is_set)
        await one.say("policy", policy="expert")
        moment = await one.moment(lambda m: m["step"] == 1)
        assert (moment["policy"], moment["length"]) == ("replay", 6)
        moment = await one.moment(lambda m: m["step"] == 2)
        assert (moment["policy"], moment["length"]) == ("expert", 2)

    serving(tmp_path)(test)


def test_a_newer_wish_ends_a_long_replay(tmp_path):
    async def test(address, http, tab, factory):
        one = await tab()
        await one.begin()
        factory.pace = 0.02  # a minute for the whole
        await one.say("open_link", link=LONG)
        await until(lambda: len(factory.made) == 2 and factory.made[1].steps > 2)
        factory.pace = 0.0
        world = await one.begin(seed=5)
        assert world["start"]["seed"] == 5
        assert factory.made[1].closed
        assert factory.made[1].steps < 1000

    serving(tmp_path)(test)


def test_a_closed_tab_ends_its_long_replay(tmp_path):
    async def test(address, http, tab, factory):
        factory.pace = 0.02
        one = await tab()
        await one.say("open_link", link=LONG)
        await until(lambda: factory.made and factory.made[0].steps > 2)
        await one.socket.close()
        await until(lambda: factory.made[0].closed)
        assert factory.made[0].steps < 1000

    serving(tmp_path)(test)


def test_only_so_many_worlds(tmp_path):
    async def test(address, http, tab, factory):
        tabs = [await tab() for _ in range(2)]
        for one in tabs:
            await one.begin()
        late = await tab()
        message = await late.receive()
        assert message.type == WSMsgType.CLOSE
        assert "2 tabs" in message.extra
        status = await (await http.get(address + "status")).json()
        assert (status["worlds"], status["max_worlds"]) == (2, 2)
        await tabs[0].socket.close()
        await until(lambda: factory.made[0].closed)

        async def one_is_left():
            return (await (await http.get(address + "status")).json())["worlds"] == 1

        await until(one_is_left)
        await (await tab()).begin()

    serving(tmp_path, max_worlds=2)(test)


def test_every_answer_carries_the_headers(tmp_path):
    async def test(address, http, tab, factory):
        own = address.rstrip("/")
        for status, answer in (
            (200, await http.get(address)),
            (200, await http.get(address + "status")),
            (404, await http.get(address + "x")),
            (404, await http.get(address + "videos/1.mp4")),
            (403, await http.get(address, headers={"Host": "evil.example"})),
            (403, await http.get(address + "socket", headers={"Origin": "http://evil.example"})),
            (405, await http.post(own)),
        ):
            assert answer.status == status
            for name, value in HEADERS.items():
                assert answer.headers[name] == value

    serving(tmp_path)(test)


async def talk(address, data, wait=10.0):
    """Send bytes to the server and read until it hangs up; returns what it answered."""
    port = int(address.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(reader.read(), wait)
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "half", [b"", b"GET / HTTP/1.1\r\nHost: 127", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"]
)
def test_half_a_request_is_not_waited_for(tmp_path, monkeypatch, half):
    monkeypatch.setattr("dreamduck.web.server.REQUEST_LIMIT", 0.3)
    monkeypatch.setattr("dreamduck.web.server.BODY_LIMIT", 0.3)

    async def test(address, http, tab, factory):
        await talk(address, half)  # waits for the server to hang up

    serving(tmp_path)(test)


@pytest.fixture
def short_log(monkeypatch):
    """The log of requests, as if it had said nothing yet."""
    (short,) = [each for each in limits.http_log.filters if isinstance(each, limits.ShortLog)]
    monkeypatch.setattr(short, "_due", 0.0)
    monkeypatch.setattr(short, "_dropped", 0)


@pytest.mark.usefixtures("short_log")
def test_bytes_that_are_not_http_are_refused_and_not_logged(tmp_path, caplog):
    async def test(address, http, tab, factory):
        for data in (
            b"\x16\x03\x01\x02\x00\x01",
            b"nonsense\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nA b: c\r\n\r\n",
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ) * 3:
            answer = (await talk(address, data + b"\r\n\r\n")).decode()
            if answer:  # none where the server hung up before all was sent
                refused.append(answer.split()[1])
                assert all(f"{name}: {value}\r\n" in answer for name, value in HEADERS.items())
        assert (await http.get(address)).status == 200

    refused: list[str] = []
    caplog.set_level(logging.INFO, "dreamduck")
    serving(tmp_path)(test)
    assert refused.count("400") > 10
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.usefixtures("short_log")
def test_warnings_are_short_and_few(caplog):
    with caplog.at_level(logging.INFO, "dreamduck"):
        for _ in range(50):
            try:
                raise OSError(errno.EMFILE, "Too many\nopen files")
            except OSError:
                limits.http_log.exception("Error")
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None
    assert "Too many open files" in caplog.text


def test_connections_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dreamduck.web.limits.connection_limit", lambda worlds: 3)

    async def test(address, http, tab, factory):
        port = int(address.rstrip("/").rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        answers = [b""]

        async def answered(status):
            answers[0] = await talk(
                address, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            return status in answers[0]

        await until(lambda: answered(b" 503 "))  # the server has taken the three by then
        answer = answers[0].decode()
        assert all(f"{name}: {value}\r\n" in answer for name, value in HEADERS.items())
        for _, writer in held:
            writer.close()
        await until(lambda: answered(b" 200 "))

    serving(tmp_path)(test)


def test_the_limit_on_connections_follows_that_on_files():
    resource = pytest.importorskip("resource")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    code = (
        "import resource; from dreamduck.web.limits import connection_limit as f\n"
        "print(f(8)); resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); print(f(8), f(1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    most, few, fewer = map(int, done.stdout.split())
    assert most == limits.connection_limit(8) or soft - used < most + limits.RESERVE
    assert limits.FEWEST <= few < 64 - limits.RESERVE
    assert fewer <= few


def test_pages_and_nothing_else_are_served(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "secret.mp4").write_text("secret")

    async def test(address, http, tab, factory):
        page = await http.get(address)
        assert "dreamduck" in await page.text()
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        for name in ("main.js", "style.css", "duck.svg"):
            assert (await http.get(address + "page/" + name)).status == 200
        assert (await http.get(address + "x")).status == 404
        assert (PAGE.parent / "server.py").is_file()
        for name in (
            "page/server.py",
            "page/../server.py",
            "page/%2e%2e/server.py",
            "page/..%2fserver.py",
            "page/%2e%2e%2fserver.py",
            "page//" + str(PAGE.parent / "server.py"),
            "videos/../secret.mp4",
            "videos/%2e%2e/secret.mp4",
            "videos/..%2fsecret.mp4",
            "videos/" + str(tmp_path / "secret.mp4").replace("/", "%2f"),
        ):  # as bytes: a client would simplify the path before it asks
            request = f"GET /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            answer = await talk(address, request.encode())
            assert answer.startswith(b"HTTP/1.1 404 "), name
            assert b"class Server" not in answer
            assert b"secret" not in answer
        for path in ["index.html", *("page/" + n for n in ("main.js", "view.js", "connection.js"))]:
            text = await (await http.get(address + path.removeprefix("index.html"))).text()
            assert "https://" not in text  # nothing is loaded from elsewhere

    serving(tmp_path)(test)


def test_a_stopped_server_reports_it_and_the_port_is_free_again(tmp_path):
    async def main():
        first = Server(ServerConfig(port=0), LineFactory(tmp_path))
        address = await first.start()
        port = int(address.rstrip("/").rpartition(":")[2])
        async with ClientSession() as http:
            one = Tab(await http.ws_connect(address + "socket"))
            await one.begin()
            with pytest.raises(ConfigError, match="--port 0"):
                await Server(ServerConfig(port=port), LineFactory(tmp_path)).start()
            stopping = asyncio.create_task(first.stop())
            while (message := await one.receive()).type == WSMsgType.BINARY:
                pass
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
            assert message.extra == "the server stops"
            await stopping
            second = Server(ServerConfig(port=port), LineFactory(tmp_path))
            await second.start()
            await Tab(await http.ws_connect(address + "socket")).begin()
            await second.stop()

    asyncio.run(main())


async def deaf_tab(address):
    """A tab that asks for images and never reads; returns what keeps it open."""
    port = int(address.rstrip("/").rpartition(":")[2])
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    lines = ["GET /socket HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
    await loop.sock_sendall(connection, "\r\n".join(lines).encode())
    for message in ({"type": "begin", "world": "road"}, {"type": "pace", "rate": 60}, {"type": "run"}):
        text = json.dumps(message).encode()
        mask = b"\1\2\3\4"
        masked = bytes(byte ^ mask[k % 4] for k, byte in enumerate(text))
        await loop.sock_sendall(connection, bytes([0x81, 0x80 | len(text)]) + mask + masked)
    return connection


async def stops(server, factory):
    """Stop a server; that takes a second or two, whatever its tabs do."""
    await asyncio.wait_for(server.stop(), 10)
    assert all(world.closed for world in factory.made)


def test_a_server_with_a_deaf_tab_stops(tmp_path):
    async def main():
        factory = LineFactory(tmp_path)
        server = Server(ServerConfig(port=0), factory)
        address = await server.start()
        with await deaf_tab(address):
            await until(lambda: factory.made)
            factory.made[0].large = True
            last = -1
            while factory.made[0].steps != last:  # until no more goes into its socket
                last = factory.made[0].steps
                await asyncio.sleep(0.5)
            assert last > 0
            await stops(server, factory)

    asyncio.run(main())


def test_a_deaf_tab_loses_its_world(tmp_path, monkeypatch):
    monkeypatch.setattr("dreamduck.web.server.HEARTBEAT", HEARTBEAT)

    async def test(address, http, tab, factory):
        with await deaf_tab(address):
            await until(lambda: factory.made)
            factory.made[0].large = True
            await until(lambda: factory.made[0].closed)

    serving(tmp_path)(test)


def test_a_server_stops_while_a_long_link_is_replayed(tmp_path):
    async def main():
        factory = LineFactory(tmp_path)
        factory.pace = 0.02
        server = Server(ServerConfig(port=0), factory)
        address = await server.start()
        async with ClientSession() as http:
            one = Tab(await http.ws_connect(address + "socket"))
            await one.say("open_link", link=LONG)
            await until(lambda: factory.made and factory.made[0].steps > 2)
            await stops(server, factory)
            assert factory.made[0].steps < 1000

    asyncio.run(main())


def test_loopback():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(
        map(is_loopback, ["0.0.0.0", "192.168.0.1", "example.org", "", "localhost.evil.example"])
    )


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "dreamduck", "drive", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("Drive at ").strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as page:
            assert b"dreamduck" in page.read()
        process.terminate()
        assert process.wait(timeout=120) == 0
    refused = subprocess.run([*command, "--token", "short"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: token")
