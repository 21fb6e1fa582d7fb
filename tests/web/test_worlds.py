"""The three worlds as they are driven, with the simulator itself and a made-up world model."""

import json
import os
import shutil
from typing import Any

import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, ControllerError, RecordError, WeightsError
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.policy import ControllerForm, random_theta
from dreamduck.evaluation.lane_probe import FILE, LaneProbe
from dreamduck.export import static_export
from dreamduck.recordings import read_episode
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.web.recording import to_episode
from dreamduck.web.replay import replay
from dreamduck.web.session import Session
from dreamduck.web.session_factory import START_ANGLE, SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import Start, from_link, to_link
from dreamduck.window.policy_switch import evolved
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.imagination.stepper import Dreams
from dreamduck.world_model.mdn_rnn import MDNRNN


@pytest.fixture(scope="module")
def factory(model_folder, tmp_path_factory) -> SessionFactory:
    folder = tmp_path_factory.mktemp("drive")
    files = RunFiles.of(folder, "rnnenv", 1, 4)
    files.write_theta(random_theta(ControllerForm("zh"), np.random.default_rng(0), 0.001))
    return SessionFactory(
        SessionFactoryConfig(
            weights=str(model_folder),
            controller=str(files.path(".json")),
            records=str(folder / "records"),
            videos=str(folder / "videos"),
        )
    )


def drive(session: Session, steps: int, policy: str = "expert") -> None:
    session.choose_policy(policy)
    for _ in range(steps):
        assert session.advance()


def test_settings_that_the_weights_did_not_learn_from(model_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    card = json.loads((folder / "rnn.json").read_text())
    card["environment"] = describe(replace(RoadConfig(), frame_skip=5))
    (folder / "rnn.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=r"frame_skip: expected 5, got 3.*--any-weights"):
        SessionFactory(SessionFactoryConfig(weights=str(folder)))
    assert SessionFactory(SessionFactoryConfig(weights=str(folder), any_weights=True)).model
    made = SessionFactory(
        SessionFactoryConfig(
            road=replace(RoadConfig(), frame_skip=5, map_name="udem1"), weights=str(folder)
        )
    )
    for world, environment in (("road", describe(made.config.road)), ("dream", card["environment"])):
        session = Session(made.make(Start(world, map_name="udem1")))
        session.advance()
        assert to_episode(session).meta["environment"] == environment
        session.close()
    monkeypatch.setattr(static_export, "_vendored", lambda name: b"runtime")
    out = tmp_path / "dream.html"
    assert static_export.main([str(out), "--weights", str(folder), "-q"]) is None
    assert out.is_file()  # with the settings that they learned from


def test_recordings_name_the_end_as_the_gym_worlds_do(factory, monkeypatch):
    predict = MDNRNN.predict

    def often(*given):
        return predict(*given)._replace(end=np.full(1, 0.2, np.float32))

    for world, end in (("road", "off-road"), ("dream", "dream-end")):
        session = Session(factory.make(Start(world, seed=8)), temperature=1.0)  # not at the first step
        session.set_action(1.0, 1.0)
        session.advance()
        assert to_episode(session).meta["end"] == "time"
        monkeypatch.setattr(MDNRNN, "predict", often)
        while not session.over:
            session.advance()
        assert to_episode(session).meta["end"] == end
        assert to_episode(session).done.tolist() == [False] * (len(session.moments) - 2) + [True]
        session.close()
        monkeypatch.undo()


def test_the_road_is_the_road(factory):
    session = Session(factory.make(Start("road", seed=4)))
    drive(session, 12)
    road = Road(replace(RoadConfig(), start_angle=START_ANGLE))
    road.reset([4])
    rewards = [float(road.step(action[None]).reward[0]) for action in session.actions()]
    assert (road.frames()[0] == session.now.frame).all()
    assert [moment.outcome.reward for moment in session.moments[1:]] == rewards
    _, facts = session.show()
    assert facts["distance"] > 0.1
    assert np.isfinite(facts["lane_dist"])
    road.close()
    session.close()


@pytest.mark.parametrize("world", ["road", "seen", "dream"])
def test_going_back_and_on_as_before_gives_the_same(factory, world):
    session = Session(factory.make(Start(world, map_name="loop_dyn_duckiebots", seed=2)))
    drive(session, 9, "controller")
    before, facts = [moment.frame for moment in session.moments], session.show()[1]
    session.seek(3)
    assert (session.scene.env.frame() == before[3]).all()
    drive(session, 6, "controller")
    assert all((a == moment.frame).all() for a, moment in zip(before, session.moments, strict=True))
    assert session.show()[1] == facts
    session.close()


def test_the_dream_beside_the_road(factory):
    session = Session(factory.make(Start("split", seed=3, warm=True)), temperature=0.5)
    scene: Any = session.scene

    def apart():
        return session.show()[1]["apart_image"]

    assert apart() == 0  # from the same moment
    drive(session, 6, "expert")
    before = apart()
    assert before > 0
    images = session.show()[0]
    assert (images["reconstruction"] == factory.model.decode(scene.env.perception.z)[0]).all()
    session.sync()
    assert apart() == 0
    drive(session, 4, "expert")
    last = session.show()
    again = replay(factory.make, from_link(to_link(session.script())))
    again.seek(10)
    assert again.show()[1]["apart_image"] == last[1]["apart_image"] > 0
    assert all((again.show()[0][name] == image).all() for name, image in last[0].items())
    again.seek(3)
    again.seek(10)
    assert all((again.show()[0][name] == image).all() for name, image in last[0].items())
    session.seek(5)
    drive(session, 1, "expert")
    assert apart() == before
    session.close()
    again.close()


def test_the_meter_reads_the_probe(weights, tmp_path):
    random = np.random.default_rng(0)
    z = random.standard_normal((3000, 4)).astype(np.float32)
    true = np.stack([0.1 * z[:, 0] + 0.02 * z[:, 1] * z[:, 2], 0.3 * z[:, 3]], axis=1)
    folder = shutil.copytree(weights, tmp_path / "model")
    probe = LaneProbe.fit(z, true, WorldModel.load(folder).vae.weights)
    probe.error = (0.02, 0.1)
    probe.write(folder / FILE)
    made = SessionFactory(SessionFactoryConfig(weights=str(folder)))
    assert made.probe is not None
    more = random.standard_normal((20, 4)).astype(np.float32)
    assert made.probe.read(more) == pytest.approx(probe.read(more), abs=1e-4)
    assert made.probe.read(more)[:, 1] == pytest.approx(0.3 * more[:, 3], abs=0.05)
    names = dict(made.describe()["latents"])
    assert names[0] == "moves the car 10 cm right"
    assert names[3] == "turns the car 17° right"
    session = Session(made.make(Start("split", seed=3)))
    drive(session, 5, "expert")
    scene: Any = session.scene
    facts = session.show()[1]
    seen, dreamt = (float(probe.read(at)[0, 0]) for at in (scene.env.perception.z, scene._dreams.z))
    assert facts["dream_lane_dist"] == pytest.approx(dreamt, abs=1e-3)
    assert facts["apart"] == pytest.approx(dreamt - seen, abs=1e-3)
    session.close()
    probe.vae = "another"
    probe.write(folder / FILE)
    assert SessionFactory(SessionFactoryConfig(weights=str(folder))).probe is None
    (folder / FILE).write_text("{}")
    with pytest.raises(WeightsError, match=r"lane_probe\.json: expected a probe"):
        SessionFactory(SessionFactoryConfig(weights=str(folder)))


def test_episodes_that_begin_in_motion():
    factory = SessionFactory(SessionFactoryConfig())
    for world in ("road", "split"):
        for seed in range(3):
            session = Session(factory.make(Start(world, seed=seed, warm=True)))
            facts = session.show()[1]
            assert facts["speed"] >= 0.3
            assert abs(facts["lane_dist"]) <= 0.05
            assert facts["distance"] == 0
            session.close()
    rewards = {
        warm: np.mean([straight_on(factory, Start("dream", seed=seed, warm=warm)) for seed in range(6)])
        for warm in (False, True)
    }
    assert rewards[True] > 0.02 > rewards[False]
    session = Session(factory.make(Start("dream", seed=5, warm=True)))
    again = replay(factory.make, from_link(to_link(session.script())))
    assert (again.scene.env.observation == session.scene.env.observation).all()


def straight_on(factory: SessionFactory, start: Start) -> float:
    """The reward of the first step of a dream."""
    session = Session(factory.make(start))
    session.set_action(0.5, 0.0)
    session.advance()
    return session.now.outcome.reward


@pytest.mark.parametrize("world", ["road", "dream"])
def test_a_link_drives_the_same_again(factory, world):
    session = Session(factory.make(Start(world, seed=3)), temperature=0.7)
    drive(session, 5, "controller")
    session.set_latents({7: 1.5})
    session.temperature = 1.3
    drive(session, 4, "controller")
    again = replay(factory.make, from_link(to_link(session.script())))
    assert again.at == 0
    again.seek(9)
    assert (again.now.frame == session.now.frame).all()
    assert again.show()[1]["total"] == session.show()[1]["total"]
    session.close()
    again.close()


def test_the_dream_is_that_of_the_library(factory):
    session = Session(factory.make(Start("dream", seed=11)), temperature=0.9)
    model = factory.model
    dreams = Dreams(model.dynamics, model.start_states(), temperature=0.9)
    dreams.reset([11])
    for step in range(8):
        session.set_action(0.5, np.sin(step))
        session.advance()
        expected = dreams.step(session.now.action[None])
        assert session.now.outcome.reward == expected.reward[0]
        assert np.array_equal(session.scene.latents, dreams.z[0])
        assert session.show()[1]["end_probability"] == pytest.approx(expected.prediction.end[0])
    session.seek(0)
    again = Session(factory.make(session.scene.start))  # with its first latents given
    assert np.array_equal(again.scene.latents, session.scene.latents)


def test_the_seen_road_is_seen_as_the_library_sees_it(factory):
    session = Session(factory.make(Start("seen", seed=5)))
    model = factory.model
    vae = Perception(model.vae, model.dynamics)
    observation = vae.reset(session.now.frame[None])
    drive(session, 6)
    for moment in session.moments[1:]:
        observation = vae.step(moment.frame[None], moment.action[None])
    assert session.scene.env.observation == pytest.approx(observation[0], abs=1e-5)
    images, facts = session.show()
    assert set(images) == {"camera", "reconstruction", "predicted"}
    assert (images["camera"] == session.now.frame).all()
    assert len(facts["z"]) == 64
    session.set_latents({0: 4.0})
    changed, facts = session.show()
    assert facts["changed_latents"] == [0]
    assert not (changed["reconstruction"] == images["reconstruction"]).all()
    session.close()


def test_temperature_nought_is_the_likeliest(factory):
    session = Session(factory.make(Start("dream", seed=1)), temperature=0.0)
    coming = session.show()[0]["next"]
    session.advance()
    assert (session.show()[0]["dream"] == coming).all()


def test_an_episode_becomes_a_recording(factory):
    session = Session(factory.make(Start("dream", seed=1)))
    with pytest.raises(RecordError):
        factory.recorder.save(session)
    drive(session, 5, "controller")
    saved = factory.recorder.save(session)
    episode = read_episode(factory.recorder.folder / saved["episode"])
    assert len(episode) == saved["steps"] == 5
    assert (episode.obs[0] == session.moments[0].frame).all()
    assert (episode.action == session.actions()).all()
    assert episode.meta["simulator"] == "dream"
    assert factory.recorder.video(saved["video"]).stat().st_size > 500
    assert factory.recorder.video("../" + saved["video"]) is None
    frame, length = factory.recorder.frame(saved["episode"].removesuffix(".npz"), 2)
    assert length == 5
    assert (frame == session.moments[2].frame).all()
    assert len(factory.latents(frame)) == 64


def test_environments_that_cannot_be_made(factory, tmp_path):
    strange = (Start("road", map_name="/etc/passwd"), Start("seen", map_name="none"))
    for start in (*strange, Start("dream", z=(1.0,))):
        with pytest.raises(ConfigError):
            factory.make(start)
    with pytest.raises(ConfigError):
        factory.outline("../../x.yaml")
    with pytest.raises(WeightsError):
        SessionFactory(SessionFactoryConfig(weights=str(tmp_path)))
    with pytest.raises(ControllerError):
        SessionFactory(
            SessionFactoryConfig(weights=factory.config.weights, controller=str(tmp_path / "none.json"))
        )


def test_which_controller_drives(tmp_path):
    names = ["rnnenv.cma.16.2", "rnnenv.cma.16.32", "realenv.cma.2.8"]
    for name in names:
        for ending in (".json", ".best.json", ".card.json"):
            (tmp_path / f"{name}{ending}").touch()
    assert [path.name for path in evolved(tmp_path)] == [f"{names[k]}.best.json" for k in (1, 0, 2)]


DAMAGED = [
    "[" * 100_000,
    "[[" + "9" * 5001 + "]]",
    "[[1e999]]",
    "{}",
    "",
    "[[" + "0.5," * 99 + "0.5]]",
    '[[0, 0, [["a"]]]]',
    "\ud800",
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_controller_in_the_log_is_passed_over(model_folder, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    log.mkdir()
    (log / "rnnenv.cma.64.64.best.json").write_bytes(text.encode(errors="surrogatepass"))
    (log / "rnnenv.cma.\u00b2.\u00b2.best.json").write_text("[]")
    (log / "rnnenv.cma.48.64.best.json").mkdir()
    os.mkfifo(log / "rnnenv.cma.32.64.best.json")
    good = RunFiles.of(log, "rnnenv", 1, 4)
    theta = random_theta(ControllerForm("zh"), np.random.default_rng(0), 0.001)
    good.write_evaluations([], [], theta, 1.0)
    found = SessionFactory(SessionFactoryConfig(weights=str(model_folder))).controller
    assert found is not None
    assert found.theta == pytest.approx(theta, abs=1e-4)
    named = SessionFactoryConfig(
        weights=str(model_folder), controller=str(log / "rnnenv.cma.64.64.best.json")
    )
    with pytest.raises(ControllerError) as caught:
        SessionFactory(named)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_every_map_that_is_offered_has_a_road(factory):
    maps = factory.describe()["maps"]
    assert len(maps) > 30
    assert "field1" not in maps  # which has none
    for name in maps:
        assert factory.outline(name)["name"] == name


def test_a_map_from_above(factory):
    outline = factory.outline("loop_obstacles")
    assert outline["tiles"]
    assert outline["things"]
    assert all(len(points) == 4 for points in outline["lanes"])


def test_without_weights_there_is_the_road(factory, tmp_path, monkeypatch):
    monkeypatch.setattr("dreamduck.web.session_factory.FOLDER", tmp_path)
    bare = SessionFactory(SessionFactoryConfig())
    about = bare.describe()
    assert about["world"] == "road"
    assert about["worlds"]["road"] == ""
    assert "no such file" in about["worlds"]["dream"]
    with pytest.raises(WeightsError):
        bare.make(Start("dream"))
    session = Session(bare.make(Start("road", seed=4)))
    drive(session, 1)
    with pytest.raises(ConfigError):
        session.set_latents({0: 1.0})
    session.close()
