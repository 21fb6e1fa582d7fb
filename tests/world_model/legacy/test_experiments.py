"""Folders of WorldModelsExperiments drive their environments as TensorFlow 1 computed it."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from PIL import Image

from dreamduck.cli import run
from dreamduck.common.backend import tf
from dreamduck.common.errors import WeightsError
from dreamduck.controllers.factory import load_controller, weights_fingerprints
from dreamduck.export.mdn_rnn_graphs import mdn_rnn_graph
from dreamduck.recordings.sources.paper_environments import (
    CAR_ROWS,
    DOOM_ROWS,
    CarActionsOf2018,
    DoomActionsOf2018,
    frame_of_2018,
)
from dreamduck.world_model import WorldModel, train_rnn
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.legacy.experiments import ExperimentRNN
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.vae.layout import shapes
from tests.world_model.mdn_rnn.helpers import toy_series

Z, H, K = 4, 12, 5
SCALE = 10_000


def numbers(random, *shape, spread=1.0):
    """Random integers, as the files have them."""
    return np.rint(random.standard_normal(shape) * spread * SCALE).astype(int)


def write(path: Path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([array.tolist() for array in arrays]))


@pytest.fixture(scope="module")
def vae():
    """The arrays of a `vae.json`, in TensorFlow 1's order."""
    random = np.random.default_rng(0)
    sizes = shapes(Z).values()
    return [numbers(random, *size, spread=1 / np.sqrt(np.prod(size[:-1]))) for size in sizes]


def folder(path: Path, vae, doom: bool) -> tuple[Path, Any, Any]:
    """A folder as it was published, the arrays of its MDN-RNN (the output layer first), and theta."""
    random = np.random.default_rng(1)
    inputs, outputs = Z + (2 if doom else 3), Z * K * 3 + doom
    sizes = (H, outputs), (outputs,), (inputs + H, 4 * H), (4 * H,)
    rnn = [numbers(random, *size, spread=0.4) for size in sizes]
    initial = numbers(random, 2, 6, Z)
    places = ["tf_models"] * 3 if doom else ["vae", "rnn", "initial_z"]
    write(path / places[0] / "vae.json", vae)
    write(path / places[1] / "rnn.json", rnn[2:] + rnn[:2] if doom else rnn)
    write(path / places[2] / "initial_z.json", initial)
    theta = random.standard_normal(Z + 2 * H if doom else 3 * (Z + H + 1)).round(4)
    (path / "log").mkdir()
    name = "doomrnn" if doom else "carracing"
    (path / f"log/{name}.cma.16.64.best.json").write_text(json.dumps([theta.tolist(), 900.5]))
    return path, [array / SCALE for array in rnn], theta


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def encoded(vae, frame):
    """mu as TensorFlow 1's graph gives it."""
    h = frame[np.newaxis] / 255.0
    for kernel, bias in zip(vae[0:8:2], vae[1:8:2], strict=True):
        h = np.maximum(tf.nn.conv2d(h, kernel / SCALE, 2, "VALID").numpy() + bias / SCALE, 0)
    return h.reshape(1, -1) @ (vae[8] / SCALE) + vae[9] / SCALE


def cell(rnn, inputs, c, h):
    """`LayerNormBasicLSTMCell` without its norm: gates i, j, f, o, and a forget bias of 1."""
    i, j, f, o = np.split(np.concatenate([inputs, h], 1) @ rnn[2] + rnn[3], 4, axis=1)
    c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
    return c, np.tanh(c) * sigmoid(o)


def frames_of(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("doom", [False, True])
def test_controllers_see_and_act_as_in_tensorflow_1(tmp_path, vae, doom):
    path, rnn, theta = folder(tmp_path / "published", vae, doom)
    model = WorldModel.load(path)
    controller = load_controller(next((path / "log").iterdir()), path)
    perception = Perception(model.vae, model.dynamics)
    wrapper = (DoomActionsOf2018 if doom else CarActionsOf2018)(gymnasium.Env())
    c = h = np.zeros((1, H))
    frames = frames_of(2, 12)
    seen = perception.reset(frames[:1])
    for step, frame in enumerate(frames[1:]):
        z = encoded(vae, frames[step])
        np.testing.assert_allclose(seen, np.concatenate([z, c, h], 1), atol=1e-5)
        if doom:
            wanted = taken = np.tanh(np.concatenate([z, c, h], 1) @ theta[:, np.newaxis])[0]
            buttons = [taken[0] < -0.3333, taken[0] > 0.3333]
            given = np.concatenate([taken, [step == 0]])
        else:
            weight = theta[3:].reshape(-1, 3)
            wanted = np.tanh(np.concatenate([z, h], 1) @ weight + theta[:3])[0]
            buttons = [wanted[0], (wanted[1] + 1) / 2, np.clip(wanted[2], 0, 1)]
            given = np.array(buttons)
        action = controller(seen)
        np.testing.assert_allclose(action[0], wanted, atol=1e-5)
        np.testing.assert_allclose(wrapper.action(action[0]), buttons, atol=1e-5)
        c, h = cell(rnn, np.concatenate([z, [given]], 1), c, h)
        seen = perception.step(frame[np.newaxis], action)


@pytest.mark.parametrize("doom", [False, True])
def test_graphs_take_the_same_inputs(tmp_path, vae, doom):
    """Of compiled dreams, and of the page."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path, rnn, _ = folder(tmp_path / "published", vae, doom)
    dynamics = WorldModel.load(path).dynamics
    assert isinstance(dynamics, ExperimentRNN)
    random = np.random.default_rng(3)
    session = onnxruntime.InferenceSession(mdn_rnn_graph(dynamics))
    step, perceive = dynamics.graph_step(tf), dynamics.graph_perceive(tf)
    for started in (0, 1):
        z, c, h = (random.standard_normal((1, n)).astype(np.float32) for n in (Z, H, H))
        c, h = c * started, h * started
        action = random.uniform(-1, 1, (1, dynamics.config.action_size)).astype(np.float32)
        number, *others = action[0].tolist()
        given = np.array([[number, *([1 - started] if doom else [(others[0] + 1) / 2, max(others[1], 0)])]])
        expected = cell(rnn, np.concatenate([z, given], 1), c, h)
        chance = np.full((1, Z), 0.5, np.float32), np.zeros((1, Z), np.float32)
        found = step(z, action, h, c, *chance, 1.0)
        np.testing.assert_allclose(found.c, expected[0], atol=1e-5)
        np.testing.assert_allclose(found.h, expected[1], atol=1e-5)
        seen = perceive(z, action, h, c, z)
        np.testing.assert_allclose(seen[0], expected[1], atol=1e-5)
        np.testing.assert_allclose(seen[1], expected[0], atol=1e-5)
        ended = sigmoid(expected[1] @ rnn[0][:, 0] + rnn[1][0]) if doom else 0.0
        np.testing.assert_allclose(found.end, ended, atol=1e-5)
        np.testing.assert_allclose(found.reward, float(doom), atol=1e-6)
        outputs = session.run(["c_next", "h_next"], {"z": z, "action": action, "h": h, "c": c})
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("doom", [False, True])
@pytest.mark.parametrize("flag", ["start", "adapt", "heads_only"])
def test_their_dynamics_are_not_trained_on(tmp_path, vae, doom, flag):
    path, _, _ = folder(tmp_path / "published", vae, doom)
    write_series(tmp_path, toy_series(20))
    places: dict[str, Any] = {
        "series": str(tmp_path),
        "weights": str(tmp_path / "new"),
        "log": str(tmp_path / "log"),
        flag: str(path),
    }
    with pytest.raises(
        WeightsError, match=r"expected dynamics that take actions as they are, got those of 2018"
    ):
        train_rnn.train(TrainingConfig(**places))


def imresize(picture):
    """`scipy.misc.imresize` of floats, and the conversion after it in the code of 2018."""
    data = picture.astype(np.float64) / 255.0
    spread = (data - data.min()) * (255.0 / (data.max() - data.min()))
    image = Image.fromarray((spread.clip(0, 255) + 0.5).astype(np.uint8)).resize((64, 64), 2)
    turned = np.round((1.0 - np.asarray(image).astype(np.float64)) * 255)
    return np.mod(turned.astype(np.int64), 256).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "rows", "kept"), [((96, 96, 3), CAR_ROWS, 84), ((480, 640, 3), DOOM_ROWS, 400)]
)
def test_frames_are_those_of_2018(shape, rows, kept):
    picture = np.random.default_rng(4).integers(20, 200, shape, dtype=np.uint8)
    picture[: kept // 3] = 20  # becomes 0, and then 255
    picture[kept:] = 255  # not seen
    found = frame_of_2018(picture, rows)
    assert (found[:16] == 255).all()
    np.testing.assert_array_equal(found, imresize(picture[:kept]))


class Road(gymnasium.Env):
    """What the car race looks like from outside."""

    observation_space = spaces.Box(0, 255, (96, 96, 3), np.uint8)
    action_space = spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))

    def __init__(self, lap_complete_percent=0.95):
        self.lap = lap_complete_percent

    def _look(self):
        return self.np_random.integers(0, 256, (96, 96, 3), dtype=np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._look(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        return self._look(), self.lap, self.steps == 7, False, {}


def test_the_command_takes_a_published_folder(tmp_path, vae, monkeypatch, capsys):
    monkeypatch.setitem(
        gymnasium.registry, "CarRacing-v3", EnvSpec("CarRacing-v3", entry_point=f"{__name__}:Road")
    )
    path, _, _ = folder(tmp_path / "carracing", vae, doom=False)
    file = str(path / "log/carracing.cma.16.64.best.json")
    run(["evaluate", "realenv", "norender", file, "3", "--episodes", "1", "--weights", str(path)])
    printed = capsys.readouterr().out
    assert f"model size {3 * (Z + H + 1)}" in printed
    assert "reward 7.0000 timesteps 7" in printed
    assert set(weights_fingerprints(path)) == {"vae.json", "rnn.json", "initial_z.json"}


def test_dreams_of_doom_are_rewarded_by_step(tmp_path, vae):
    path, _, _ = folder(tmp_path / "doomrnn", vae, doom=True)
    with gymnasium.make("DreamDuck-v2", weights=str(path), disable_env_checker=True) as env:
        assert env.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
        env.reset(seed=1)
        assert env.step(np.array([0.2], np.float32))[1] == 1.0
