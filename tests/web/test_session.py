import base64
import json
import re
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.web.replay import Cancelled, replay
from dreamduck.web.session import REPLAY, Session
from dreamduck.web.share_link import (
    MAX_CHANGES,
    MAX_LATENTS,
    MAX_LINK,
    MAX_STEPS,
    OLD_START_ANGLE,
    Script,
    Start,
    from_link,
    on_grid,
    to_link,
)
from tests.node import needs_node, run_node
from tests.web.fakes import LATENTS, LineEnv, LineScene


def driven(actions, temperature=0.5, seed=3):
    session = Session(LineScene(Start("road", seed=seed)), temperature)
    for throttle, steering in actions:
        session.set_action(throttle, steering)
        assert session.advance()
    return session


def places(session):
    return [moment.state._values["place"] for moment in session.moments]


def test_going_back_and_driving_on_differently():
    session = driven([(1, 0)] * 10)
    before = places(session)
    session.seek(4)
    assert session.scene.env.place == before[4]
    assert len(session.moments) == 11  # nothing is lost by looking
    session.set_action(-1, 0)
    session.advance()
    assert places(session)[:5] == before[:5]
    assert places(session)[5] != before[5]
    assert len(session.moments) == 6


def test_going_back_and_driving_on_as_before_gives_the_same():
    actions = [(np.sin(t), np.cos(t)) for t in range(20)]
    session = driven(actions)
    before = places(session)
    session.seek(7)
    for throttle, steering in actions[7:]:
        session.set_action(throttle, steering)
        session.advance()
    assert places(session) == before


def test_replay_shows_what_lies_ahead_and_drops_nothing():
    session = driven([(0.3, 0)] * 6)
    before = places(session)
    session.seek(0)
    session.choose_policy(REPLAY)
    seen = [session.scene.env.place]
    while session.advance():
        seen.append(session.scene.env.place)
    assert seen == before
    assert session.at == 6


def test_an_episode_ends_where_the_world_does():
    session = driven([])
    session.choose_policy("expert")
    while session.advance():
        pass
    assert session.now.outcome.end == "off-road"
    assert session.over
    assert not session.advance()
    session.seek(3)
    assert not session.over


def test_the_policy_drives():
    session = driven([])
    session.choose_policy("expert")
    session.advance()
    assert session.now.action.tolist() == pytest.approx([1, 0.25], abs=1e-4)
    session.choose_policy("person")
    session.set_action(0.5, 1.0)
    session.advance()
    assert session.now.action.tolist() == pytest.approx([0.5, 1.0], abs=1e-4)
    with pytest.raises(ConfigError, match="controller"):
        session.choose_policy("controller")


def test_temperature_acts_from_the_next_step():
    session = driven([(0, 0)] * 3, temperature=0.0)
    assert session.scene.env.place == 0
    session.temperature = 2.0
    session.advance()
    assert session.scene.env.place != 0


def test_a_changed_latent_stays_with_its_moment():
    session = driven([(0.5, 0)] * 4)
    session.seek(2)
    session.set_latents({0: 3.0})
    assert session.now.frame[0, 0, 1] == 60
    assert len(session.moments) == 3  # later moments are dropped
    session.advance()
    session.seek(0)
    assert session.now.frame[0, 0, 1] == 0
    session.seek(2)
    assert session.now.frame[0, 0, 1] == 60
    with pytest.raises(ConfigError):
        session.set_latents({99: 0.0})
    with pytest.raises(ConfigError):
        session.set_latents({0: float("inf")})


def test_latents_are_reset_and_viewed():
    session = driven([(0.5, 0)] * 2)
    before = session.scene.env.z.copy()
    session.set_latents({0: 3.0})
    session.set_latents({0: -3.0, 1: 1.0})
    views = session.view_latent(0, {"low": 0.0, "high": 10.0})
    assert [frame[0, 0, 1] for frame in views.values()] == [0, 200]
    assert session.scene.env.z[0] == -3.0  # looking changes nothing
    session.reset_latents()
    assert (session.scene.env.z == before).all()
    assert not session.script().changed_latents
    session.reset_latents()  # nothing to do
    for latent in (-1, LATENTS):
        with pytest.raises(ConfigError, match=f"expected 0 to {LATENTS - 1}"):
            session.view_latent(latent, {"low": 0.0})
    with pytest.raises(ConfigError, match="beside each other"):
        session.sync()


def test_a_link_drives_the_same_again():
    session = driven([(np.sin(t), np.cos(t)) for t in range(30)])
    session.seek(20)
    session.temperature = 1.5
    session.set_latents({0: 2.5})
    for _ in range(5):
        session.advance()
    script = from_link(to_link(session.script()))
    again = replay(LineScene, script)
    assert again.at == 0
    assert places(again) == places(session)
    again.seek(25)
    assert again.now.frame.tolist() == session.now.frame.tolist()


def test_an_episode_without_steps_has_the_temperature_that_it_is_given():
    script = from_link(to_link(Session(LineScene(Start("dream", seed=4)), 0.25).script()))
    assert replay(LineScene, script, 0.125).temperature == 0.125


def test_what_follows_a_moment():
    session = driven([(0.25 * t, -0.5) for t in range(4)])
    session.set_action(-0.75, 0.125)
    session.seek(2)
    assert session.following().tolist() == on_grid([0.5, -0.5]).tolist()
    session.seek(4)
    assert session.following().tolist() == on_grid([-0.75, 0.125]).tolist()


def test_a_link_of_a_long_noisy_drive_is_short_enough():
    random = np.random.default_rng(0)
    actions = np.stack([on_grid(a) for a in random.uniform(-1, 1, (3000, 2))])
    script = Script(
        Start("dream", z=tuple(float(v) for v in random.standard_normal(64).astype(np.float32))),
        actions,
        (1.0,) * 3000,
    )
    link = to_link(script)
    assert len(link) < MAX_LINK
    back = from_link(link)
    assert back.start == script.start
    assert (back.actions == actions).all()


def test_a_drive_with_too_many_changed_latents_has_no_link():
    random = np.random.default_rng(0)
    pulls = tuple((step, k, float(random.normal())) for step in range(1000) for k in range(10))
    with pytest.raises(ConfigError, match="changed"):
        to_link(Script(Start("dream"), np.zeros((1000, 2), np.float32), (1.0,) * 1000, pulls))


def test_links_are_checked():
    good = to_link(driven([(1, 0)] * 3).script())
    bombs = to_link(Script(Start(), np.zeros((0, 2), np.float32), ()))
    for bad in ["", "x", good[:-8], good + "AAAA", "é" * 10, bombs[:20], "A" * (MAX_LINK + 1)]:
        with pytest.raises(ConfigError):
            from_link(bad)


def forged(steps=3, **head):
    """A link with some parts of its head replaced."""
    start = {"world": "road", "z": ""}
    whole = {"v": 1, "start": start, "temperatures": [[steps, 1.0]], "pulls": [], **head}
    data = json.dumps(whole).encode() + b"\0" + np.zeros((steps, 2), "<i2").tobytes()
    return base64.urlsafe_b64encode(zlib.compress(data, 9)).decode()


COUNT = "expected temperatures of 3 steps, got a count of"
RANGE = "expected temperatures of 0 to 3"
OUTSIDE = "a latent that was set is out of range"
DAMAGED = "not one of ours, or damaged"


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"v": 2}, "expected version 1"),
        ({"temperatures": [[5, 1.0]]}, f"{COUNT} 5"),
        ({"temperatures": [[-1, 1.0], [4, 1.0]]}, f"{COUNT} -1"),
        ({"temperatures": [[1.5, 1.0], [1.5, 1.0]]}, f"{COUNT} 1.5"),
        ({"temperatures": [[True, 1.0], [2, 1.0]]}, f"{COUNT} True"),
        ({"temperatures": [[3, 3.5]]}, RANGE),  # no session takes it either
        ({"temperatures": [[3, "1"]]}, RANGE),
        ({"temperatures": [[3, 10**400]]}, RANGE),
        ({"temperatures": [[1, 1.0]] * 2}, "2 temperatures for 3 actions"),
        ({"temperatures": 3}, DAMAGED),
        ({"synced": 3}, "expected a list of at most 4 moments"),
        ({"synced": [4]}, "expected moments of 0 to 3"),
        ({"synced": [True]}, "expected moments of 0 to 3"),
        ({"synced": [0] * 5}, "expected a list of at most 4 moments"),
        ({"pulls": [[9, 0, 1.0]]}, OUTSIDE),
        ({"pulls": [[0, 0, 10.5]]}, OUTSIDE),
        ({"pulls": [[0, MAX_LATENTS, 1.0]]}, OUTSIDE),
        ({"pulls": [[0, -1, 1.0]]}, OUTSIDE),
        ({"pulls": [[0.5, 0, 1.0]]}, "expected [step, latent, value]"),
        ({"pulls": [[0, 0, 1.0], [0, 0, 2.0]]}, "a latent is set twice at one step"),
        ({"pulls": [[0, 0, float("nan")]]}, OUTSIDE),
        ({"pulls": [[0, 0]]}, DAMAGED),
        ({"pulls": "no"}, f"expected a list of at most {MAX_CHANGES} latents"),
        ({"start": {"world": "moon", "z": ""}}, "world: expected one of road, seen, dream, split"),
        ({"start": {"world": "road", "z": "", "more": 1}}, "Start: unknown more"),
        ({"start": {"world": "road", "z": "AAAAfw=="}}, "z: expected finite numbers of sensible size"),
        ({"start": {"world": "road", "z": "A" * 8 * MAX_LATENTS}}, f"at most {MAX_LATENTS} finite latents"),
        ({"start": {"world": "road", "seed": -1, "z": ""}}, "seed: expected at least 0, got -1"),
        ({"start": {"world": "road", "start_angle": 0, "z": ""}}, "start_angle: expected at least 1"),
        ({"start": []}, DAMAGED),
    ],
)
def test_forged_links_are_refused(head, words):
    assert len(from_link(forged()).actions) == 3
    with pytest.raises(ConfigError, match=re.escape(words)):
        from_link(forged(**head))


def test_a_link_that_would_fill_the_memory_is_refused():
    with pytest.raises(ConfigError, match="too long"):
        from_link(base64.urlsafe_b64encode(zlib.compress(b"0" * 40_000_000, 9)).decode())


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"temperatures": [[MAX_STEPS, 1.0]] * 20_000}, f"got a count of {MAX_STEPS}"),
        ({"pulls": [[0, 0, 0.0]] * 30_000}, "cut short or far too long"),
        ({"pulls": [[k % 3, k // 3, 0.0] for k in range(MAX_CHANGES + 1)]}, "expected a list of at most"),
    ],
)
def test_a_short_link_takes_little_memory(head, words):
    """A thousand letters that mean millions of numbers are refused before those are made."""
    link = forged(**head)
    assert len(link) < 20_000
    tracemalloc.start()
    with pytest.raises(ConfigError, match=words):
        from_link(link)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000_000


def test_a_link_without_a_start_angle_is_of_gym_duckietown_s():
    assert from_link(forged()).start.start_angle == OLD_START_ANGLE


def test_a_replay_can_be_given_up():
    made: list[LineScene] = []
    asked: list[None] = []

    def make(start):
        made.append(LineScene(start))
        return made[-1]

    def cancelled():
        asked.append(None)
        return len(asked) > 5

    script = Script(Start("road"), np.zeros((3000, 2), np.float32), (1.0,) * 3000)
    with pytest.raises(Cancelled):
        replay(make, script, cancelled=cancelled)
    assert made[0].env.steps == 5
    assert made[0].env.closed


def test_a_replay_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr("dreamduck.web.replay.REPLAY_LIMIT", 0.0)
    script = Script(Start("road"), np.zeros((3000, 2), np.float32), (1.0,) * 3000)
    with pytest.raises(ConfigError, match="of 3000 steps"):
        replay(LineScene, script)


def test_many_changed_latents_of_one_moment_are_one_frame(monkeypatch):
    """What a replay costs follows the number of steps, not that of latents."""
    frames: list[None] = []
    monkeypatch.setattr(LineEnv, "frame", lambda env: frames.append(None))
    pulls = tuple((step, latent, 1.0) for step in range(3) for latent in range(4))
    replay(LineScene, Script(Start("road"), np.zeros((2, 2), np.float32), (1.0,) * 2, pulls))
    assert len(frames) <= 1 + 2 + 3  # the beginning, two steps, three moments with changed latents


def test_after_a_replay_the_policy_before_it_continues():
    session = driven([(0.3, 0)] * 3)
    session.choose_policy("expert")
    session.seek(0)
    session.choose_policy(REPLAY)
    session.choose_policy(REPLAY)
    while session.advance():
        pass
    session.end_replay()
    assert session.policy == "expert"


def updated(moments, changes):
    """What a tab does with the changes."""
    first, rows = changes
    return [*moments[:first], *rows]


def scripted(session, moments):
    """The script of an episode that a tab knows."""
    actions = np.array([row[:2] for row in moments[1:]], np.float64).reshape(-1, 2) / 32767
    pulls = tuple((step, *item) for step, row in enumerate(moments) for item in row[3])
    temperatures = tuple(row[2] for row in moments[1:])
    return Script(session.scene.start, actions.astype(np.float32), temperatures, pulls)


def full_script(session):
    at, session.at = session.at, len(session.moments) - 1
    script = session.script()
    session.at = at
    return script


def random_drive(seed):
    """Random actions on a session; returns it, and the state of a tab that received all changes."""
    random = np.random.default_rng(seed)
    session = driven([])
    moments: list[list[Any]] = []
    for _ in range(120):
        match random.integers(6):
            case 0:
                session.seek(int(random.integers(len(session.moments))))
            case 1:
                session.set_latents({int(random.integers(4)): float(random.normal())})
            case 2:
                session.temperature = float(random.uniform(0, 3))
            case _:
                session.set_action(*random.uniform(-1, 1, 2))
                session.advance()
        if random.random() < 0.6:  # some moments are sent together
            moments = updated(moments, session.changes())
    return session, updated(moments, session.changes())


@pytest.mark.parametrize("seed", [5, 6, 14, 19])
def test_a_tab_that_takes_the_changes_knows_the_episode(seed):
    session, moments = random_drive(seed)
    known, whole = scripted(session, moments), full_script(session)
    assert (known.actions == whole.actions).all()
    assert known.temperatures == whole.temperatures
    assert known.changed_latents == whole.changed_latents
    assert session.changes() == (len(session.moments), [])


NODE = """
const { Episode, fromLink } = await import(page + "/episode.js");
const episode = new Episode();
episode.begin(given.start);
for (const changes of given.messages) episode.update(changes);
const link = await episode.link();
console.log(JSON.stringify({ link, back: await fromLink(link) }));
"""


@needs_node
def test_the_page_makes_and_reads_the_same_link():
    session, moments = random_drive(14)
    moments = [[*row[:4], step in (3, 5)] for step, row in enumerate(moments)]
    start = {**vars(Start("dream", seed=7, z=(0.5, -1.25, 3e-5))), "z": [0.5, -1.25, 3e-5]}
    answer = run_node(NODE, {"start": start, "messages": [[0, moments[:9]], [4, moments[4:]]]})
    found, whole = from_link(answer["link"]), full_script(session)
    assert len(set(whole.temperatures)) > 2
    assert len(whole.changed_latents) > 2
    assert (
        found.start
        == from_link(
            to_link(Script(Start(**{**start, "z": tuple(start["z"])}), whole.actions, whole.temperatures))
        ).start
    )
    assert (found.actions == whole.actions).all()
    assert found.temperatures == whole.temperatures
    assert found.changed_latents == whole.changed_latents
    assert found.synced == (3, 5)
    back = answer["back"]
    assert back["start"] == {**vars(found.start), "z": list(found.start.z)}
    assert (np.array(back["actions"], np.float32) == found.actions).all()
    assert tuple(back["temperatures"]) == found.temperatures
    assert tuple(map(tuple, back["changed"])) == found.changed_latents
    assert tuple(back["synced"]) == found.synced
