"""The server as a browser meets it, and as somebody hostile does; no browser is needed."""

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from aiohttp import ClientSession, CookieJar, WSMsgType, WSServerHandshakeError

from dreamduck.drive.messages import MAX_MESSAGE, unpack
from dreamduck.drive.server import Server, ServerConfig, is_loopback
from dreamduck.errors import ConfigError
from dreamduck.recordings import read_episode
from tests.drive.fakes import LineWorkshop


class Tab:
    """A tab that speaks the page's protocol."""

    def __init__(self, socket):
        self.socket = socket

    async def say(self, type, **values):
        await self.socket.send_str(json.dumps({"type": type, **values}))

    async def hear(self, type):
        """The next answer of a type; moments are passed over unless they are asked for."""
        while True:
            message = await self.socket.receive(timeout=10)
            if message.type == WSMsgType.BINARY:
                header, pictures = unpack(message.data)
                if type == "moment":
                    return {**header, "seen": pictures}
            elif message.type == WSMsgType.TEXT:
                answer = json.loads(message.data)
                if answer["type"] == type:
                    return answer
                assert answer["type"] != "error", answer
            else:
                raise AssertionError(f"closed: {message}")

    async def moment(self, wanted):
        """The first moment for which `wanted` holds."""
        while True:
            moment = await self.hear("moment")
            if wanted(moment):
                return moment

    async def begin(self, **values):
        await self.say("begin", **{"world": "road", "temperature": 0.0, **values})
        return await self.hear("world")


def serving(tmp_path, **config):
    """Run a coroutine function against a server: test(address, http, open_tab, workshop)."""

    def run(test):
        async def main():
            workshop = LineWorkshop(tmp_path)
            server = Server(ServerConfig(port=0, **config), workshop)
            address = await server.start()
            try:
                async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:

                    async def tab(**headers):
                        socket = await http.ws_connect(
                            address.partition("?")[0] + "socket", headers=headers
                        )
                        return Tab(socket)

                    await test(address, http, tab, workshop)
            finally:
                await server.stop()
            assert all(world.closed for world in workshop.made)

        asyncio.run(main())

    return run


async def until(wanted):
    for _ in range(200):
        if wanted():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come")


def test_a_drive_from_beginning_to_film(tmp_path):
    async def test(address, http, tab, workshop):
        one = await tab()
        assert (await one.hear("hello"))["worlds"]["road"] == ""
        world = await one.begin(seed=7)
        assert world["start"]["seed"] == 7
        assert world["map"] == {"name": "loop_empty"}
        await one.say("pace", rate=60)
        await one.say("hold", throttle=1.0, steering=-0.5)
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
        film = await http.get(f"{address}films/{saved['film']}")
        assert film.headers["Content-Type"] == "video/mp4"
        assert (await film.read())[4:8] == b"ftyp"
        await one.say("save")
        assert (await one.hear("saved"))["episode"] != saved["episode"]
        await one.say("records")
        names = (await one.hear("records"))["records"]
        assert len(names) == 2
        await one.say("peek", record=names[0], frame=99)
        peeked = await one.moment(lambda m: "peek" in m)
        assert peeked["length"] == 3
        assert len(peeked["seen"]["record"]) == 64 * 64 * 3

    serving(tmp_path)(test)


def test_who_drives_and_a_link(tmp_path):
    async def test(address, http, tab, workshop):
        one, two = await tab(), await tab()
        await one.begin(seed=5, temperature=1.0)
        await one.say("driver", driver="expert")
        for _ in range(4):
            await one.say("step")
        moment = await one.moment(lambda m: m["step"] == 4)
        assert moment["driver"] == "expert"
        await one.say("link", tag="t")
        link = await one.hear("link")
        assert link["tag"] == "t"
        await two.say("again", link=link["link"], resume=True)
        again = await two.moment(lambda m: m["step"] == 4)
        assert again["place"] == moment["place"]
        assert not again["running"]
        await two.say("again", link=link["link"])
        again = await two.moment(lambda m: m["step"] == 4)
        assert again["place"] == moment["place"]
        assert again["length"] == 4

    serving(tmp_path)(test)


def test_a_closed_tab_ends_its_world_and_no_other(tmp_path):
    async def test(address, http, tab, workshop):
        one, two = await tab(), await tab()
        await one.begin()
        await two.begin()
        await one.say("run", on=True)
        await two.say("run", on=True)
        await one.moment(lambda m: m["step"] == 2)
        await one.socket.close()
        await until(lambda: workshop.made[0].closed)
        at = (await two.hear("moment"))["step"]
        await two.moment(lambda m: m["step"] > at + 2)
        assert not workshop.made[1].closed
        await two.begin()  # another world in the same tab ends the first
        assert workshop.made[1].closed

    serving(tmp_path)(test)


def test_a_world_that_takes_long_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("dreamduck.drive.server.HEARTBEAT", 0.6)

    async def test(address, http, tab, workshop):
        workshop.pains = 2.0  # several heartbeats
        one = await tab()
        await one.begin()
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)
        two = await tab()
        await two.say("begin", world="road")
        await until(lambda: len(workshop.made) == 2)
        await two.socket.close()  # in the middle of it
        await until(lambda: workshop.made[1].closed)

    serving(tmp_path)(test)


def test_a_flood_of_messages_closes_the_connection(tmp_path):
    async def test(address, http, tab, workshop):
        one = await tab()
        workshop.pains = 1.0
        await one.say("begin", world="road")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await one.say("hold", throttle=0.1)
        while (message := await one.socket.receive(timeout=10)).type == WSMsgType.TEXT:
            pass
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        await asyncio.sleep(2 * workshop.pains)  # the world may be made only after its tab has gone
        await until(lambda: all(world.closed for world in workshop.made))

    serving(tmp_path)(test)


def test_the_dream_from_a_picture_and_from_a_recording(tmp_path):
    async def test(address, http, tab, workshop):
        one = await tab()
        await one.begin()
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)
        await one.say("save")
        record = (await one.hear("saved"))["episode"].removesuffix(".npz")
        await one.socket.send_bytes(bytes([9, 8, 7]) * 64 * 64)
        await one.hear("picture")
        world = await one.begin(world="dream", picture=True)
        assert world["start"]["z"] == [9, 8, 7]
        assert world["map"] is None
        world = await one.begin(world="dream", record=record, frame=0)
        assert world["start"]["z"] == [0, 0, 0]

    serving(tmp_path)(test)


BAD = [
    "",
    "{",
    "[]",
    "null",
    "1" * 5000,
    "[" * 20000,
    '{"type": "fly"}',
    '{"type": ["begin"]}',
    '{"type": "hold"}' + " " * 10 + "x",
    '{"type": "hold", "throttle": 2}',
    '{"type": "hold", "throttle": NaN}',
    '{"type": "hold", "throttle": "1"}',
    '{"type": "hold", "boost": 1}',
    '{"type": "temperature", "value": 1e999}',
    '{"type": "seek", "step": -1}',
    '{"type": "seek", "step": 1.5}',
    '{"type": "pull", "latent": 77, "value": 0}',
    '{"type": "driver", "driver": "controller"}',
    '{"type": "begin", "world": "moon"}',
    '{"type": "begin", "map_name": "nowhere"}',
    '{"type": "begin", "world": "dream", "picture": true}',
    '{"type": "begin", "world": "dream", "record": "../../etc/passwd"}',
    '{"type": "peek", "record": "/etc/passwd"}',
    '{"type": "peek", "record": "999"}',
    '{"type": "again", "link": "AAAA"}',
    '{"type": "save"}',
    b"\x00" * 100,
    b"",
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_message_is_told_and_does_no_harm(tmp_path, bad):
    async def test(address, http, tab, workshop):
        one = await tab()
        await one.begin()
        await (one.socket.send_bytes(bad) if isinstance(bad, bytes) else one.socket.send_str(bad))
        answer = await one.hear("error")
        assert len(answer["message"]) > 5
        await one.begin()
        await one.say("step")
        await one.moment(lambda m: m["step"] == 1)

    serving(tmp_path)(test)


def test_many_bad_messages_or_a_huge_one_close_the_connection(tmp_path):
    async def closed(one):
        while True:
            message = await one.socket.receive(timeout=10)
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED):
                return message.data

    async def test(address, http, tab, workshop):
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
        await until(lambda: all(world.closed for world in workshop.made))
        response = await http.post(address, data=io.BytesIO(b"x" * 10_000_000))
        assert response.status == 405

    serving(tmp_path)(test)


def test_strange_origins_and_hosts_are_refused(tmp_path):
    async def test(address, http, tab, workshop):
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
    async def test(address, http, tab, workshop):
        bare, _, query = address.partition("?")
        token = query.removeprefix("token=")  # of letters that need no quoting
        assert len(token) >= 16
        for path in (
            "",
            "status",
            "socket",
            "page/main.js",
            "films/1.mp4",
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
    async def test(address, http, tab, workshop):
        named = {"Host": "ducks.example", "Origin": "https://ducks.example"}
        assert (await (await tab(**named)).hear("hello"))["type"] == "hello"
        assert (await http.get(address, headers={"Host": "ducks.example"})).status == 200
        assert (await http.get(address, headers={"Host": "other.example"})).status == 403

    serving(tmp_path, origin="https://ducks.example")(test)


def test_a_drive_goes_on_where_another_cannot_be_begun(tmp_path):
    async def test(address, http, tab, workshop):
        one = await tab()
        await one.begin()
        await one.say("run", on=True)
        await one.moment(lambda m: m["step"] == 2)
        await one.say("begin", world="road", map_name="nowhere")
        await one.hear("error")
        await one.moment(lambda m: m["step"] > 4 and m["running"])

    serving(tmp_path)(test)


def test_only_so_many_worlds(tmp_path):
    async def test(address, http, tab, workshop):
        tabs = [await tab() for _ in range(2)]
        for one in tabs:
            await one.begin()
        late = await tab()
        message = await late.socket.receive(timeout=10)
        assert message.type == WSMsgType.CLOSE
        assert "2 tabs" in message.extra
        status = await (await http.get(address + "status")).json()
        assert (status["worlds"], status["max_worlds"]) == (2, 2)
        await tabs[0].socket.close()
        await until(lambda: workshop.made[0].closed)
        await asyncio.sleep(0.05)
        await (await tab()).begin()

    serving(tmp_path, max_worlds=2)(test)


def test_pages_and_nothing_else_are_served(tmp_path):
    async def test(address, http, tab, workshop):
        page = await http.get(address)
        assert "dreamduck" in await page.text()
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        for name in ("main.js", "style.css", "duck.svg"):
            assert (await http.get(address + "page/" + name)).status == 200
        strange = (
            "page/server.py",
            "page/../server.py",
            "page/%2e%2e/server.py",
            "films/..%2f..%2fetc%2fpasswd",
            "x",
        )
        for name in strange:
            assert (await http.get(address + name)).status == 404
        for path in ["index.html", *("page/" + n for n in ("main.js", "view.js", "connection.js"))]:
            text = await (await http.get(address + path.removeprefix("index.html"))).text()
            assert "https://" not in text  # nothing is loaded from elsewhere

    serving(tmp_path)(test)


def test_a_stopped_server_says_so_and_the_port_is_free_again(tmp_path):
    async def main():
        first = Server(ServerConfig(port=0), LineWorkshop(tmp_path))
        address = await first.start()
        port = int(address.rstrip("/").rpartition(":")[2])
        async with ClientSession() as http:
            one = Tab(await http.ws_connect(address + "socket"))
            await one.begin()
            with pytest.raises(ConfigError, match="--port 0"):
                await Server(ServerConfig(port=port), LineWorkshop(tmp_path)).start()
            await asyncio.gather(first.stop(), one.socket.receive())
            second = Server(ServerConfig(port=port), LineWorkshop(tmp_path))
            await second.start()
            await Tab(await http.ws_connect(address + "socket")).begin()
            await second.stop()

    asyncio.run(main())


def test_loopback():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(
        map(is_loopback, ["0.0.0.0", "192.168.0.1", "example.org", "", "localhost.evil.example"])
    )


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "dreamduck.drive", "--port", "0"]
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
