import numpy as np
import pytest

from dreamduck.drive.session import REPLAY, Session, replay
from dreamduck.drive.start import MAX_LINK, Script, Start, from_link, on_grid, to_link
from dreamduck.errors import ActionError, ConfigError
from tests.drive.fakes import LineWorld


def driven(actions, temperature=0.5, seed=3):
    session = Session(LineWorld(Start("road", seed=seed)), temperature)
    for throttle, steering in actions:
        session.hold(throttle, steering)
        assert session.advance()
    return session


def places(session):
    return [moment.mark[0] for moment in session.moments]


def test_going_back_and_driving_on_differently():
    session = driven([(1, 0)] * 10)
    before = places(session)
    session.seek(4)
    assert session.world.place == before[4]
    assert len(session.moments) == 11  # nothing is lost by looking
    session.hold(-1, 0)
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
        session.hold(throttle, steering)
        session.advance()
    assert places(session) == before


def test_replay_shows_what_lies_ahead_and_drops_nothing():
    session = driven([(0.3, 0)] * 6)
    before = places(session)
    session.seek(0)
    session.choose_driver(REPLAY)
    seen = [session.world.place]
    while session.advance():
        seen.append(session.world.place)
    assert seen == before
    assert session.at == 6


def test_a_drive_ends_where_the_world_does():
    session = driven([])
    session.choose_driver("expert")
    while session.advance():
        pass
    assert session.now.outcome.end == "off-road"
    assert session.over
    assert not session.advance()
    session.seek(3)
    assert not session.over


def test_who_drives():
    session = driven([])
    session.choose_driver("expert")
    session.advance()
    assert session.now.action.tolist() == pytest.approx([1, 0.25], abs=1e-4)
    session.choose_driver("person")
    session.hold(0.5, 2.0)
    session.advance()
    assert session.now.action.tolist() == pytest.approx([0.5, 1.0], abs=1e-4)
    with pytest.raises(ConfigError, match="controller"):
        session.choose_driver("controller")
    with pytest.raises(ActionError):
        session.hold(float("nan"), 0)


def test_temperature_acts_from_the_next_step():
    session = driven([(0, 0)] * 3, temperature=0.0)
    assert session.world.place == 0
    session.heat(2.0)
    session.advance()
    assert session.world.place != 0
    for bad in (-0.1, 9, float("nan")):
        with pytest.raises(ConfigError):
            session.heat(bad)


def test_a_pulled_latent_stays_with_its_moment():
    session = driven([(0.5, 0)] * 4)
    session.seek(2)
    session.pull(0, 3.0)
    assert session.now.frame[0, 0, 1] == 60
    assert len(session.moments) == 3  # what came after no longer follows
    session.advance()
    session.seek(0)
    assert session.now.frame[0, 0, 1] == 0
    session.seek(2)
    assert session.now.frame[0, 0, 1] == 60
    with pytest.raises(ConfigError):
        session.pull(99, 0.0)
    with pytest.raises(ConfigError):
        session.pull(0, float("inf"))


def test_a_link_drives_the_same_again():
    session = driven([(np.sin(t), np.cos(t)) for t in range(30)])
    session.seek(20)
    session.heat(1.5)
    session.pull(0, 2.5)
    for _ in range(5):
        session.advance()
    script = from_link(to_link(session.script()))
    again = replay(LineWorld, script)
    assert again.at == 0
    assert places(again) == places(session)
    again.seek(25)
    assert again.now.frame.tolist() == session.now.frame.tolist()


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


def test_a_drive_with_too_many_pulls_has_no_link():
    random = np.random.default_rng(0)
    pulls = tuple((step, k, float(random.normal())) for step in range(1000) for k in range(10))
    with pytest.raises(ConfigError, match="pulled"):
        to_link(Script(Start("dream"), np.zeros((1000, 2), np.float32), (1.0,) * 1000, pulls))


def test_links_are_checked():
    good = to_link(driven([(1, 0)] * 3).script())
    bombs = to_link(Script(Start(), np.zeros((0, 2), np.float32), ()))
    for bad in ["", "x", good[:-8], good + "AAAA", "é" * 10, bombs[:20], "A" * (MAX_LINK + 1)]:
        with pytest.raises(ConfigError):
            from_link(bad)


@pytest.mark.parametrize(
    "head",
    [
        {"v": 2},
        {"temperatures": [[5, 1.0]]},
        {"temperatures": [[-1, 1.0], [4, 1.0]]},
        {"temperatures": [[3, 99]]},
        {"pulls": [[9, 0, 1.0]]},
        {"pulls": [[0, 0, 1e9]]},
        {"pulls": "no"},
        {"start": {"world": "moon", "z": ""}},
        {"start": {"world": "road", "z": "", "more": 1}},
        {"start": {"world": "road", "z": "AAAAfw=="}},
        {"start": {"world": "road", "seed": -1, "z": ""}},
        {"start": []},
    ],
)
def test_forged_links_are_refused(head):
    import base64
    import json
    import zlib

    whole = {"v": 1, "start": {"world": "road", "z": ""}, "temperatures": [[3, 1.0]], "pulls": [], **head}
    data = json.dumps(whole).encode() + b"\0" + np.zeros((3, 2), "<i2").tobytes()
    with pytest.raises(ConfigError):
        from_link(base64.urlsafe_b64encode(zlib.compress(data)).decode())


def test_a_link_that_would_fill_the_memory_is_refused():
    import base64
    import zlib

    with pytest.raises(ConfigError, match="too long"):
        from_link(base64.urlsafe_b64encode(zlib.compress(b"0" * 40_000_000, 9)).decode())
