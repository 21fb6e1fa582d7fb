"""The page and the file of one of other environments than Duckietown."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from dreamduck.common.errors import ConfigError
from dreamduck.controllers.controller_file import RunFiles, to_card
from dreamduck.controllers.factory import FormConfig, model_actions, model_sizes
from dreamduck.controllers.policy import random_theta
from dreamduck.export import static_export
from dreamduck.recordings import read_episode
from dreamduck.recordings.sources.action_space import DRIVING, ActionSpace
from dreamduck.recordings.sources.arrow_keys import from_keys, legend, named_keys
from dreamduck.recordings.sources.gym_environment import GymEnvironment
from dreamduck.web.gym_scene import absent_worlds
from dreamduck.web.latent_names import OTHER_PARTS
from dreamduck.web.page_actions import PageActions
from dreamduck.web.replay import replay
from dreamduck.web.session import Session
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import GRID, Start, from_link, to_link
from tests.envs.test_gymenv import SIZES, write_gym_model
from tests.node import needs_node, run_node
from tests.recordings.sources.worlds import MODULE

RACE = ActionSpace("box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (3,))
SPACES = {
    "drive": DRIVING,
    "two": ActionSpace("discrete", 2),
    "five": ActionSpace("discrete", 5, start=7),
    "named": ActionSpace("discrete", 4, start=2, arrow_keys=(0, 3, 1, 0, 2)),
    "many": ActionSpace("discrete", 200),
    "one": ActionSpace("box", 1, (-2.0,), (2.0,), (1,)),
    "race": RACE,
    "arm": ActionSpace("box", 7, (-1.0,) * 7, (3.0,) * 7, (7,)),
}


@pytest.mark.parametrize("name", SPACES)
def test_any_action_fits_into_two_integers(name):
    space = SPACES[name]
    keys, random = PageActions(space), np.random.default_rng(0)
    for _ in range(50):
        vector = space.sample(random)
        pair = keys.pack(vector)
        whole = np.rint(pair.astype(np.float64) * GRID)
        np.testing.assert_array_equal(pair, (whole / GRID).astype(np.float32))
        found = keys.unpack(pair)
        exact = space.kind == "discrete"
        np.testing.assert_allclose(found, vector, atol=0 if exact else 0.13 if space.size > 3 else 1e-3)
        np.testing.assert_array_equal(keys.pack(found), pair)  # a link gives the same again
        assert space.space.contains(keys.executed(pair)) or space == DRIVING


def test_the_keys_of_a_race():
    """Steering, gas and brake: what has no lower half rests at its bound."""

    def given(throttle, steering):
        return RACE.decode(from_keys(RACE, throttle, steering)[None])[0].tolist()

    assert given(0, 0) == [0, 0, 0]
    assert given(0.5, 1) == [-1, 0.5, 0]
    assert given(-0.5, -0.25) == [0.25, 0, 0.5]
    rest = PageActions(RACE)
    np.testing.assert_array_equal(rest.unpack(rest.pack(from_keys(RACE, 0, 0))), [0, -1, -1])


def test_the_keys_of_discrete_actions():
    keys = PageActions(SPACES["five"])
    pressed = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    found = [int(keys.executed(keys.pack(from_keys(keys.space, *pair)))) for pair in pressed]
    assert found == [7, 8, 9, 10, 11]
    assert "no key 7, \u2190 8" in legend(keys.space)
    named = PageActions(SPACES["named"])
    found = [int(named.executed(named.pack(from_keys(named.space, *pair)))) for pair in pressed]
    assert found == [2, 5, 3, 2, 4]
    assert legend(named.space) == "Actions: no key 2, \u2190 5, \u2192 3, \u2193 4"
    assert legend(SPACES["two"]) == "Actions: no key 0, \u2192 1"


class Named:
    """An environment whose actions have names; those of Atari's games, or buttons as ViZDoom has them."""

    def __init__(self, names: tuple[str, ...], rows: tuple[tuple[int, ...], ...] = ()) -> None:
        self.unwrapped = self.game = self
        self.action_space = Discrete(len(rows or names))
        if rows:
            self.button_map = rows
            self.get_available_buttons = lambda: [SimpleNamespace(name=name) for name in names]
        else:
            self.get_action_meanings = lambda: list(names)


@pytest.mark.parametrize(
    ("names", "rows", "keys"),
    [
        (("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"), (), (0, 3, 2, 0, 0)),
        (("FIRE", "UP", "RIGHT", "LEFT", "DOWN", "NOOP"), (), (5, 3, 2, 1, 4)),
        (("NOOP", "FIRE"), (), ()),
        (("MOVE_LEFT", "MOVE_RIGHT"), ((0, 0), (0, 1), (1, 0)), (0, 2, 1, 0, 0)),
        (
            ("ATTACK", "TURN_LEFT", "TURN_RIGHT", "MOVE_FORWARD"),
            tuple(np.eye(4, dtype=int)),
            (0, 1, 2, 3, 0),
        ),
    ],
)
def test_arrow_keys_are_known_by_names(names, rows, keys):
    assert named_keys(Named(names, rows)) == keys


def test_names_of_other_actions_say_nothing():
    """A wrapper has left some actions out; or the names cannot be had."""
    wrapped = Named(("NOOP", "FIRE", "RIGHT", "LEFT"))
    wrapped.action_space = Discrete(2)
    assert named_keys(wrapped) == ()
    broken = Named(("LEFT", "RIGHT"))
    broken.get_action_meanings = lambda verbose: ["LEFT"]  # type: ignore[misc, assignment]
    assert named_keys(broken) == ()
    assert named_keys(SimpleNamespace(unwrapped=SimpleNamespace(button_map=[(1,)]))) == ()


def test_too_many_numbers_are_refused():
    with pytest.raises(ConfigError, match="at most 10 numbers for the page, got 11"):
        PageActions(ActionSpace("box", 11, (-1.0,) * 11, (1.0,) * 11, (11,)))


KEYS = """
const { fromKeys, pack, unpack } = await import(page + "/keys.js");
const found = given.map(([about, pressed, vectors]) => [
  pressed.map((pair) => fromKeys(about, pair)),
  vectors.map((vector) => pack(about, vector)),
  vectors.map((vector) => unpack(about, pack(about, vector))),
]);
console.log(JSON.stringify(found));
"""


@needs_node
def test_the_file_knows_the_same_keys():
    """`keys.js` against `arrow_keys.py` and `page_actions.py`."""
    pressed = [(t, s) for t in (-1, -0.3, 0, 0.1, 0.7) for s in (-0.9, 0, 0.25)]
    spaces = [PageActions(space) for space in SPACES.values()]
    random = np.random.default_rng(1)
    wanted = [[keys.space.sample(random).tolist() for _ in range(9)] for keys in spaces]
    asked = [[k.described, pressed, w] for k, w in zip(spaces, wanted, strict=True)]
    for keys, vectors, found in zip(spaces, wanted, run_node(KEYS, asked), strict=True):
        given, packed, unpacked = found
        np.testing.assert_allclose(given, [from_keys(keys.space, *pair) for pair in pressed], atol=1e-6)
        pairs = [keys.pack(vector) for vector in vectors]
        np.testing.assert_allclose(packed, pairs, atol=1 / GRID)
        np.testing.assert_allclose(unpacked, [keys.unpack(pair) for pair in pairs], atol=1 / GRID)


@pytest.fixture(scope="module", params=SIZES)
def factory(request, tmp_path_factory) -> SessionFactory:
    folder = tmp_path_factory.mktemp("page")
    weights = write_gym_model(folder / "weights", request.param)
    actions = model_actions(weights)
    form = FormConfig("zh").form(*model_sizes(weights), actions=actions)
    theta = random_theta(form, np.random.default_rng(0), 0.5)
    files = RunFiles.of(folder, "rnnenv", 1, 4)
    files.write_theta(theta)
    files.write_card(to_card(form, theta))
    return SessionFactory(
        SessionFactoryConfig(
            weights=str(weights),
            controller=str(files.path(".json")),
            records=str(folder / "records"),
            videos=str(folder / "videos"),
        )
    )


def test_the_settings_of_the_page(factory):
    about = factory.describe()
    assert about["environment"].startswith("Dot")
    assert about["worlds"]["dream"] == about["worlds"]["seen"] == ""
    assert (
        about["worlds"]["road"]
        == about["worlds"]["split"]
        == f"There is no road in {about['environment']}."
    )
    assert about["maps"] == []
    assert "\u2190" in about["keys"]
    named = {name for _, name in about["latents"] if name}
    assert named <= {f"changes {part}" for part in OTHER_PARTS}
    assert about["step_time"]["seen"] == about["step_time"]["dream"] == 0.1  # two steps of 1/20 s
    with pytest.raises(ConfigError, match="no road"):
        factory.make(Start("road"))


@pytest.mark.parametrize("world", ["dream", "seen"])
def test_nobody_acts_before_a_key_is_pressed(factory, world):
    """Neither at the beginning nor after an episode was driven again."""
    session = Session(factory.make(Start(world, seed=3)))
    keys = session.scene.keys
    rest = keys.pack(from_keys(keys.space, 0, 0)).tolist()
    assert session.now.action.tolist() == rest
    session.set_action(1, -1)
    session.advance()
    again = replay(factory.make, session.script())
    assert again.person.tolist() == again.now.action.tolist() == rest
    assert again.moments[1].action.tolist() != rest
    session.close()
    again.close()


@pytest.mark.parametrize("world", ["dream", "seen"])
def test_an_episode_is_driven_replayed_and_saved(factory, world):
    session = Session(factory.make(Start(world, seed=3)), temperature=0.7)
    session.set_action(0.8, -1)
    assert session.advance()
    session.choose_policy("controller")
    for _ in range(3):
        assert session.advance()
    images, facts = session.show()
    assert ("dream" if world == "dream" else "predicted") in images
    assert len(facts["action"]) == 2
    frames = [moment.frame for moment in session.moments]
    assert not np.array_equal(frames[0], frames[-1])
    session.seek(1)
    np.testing.assert_array_equal(session.scene.env.frame(), frames[1])
    session.seek(4)
    np.testing.assert_array_equal(session.scene.env.frame(), frames[4])
    again = replay(factory.make, from_link(to_link(session.script())))
    for one, other in zip(session.moments, again.moments, strict=True):
        np.testing.assert_array_equal(one.frame, other.frame)
        assert one.total == other.total
    saved = factory.recorder.save(session)
    episode = read_episode(Path(factory.config.records) / saved["episode"])
    assert factory.model is not None
    assert episode.action.shape == (4, factory.model.actions.size)
    assert episode.meta["environment"]["id"] == factory.describe()["environment"]
    session.seek(1)  # another way from here
    session.choose_policy("person")
    session.set_action(0, 1)
    assert session.advance()
    assert session.at == 2
    session.close()
    again.close()


def test_an_episode_that_was_cut_is_saved_as_one(factory):
    ends = []
    for seed in range(6):
        session = Session(factory.make(Start("seen", seed=seed)))
        session.set_action(0, 1)
        while session.advance():
            pass
        saved = factory.recorder.save(session)
        episode = read_episode(Path(factory.config.records) / saved["episode"])
        ends.append(episode.meta["end"])
        assert episode.done.tolist() == [*[False] * (len(episode) - 1), ends[-1] == "terminated"]
        session.close()
    if factory.describe()["environment"] == "Dot-v3":  # where this key is rest
        assert "truncated" in ends


def test_an_environment_whose_close_fails_is_shown(caplog):
    found = absent_worlds(GymEnvironment(f"{MODULE}:FineDot-v1", '{"dtype": "float64"}'))
    assert set(found) == {"road", "split"}
    assert "its close failed" in caplog.text


def test_the_file_of_an_environment(factory, monkeypatch):
    monkeypatch.setattr(static_export, "_vendored", lambda name: b"runtime")
    html = static_export.render(factory)
    about = json.loads(re.search(r'id="about">(.*?)</script>', html).group(1))  # type: ignore[union-attr]
    assert about["policy"]["form"]["kind"] == about["actions"]["kind"] == about["evolution"]["form"]["kind"]
    assert about["worlds"] == {"dream": ""}
    assert about["drives"] == []
    assert about["evolution"]["end_cost"] == 0  # the default is in metres
    assert about["actions"]["size"] == about["action_size"]
    assert about["environment"].startswith("Dot")
    _, _, length = about["numbers"]["action"]
    assert length == about["check"]["steps"] * about["action_size"]
