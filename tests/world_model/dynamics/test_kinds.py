"""A second kind of dynamics goes everywhere that the first one goes, and needs no change there."""

import json

import numpy as np
import pytest

from dreamduck.common.errors import ControllerError, WeightsError
from dreamduck.controllers.evaluator import DreamEvaluator, EvalBatch
from dreamduck.controllers.factory import FormConfig, WorldConfig, model_sizes, world_facts
from dreamduck.controllers.policy import Controller, select
from dreamduck.envs.realenv import RealEnv
from dreamduck.envs.rnnenv import DreamEnv, DreamVectorEnv
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.export.static_export import dynamics_graphs
from dreamduck.pipeline.ablations import with_untrained_rnn
from dreamduck.search.principal_components import find_subspace
from dreamduck.world_model import WorldModel, kinds
from dreamduck.world_model.categorical import CategoricalConfig, CategoricalDynamics
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.dynamics.start_states import (
    INITIAL_FILE,
    MIDWAY_FILE,
    InitialZ,
    find_midway,
    write_initial,
    write_midway,
)
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.mdn_rnn import MDNRNN, files
from dreamduck.world_model.model_config import ModelConfig
from tests.world_model.categorical.helpers import random_parameters
from tests.world_model.dynamics.toy import ToyDynamics, ToySizes
from tests.world_model.mdn_rnn.helpers import toy_series, write_mdn_rnn

SIZES = ToySizes()
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (40, 3, 2)).astype(np.float32)


class FakeVAE:
    """Four means of a frame stand for its latent."""

    z_size = 4

    def __init__(self):
        self.card = {}

    def encode(self, frames):
        mu = np.stack([frames[:, i * 16 : (i + 1) * 16].mean(axis=(1, 2, 3)) for i in range(4)], axis=1)
        return (mu / 255).astype(np.float32), np.zeros((len(frames), 4), np.float32)


def a_categorical_one():
    sizes = CategoricalConfig(4, 2, SIZES.hidden_size, SIZES.variables, SIZES.classes, units=7)
    parameters = random_parameters(sizes)
    parameters["head_end/bias"] -= 4.0  # some steps pass before a dream ends
    return CategoricalDynamics(parameters, sizes)


@pytest.fixture(params=["toy", "categorical"])
def model(request, tmp_path, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "toy", ToyDynamics)
    dynamics = ToyDynamics(SIZES, {"seed": 3}) if request.param == "toy" else a_categorical_one()
    dynamics.save(tmp_path, {})
    mu = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    write_initial(tmp_path / INITIAL_FILE, InitialZ(mu, np.full_like(mu, -3.0)))
    write_midway(tmp_path / MIDWAY_FILE, find_midway(dynamics, toy_series(6), range(6)))
    return WorldModel.load(tmp_path)


def test_the_card_says_the_kind(model, tmp_path):
    kind = type(model.dynamics)
    assert kinds.KINDS[kind.kind] is kind is not MDNRNN
    assert (model.sizes.hidden_size, model.sizes.cell_size) == (6, 15)
    for name in ("memory", "mdn-rnn", None):
        folder = tmp_path / str(name)
        write_mdn_rnn(folder)
        card = json.loads((folder / files.CARD).read_text())
        assert card["kind"] == "mdn-rnn"
        card = {k: v for k, v in card.items() if k != "kind"} | ({"kind": name} if name else {})
        (folder / files.CARD).write_text(json.dumps(card))
        assert isinstance(WorldModel.load(folder).dynamics, MDNRNN)
    bad: list[object] = ["other", 3, None, []]
    for unknown in bad:
        (folder / files.CARD).write_text(json.dumps({**card, "kind": unknown}))
        with pytest.raises(WeightsError, match="kind: expected one of mdn-rnn, categorical, toy, got"):
            _ = WorldModel.load(folder).dynamics


def test_every_kind_has_its_own_temperature(model, tmp_path):
    """One place holds the default of the environments, the searches and their cards."""
    write_mdn_rnn(tmp_path / "mdn-rnn")
    mdn_rnn = WorldModel.load(tmp_path / "mdn-rnn")
    assert (mdn_rnn.kind, model.kind) == ("mdn-rnn", model.dynamics.kind)
    assert (mdn_rnn.temperature, mdn_rnn.search_temperature, mdn_rnn.search_steps) == (0.1, 0.3, 40)
    assert (model.temperature, model.search_temperature, model.search_steps) == (1.0, 1.0, 100)
    for kind in (mdn_rnn, model):
        assert kind.temperature in kind.dynamics.shown_temperatures
    for folder, found, searched in ((tmp_path / "mdn-rnn", 0.1, 0.3), (model.folder, 1.0, 1.0)):
        plain = ModelConfig(str(folder))
        assert plain.with_temperature().temperature == found
        assert plain.with_temperature(search=True).temperature == searched
        given = ModelConfig(str(folder), 0.7)
        assert given.with_temperature(search=True) == given
        assert world_facts("rnnenv", WorldConfig(model=plain))["world"]["temperature"] == found
        assert "temperature" not in world_facts("env", WorldConfig(model=plain))["world"]
    assert DreamEnv(model=model).temperature == 1.0
    assert DreamEnv(model=model, temperature=0.4).temperature == 0.4
    assert Dreams(model).temperature == 1.0


@pytest.mark.parametrize("beginning", ["first", "midway"])
def test_stepped_and_compiled_dreams_agree(model, beginning):
    c = model.sizes.policy_cell_size
    form = FormConfig(features="zch" if c else "zh").form(*model_sizes(model.folder))
    assert form.inputs == 4 + c + 6
    theta = np.random.default_rng(2).normal(0, 0.3, (2, form.size)).astype(np.float32)
    evaluator = DreamEvaluator(model.compiled_dream(beginning), form, 0.8)
    found = evaluator(EvalBatch(theta, (5, 6), episodes=1, steps=40))
    for row, seed in enumerate((5, 6)):
        controller, state = Controller(form, theta[row]), model.start([seed], beginning)
        total, ended, length = 0.0, False, 0
        while not ended and length < 40:
            seen = model.dynamics.features(state.z, RecurrentState(state.h, state.c))
            state, reward, end = model.step(state, controller(seen), 0.8)
            total, ended, length = total + float(reward[0]), bool(end[0]), length + 1
        assert (found.length[row, 0], found.ended[row, 0]) == (length, ended)
        assert found.reward[row, 0] == pytest.approx(total, abs=1e-4)
    assert found.length.min() > 1


def test_it_is_dreamt_in(model):
    env, many = DreamEnv(model=model, temperature=0.8), DreamVectorEnv(3, model=model, temperature=0.8)
    seen, _ = env.reset(seed=4)
    together, _ = many.reset(seed=[3, 4, 5])
    assert seen.shape == (4 + model.sizes.policy_cell_size + 6,)
    assert seen in env.observation_space
    np.testing.assert_array_equal(together[1], seen)
    assert env.dreams.state.c.sum() == SIZES.variables  # the first frame is known
    kept = env.get_state()
    first = [env.step(action) for action in ACTIONS[:5, 0]]
    env.set_state(kept)
    for one, action in zip(first, ACTIONS[:5, 0], strict=True):
        again = env.step(action)
        np.testing.assert_array_equal(again[0], one[0])
        assert again[1:4] == one[1:4]
    before = env.dreams.z.copy()
    assert env.expect([[0.3, 0.1]]).shape == (1, 4)
    np.testing.assert_array_equal(env.dreams.z, before)
    assert env.prediction is not None
    assert np.isfinite(env.prediction.entropy()[0])


def test_latents_that_are_set_change_what_follows(model):
    env = DreamEnv(model=model, temperature=0.1)
    env.reset(seed=4)
    kept = env.get_state()
    plain = env.step(ACTIONS[0, 0])[0]
    env.set_state(kept)
    before = env.dreams.state.c.copy()
    env.latents[:] = [3.0, -3.0, 3.0, -3.0]
    env.observe_latents()
    assert (env.dreams.state.c != before).any()
    assert (env.step(ACTIONS[0, 0])[0] != plain).any()


def test_it_sees_the_road(model):
    model.vae = FakeVAE()
    env = RealEnv(model=model, any_weights=True, next_z=True, debug=False)
    seen, _ = env.reset(seed=1)
    c = model.sizes.policy_cell_size
    assert seen.shape == (4 + c + 6,)
    np.testing.assert_array_equal(seen[4 : 4 + c], env.perception.state.c[0, :c])
    assert env.perception.state.c.sum() == SIZES.variables
    for action in ACTIONS[:3, 0]:
        after, *_ = env.step(action)
    assert (after != seen).any()
    assert np.isfinite(env.expected).all()
    assert np.abs(env.expected).max() > 0
    env.close()


def test_perception_observes_every_frame(model):
    perception = Perception(FakeVAE(), model.dynamics, 1)
    frames = np.random.default_rng(0).integers(0, 256, (3, 1, 64, 64, 3), dtype=np.uint8)
    perception.reset(frames[0])
    state = model.dynamics.observe(perception.z, model.dynamics.start())
    for t in (1, 2):
        z = perception.z.copy()
        perception.step(frames[t], ACTIONS[t, :1])
        state = model.dynamics.observe(perception.z, model.dynamics.advance(z, ACTIONS[t, :1], state))
    np.testing.assert_array_equal(perception.state.h, state.h)
    np.testing.assert_array_equal(perception.state.c, state.c)


def test_searches_and_ablations_take_it(model, tmp_path):
    form = FormConfig(features="zh").form(*model_sizes(model.folder))
    found = find_subspace(model.compiled_dream(), form, 5, seed=0)
    assert found.mean.shape == (10,)
    folder = with_untrained_rnn(model.folder, tmp_path / "untrained", 8)
    other = WorldModel.load(folder).dynamics
    assert type(other) is type(model.dynamics)
    name = next(iter(other.parameters))
    assert not np.array_equal(other.parameters[name], model.dynamics.parameters[name])


def test_the_static_page_refuses_an_unknown_kind_in_words():
    with pytest.raises(
        WeightsError, match=r"here: expected dynamics whose draws the page knows, got .*'toy'"
    ):
        dynamics_graphs(ToyDynamics(SIZES, {"seed": 3}), "here")


def test_a_policy_observes_the_state_after_its_action(model):
    sizes = model_sizes(model.folder)
    seen = np.arange(sum(sizes), dtype=np.float32)
    z, c, h = np.split(seen, [4, len(seen) - 6])
    for features, parts in {"z": [z], "zc": [z, c], "zh": [z, h], "zch": [z, c, h]}.items():
        if "c" in features and not len(c):
            with pytest.raises(ControllerError, match=f"expected z or zh, got '{features}'"):
                FormConfig(features=features).form(*sizes)
            continue
        np.testing.assert_array_equal(
            select(FormConfig(features=features).form(*sizes), seen), np.concatenate(parts)
        )
