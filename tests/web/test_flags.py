"""Every flag of every command that drives changes what is shown, or is refused."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.cli import drive as page
from dreamduck.cli import window
from dreamduck.common import command_line
from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, ControllerError, DreamDuckError
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.policy import ControllerForm, random_theta
from dreamduck.simulator.road import RoadConfig
from dreamduck.web.server import Server, ServerConfig
from dreamduck.web.session import Session
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import Start
from dreamduck.window import keyboard
from dreamduck.window.window import Keys
from tests.envs.test_gymenv import write_gym_model
from tests.web.fakes import LineFactory
from tests.web.model import write_model

Look = Callable[[list[str]], Any]
SHARED = {"verbose", "quiet"}  # see test_verbosity


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """Values of flags that name files: a second world model, and a controller."""
    folder = write_model(tmp_path_factory.mktemp("other"), seed=1)
    run = RunFiles.of(folder, "rnnenv", 1, 4)
    run.write_theta(random_theta(ControllerForm("zh"), np.random.default_rng(0), 0.1))
    other = RunFiles.of(folder, "realenv", 1, 4)  # made with another world model
    other.write_theta(random_theta(ControllerForm("zh"), np.random.default_rng(0), 0.1))
    card = {"weights": {"rnn.weights.h5": "another", "vae.weights.h5": "another"}}
    other.path(".card.json").write_text(json.dumps(card))
    names = {"weights": folder, "controller": run.path(".json"), "stranger": other.path(".json")}
    return {name: str(path) for name, path in names.items()}


def parser_of(main: Callable[..., Any], monkeypatch) -> argparse.ArgumentParser:
    """The parser that a command makes."""
    made: list[argparse.ArgumentParser] = []

    def caught(self: argparse.ArgumentParser, *arguments: Any) -> argparse.Namespace:
        made.append(self)
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", caught)
        with contextlib.suppress(InterruptedError):
            main([])
    return made[0]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def names(parser: argparse.ArgumentParser) -> set[str]:
    return {action.dest for action in parser._actions} - {"help"}


# ---------------------------------------------------------------- the page

PAGE: dict[str, list[str]] = {
    "map_name": ["--map-name=small_loop"],
    "domain_rand": ["--domain-rand"],
    "dynamics_rand": ["--dynamics-rand"],
    "distortion": ["--distortion", "--any-weights"],
    "frame_skip": ["--frame-skip=4", "--any-weights"],
    "start_angle": ["--start-angle=50"],
    "simulator": ["--simulator=gym-duckietown"],
    "reward": ["--reward=simulator", "--any-weights"],
    "steering_gain": ["--steering-gain=1.5", "--any-weights"],
    "weights": ["--weights={weights}"],
    "controller": ["--controller={controller}"],
    "strict": ["--strict", "--controller={stranger}"],
    "records": ["--records={folder}/a"],
    "videos": ["--videos={folder}/b"],
    "temperature": ["--temperature=0.7"],
    "any_weights": ["--any-weights", "--steering-gain=2"],
    "host": ["--host=127.0.0.2"],
    "port": ["--port={port}"],
    "token": ["--token=abcdefghijklmnopqrstuvwxyz"],
    "max_worlds": ["--max-worlds=3"],
    "origin": ["--origin=https://example.org"],
}


def page_look(flags: list[str], monkeypatch) -> str:
    """What the flags of the server set: its address, its answers, its road."""
    facts: dict[str, Any] = {}

    async def serve(server: Server) -> None:
        shop = server._factory
        assert isinstance(shop, SessionFactory)
        config = server.config
        facts["listens"] = [config.host, config.port, server._guard.token, config.max_worlds, config.origin]
        about = shop.describe()
        facts["about"] = {key: about[key] for key in ("map_name", "temperature", "pace", "domain_rand")}
        facts["folders"] = [str(shop.recorder.folder), str(shop.recorder.videos)]
        facts["weights"] = shop.model.dynamics.weights if shop.model else about["worlds"]
        facts["controller"] = shop.controller.theta.tolist() if shop.controller else about["controller"]
        road = Session(shop.make(Start("road", about["map_name"], 3, about["domain_rand"])))
        facts["simulator"] = road.scene.env.about()["simulator"]
        road.set_action(0.3, 0.6)
        for _ in range(5):
            road.advance()
        facts["road"] = [road.now.frame.tolist(), road.now.total]
        road.close()

    monkeypatch.setattr(page, "serve", serve)
    monkeypatch.setattr(page, "_abort", lambda code: None)
    page.main(["--port=0", *flags])
    return json.dumps(facts)


@pytest.fixture(scope="module")
def page_before(tmp_path_factory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        return page_look([], patch)


def test_every_flag_of_the_page_is_tried(monkeypatch):
    assert names(parser_of(page.main, monkeypatch)) == {*PAGE, *SHARED}


@pytest.mark.parametrize("name", PAGE)
def test_a_flag_of_the_page_has_an_effect(name, page_before, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [flag.format(**files, folder=tmp_path, port=free_port()) for flag in PAGE[name]]
    if name == "strict":
        page_look(flags[1:], monkeypatch)
        with pytest.raises(ControllerError, match="another world model"):
            page_look(flags, monkeypatch)
        return
    if name == "any_weights":
        with pytest.raises(ConfigError):  # it is what the flag is for
            page_look(flags[1:], monkeypatch)
    assert page_look(flags, monkeypatch) != page_before


def test_the_same_flags_of_the_page_have_the_same_effect(page_before, tmp_path, monkeypatch):
    """Without this, an effect could be chance."""
    monkeypatch.chdir(tmp_path)
    assert page_look([], monkeypatch) == page_before
    chance = [flag for name in ("domain_rand", "dynamics_rand", "start_angle") for flag in PAGE[name]]
    assert page_look(chance, monkeypatch) == page_look(chance, monkeypatch)


def test_the_page_refuses_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="port: expected at most 65535, got 70000"):
        ServerConfig(port=70_000)
    with pytest.raises(DreamDuckError, match="frame_skip"):
        SessionFactory(SessionFactoryConfig(road=replace(RoadConfig(), frame_skip=5)))


def test_where_the_page_listens_is_where_it_says(tmp_path):
    port = free_port()

    async def status_of(host: str) -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        try:
            return await asyncio.wait_for(reader.readline(), 30)
        finally:
            writer.close()

    async def listen() -> None:
        server = Server(ServerConfig(host="127.0.0.2", port=port), LineFactory(tmp_path))
        assert await server.start() == f"http://127.0.0.2:{port}/"
        try:
            assert b" 200 " in await status_of("127.0.0.2")
            with pytest.raises(ConnectionRefusedError):
                await status_of("127.0.0.1")
        finally:
            await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await status_of("127.0.0.2")

    asyncio.run(listen())


def test_flags_of_the_road_are_refused_beside_another_environment(tmp_path, monkeypatch):
    """Its model knows no map, for example."""
    monkeypatch.chdir(tmp_path)
    weights = f"--weights={write_gym_model(tmp_path / 'weights', 'discrete')}"
    served: list[Server] = []

    async def serve(server: Server) -> None:
        served.append(server)

    monkeypatch.setattr(page, "serve", serve)
    monkeypatch.setattr(page, "_abort", lambda code: None)
    with pytest.raises(ConfigError, match="--frame-skip, --map-name: of no effect with a model of another"):
        page.main([weights, "--map-name=small_loop", "--frame-skip=4"])
    assert not served
    page.main([weights])
    assert served


# ---------------------------------------------------------------- the window

ROAD: dict[str, list[str]] = {
    "map_name": ["--map-name=small_loop"],
    "domain_rand": ["--domain-rand"],
    "dynamics_rand": ["--dynamics-rand"],
    "distortion": ["--distortion"],
    "frame_skip": ["--frame-skip=4"],
    "start_angle": ["--start-angle=2"],
    "simulator": ["--simulator=gym-duckietown"],
    "reward": ["--reward=simulator"],
    "steering_gain": ["--steering-gain=1.5"],
}
DRIVE: dict[str, list[str]] = {
    "seed": ["--seed=4"],
    "images": ["--images={folder}/shots"],
    "steps": ["--steps=3"],
    "policy": ["--policy=controller", "--controller={controller}"],
    "controller": ["--controller={folder}/missing.json"],
    "strict": ["--strict", "--controller={stranger}"],
    "record": ["--record={folder}/episodes"],
    "video": ["--video={folder}/video.gif"],
}
SCRIPTS: dict[str, tuple[Callable[..., Any], dict[str, list[str]]]] = {
    "env": (
        partial(window.start, "v0"),
        {**ROAD, **DRIVE, "weights": ["--weights={folder}/missing", "--policy=controller"]},
    ),
    "realenv": (
        partial(window.start, "v1"),
        {
            **ROAD,
            **DRIVE,
            "frame_skip": ["--frame-skip=4", "--any-weights"],
            "distortion": ["--distortion", "--any-weights"],
            "reward": ["--reward=simulator", "--any-weights"],
            "steering_gain": ["--steering-gain=1.5", "--any-weights"],
            "any_weights": ["--any-weights", "--steering-gain=1.5"],
            "weights": ["--weights={weights}"],
            "temperature": ["--temperature=0.9", "--next-z"],
            "debug": ["--no-debug"],
            "next_z": ["--next-z"],
        },
    ),
    "rnnenv": (
        partial(window.start, "v2"),
        {
            **DRIVE,
            "weights": ["--weights={weights}"],
            "temperature": ["--temperature=0.9"],
            "beginning": ["--beginning=midway"],
            "dynamics_rand": ["--dynamics-rand"],
            "dynamics_spread": ["--dynamics-rand", "--dynamics-spread=1.6"],
            "action_delay": ["--policy=controller", "--action-delay=9"],
            "latent_shift": ["--policy=controller", "--latent-shift=0.5"],
        },
    ),
}
# What a flag is compared with, where it needs another to have an effect.
BESIDE = {
    "temperature": ["--next-z"],
    "dynamics_spread": ["--dynamics-rand"],
    "latent_shift": ["--policy=controller"],
    "action_delay": ["--policy=controller"],
    "strict": ["--controller={stranger}"],
}
CASES = [(script, name) for script, (_, flags) in SCRIPTS.items() for name in flags]


class Glass:
    """A window that keeps what it shows, and in which up, left and return are pressed."""

    shown: list[Any]

    def __init__(self, title: str) -> None:
        Glass.shown = [title]

    def show(self, frame: Any, lines: list[str], fps: float, names: tuple[str, ...]) -> Keys:
        Glass.shown.append((frame.tobytes(), lines, fps, names))
        return Keys(frozenset(["UP", "LEFT"]), ("RETURN",) if len(Glass.shown) == 2 else (), False)

    def close(self) -> None:
        pass


def window_look(main: Callable[..., Any], flags: list[str], folder: Path, monkeypatch) -> list[Any]:
    """What a script shows and writes, or what it says when it refuses."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(keyboard, "Window", Glass)
    before = set(folder.rglob("*"))
    try:
        main(["--seed=3", "--steps=5", *flags])
    except DreamDuckError as err:
        return ["refused", str(err)]
    written = sorted(str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before)
    return [*Glass.shown, written]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_of_the_script_is_tried(script, monkeypatch):
    main, flags = SCRIPTS[script]
    assert names(parser_of(main, monkeypatch)) == {*flags, *SHARED}


@pytest.fixture(scope="module")
def looks(tmp_path_factory) -> Callable[[str, list[str]], list[Any]]:
    """What the scripts show with few flags; looked at once each."""
    known: dict[tuple[str, ...], list[Any]] = {}

    def look(script: str, flags: list[str]) -> list[Any]:
        key = (script, *flags)
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                known[key] = window_look(SCRIPTS[script][0], flags, tmp_path_factory.mktemp("plain"), patch)
        return known[key]

    return look


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_flags_of_the_script_have_the_same_effect(script, looks, files, tmp_path, monkeypatch):
    """Without this, an effect could be chance."""
    main, flags = SCRIPTS[script]
    (tmp_path / "chance").mkdir()
    chance = [
        *flags.get("domain_rand", []),
        *flags.get("dynamics_rand", []),
        *flags.get("temperature", []),
        *(flag.format(**files) for flag in flags["policy"]),
    ]
    assert window_look(main, chance, tmp_path / "chance", monkeypatch) == looks(script, chance)
    (tmp_path / "plain").mkdir()
    assert window_look(main, [], tmp_path / "plain", monkeypatch) == looks(script, [])


@pytest.mark.parametrize(("script", "name"), CASES)
def test_a_flag_of_the_script_has_an_effect(script, name, looks, files, tmp_path, monkeypatch):
    main, flags = SCRIPTS[script]
    given = [flag.format(**files, folder=tmp_path) for flag in flags[name]]
    beside = [flag.format(**files) for flag in BESIDE.get(name, [])]
    before = looks(script, [flag for flag in beside if flag in given])
    assert before[0] != "refused"
    after = window_look(main, given, tmp_path, monkeypatch)
    assert after != before
    if name == "strict":
        assert after[0] == "refused"
        assert "another world model" in after[1]
    elif "missing" in given[0]:
        assert after[0] == "refused"
        assert given[0].partition("=")[2] in after[1]
    else:
        assert after[0] != "refused", after


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize(
    ("flags", "level"), [([], logging.INFO), (["-v"], logging.DEBUG), (["-q"], logging.WARNING)]
)
def test_verbosity(flags, level):
    log = logging.getLogger("dreamduck")
    before = log.level
    command_line.start_logging(command_line.parser("").parse_args(flags))
    found = log.level
    log.setLevel(before)
    assert found == level
