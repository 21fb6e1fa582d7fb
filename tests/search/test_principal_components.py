"""The components that a search goes along: the same controllers, in fewer and better scaled numbers."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.controllers.controller_file import RunFiles, read_theta
from dreamduck.controllers.policy import Controller, ControllerForm, select
from dreamduck.search.principal_components import Subspace, find_subspace, sample_observations
from dreamduck.search.search import Search
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from dreamduck.world_model.mdn_rnn.layout import initial_parameters
from tests.controllers.fakes import CONFIG, Sphere

SIZES = MDNRNNConfig(z_size=4, hidden_size=6, mixtures=2)
FORM = ControllerForm("zh", z_size=4, hidden_size=6)


@pytest.fixture(scope="module")
def dream():
    parameters = initial_parameters(SIZES, 0)
    parameters["head_end/bias"][:] = -4  # a dream lasts some fifty steps
    random = np.random.default_rng(0)
    mu = random.normal(0, (3.0, 1.0, 0.1, 2.0), (20, 4)).astype(np.float32)
    return types.SimpleNamespace(dynamics=MDNRNN(parameters, SIZES), initial=InitialZ(mu, mu * 0 - 4))


def controllers(subspace, x):
    return [Controller(subspace.form, theta) for theta in subspace.expand(x).astype(np.float32)]


@pytest.mark.parametrize("hidden", [0, 3])
def test_a_controller_acts_on_the_components(dream, hidden):
    """What a theta in the subspace does is what its x does with the components themselves."""
    form = dataclasses.replace(FORM, hidden=hidden)
    subspace = find_subspace(dream, form, 5, seed=1)
    small = ControllerForm("z", hidden, z_size=5, hidden_size=0)
    assert subspace.size == small.size
    x = np.random.default_rng(1).normal(size=(4, small.size))
    seen = sample_observations(dream, 2)[:50]
    components = (select(form, seen) - subspace.mean) @ subspace.projection
    for controller, row in zip(controllers(subspace, x), x, strict=True):
        expected = Controller(small, row)(components.astype(np.float32))
        np.testing.assert_allclose(controller(seen), expected, atol=1e-4)


def test_components_have_variance_one_and_are_uncorrelated(dream):
    subspace = find_subspace(dream, FORM, 6, seed=3)
    seen = (
        select(FORM, sample_observations(dream, 3)).astype(np.float64) - subspace.mean
    ) @ subspace.projection
    np.testing.assert_allclose(np.cov(seen.T, bias=True), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-6)


def test_the_same_seed_finds_the_same(dream):
    one, two, other = (find_subspace(dream, FORM, 4, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one.projection, two.projection)
    assert not np.array_equal(one.projection, other.projection)


def test_it_begins_at_its_origin(dream):
    origin = np.arange(FORM.size) / 10
    subspace = find_subspace(dream, FORM, 4, seed=0, origin=origin)
    assert np.array_equal(subspace.expand(np.zeros(subspace.size)), origin)


def test_there_are_no_more_components_than_features(dream):
    assert find_subspace(dream, FORM, 99, seed=0).projection.shape == (10, 10)


def test_a_controller_without_biases_acts_on_components_that_are_not_centred(dream):
    """No bias, as in 2019: nothing would make up for a mean."""
    form = ControllerForm("zch", 0, 1, z_size=4, hidden_size=6, bias=False)
    origin = np.linspace(-0.3, 0.4, form.size)
    subspace = find_subspace(dream, form, 5, seed=1, origin=origin)
    assert subspace.size == 5
    x = np.random.default_rng(2).normal(size=(3, 5))
    seen = sample_observations(dream, 2)[:50]
    for controller, row in zip(controllers(subspace, x), x, strict=True):
        steering = np.tanh(seen @ origin + (seen @ subspace.projection) @ row)
        np.testing.assert_allclose(controller(seen)[:, 1], steering, atol=1e-4)


def run(folder, dream, generations, **settings):
    config = dataclasses.replace(CONFIG, components=4, generations=generations, covariance="full")
    files = RunFiles.of(folder, "rnnenv", config.num_episode, config.population)
    made = Search(
        *(config, FORM, Sphere(), files), make_subspace=lambda: find_subspace(dream, FORM, 4, 0), **settings
    )
    made.run()
    return made


def test_a_search_in_the_subspace_resumes_where_it_was(tmp_path, dream):
    whole = run(tmp_path / "whole", dream, 6)
    run(tmp_path / "parts", dream, 2)
    resumed = run(tmp_path / "parts", None, 6)  # the components come from the state
    assert resumed.evolution.size == 2 + 4 * 2
    assert resumed.found.history[-1][2:] == whole.found.history[-1][2:]
    for ending in (".json", ".best.json"):
        theta = read_theta(whole.files.path(ending))
        assert theta.shape == (FORM.size,)
        assert np.array_equal(theta, read_theta(resumed.files.path(ending)))


def test_a_state_without_its_components_is_refused(dream):
    state = find_subspace(dream, FORM, 4, seed=0).state()
    with pytest.raises(CheckpointError, match="--fresh"):
        Subspace.restore(FORM, {"mean": state["mean"]})
    with pytest.raises(CheckpointError, match="10 features"):
        Subspace.restore(FORM, {**state, "mean": state["mean"][:3]})


def test_a_search_along_components_needs_a_function_that_finds_them(tmp_path):
    config = dataclasses.replace(CONFIG, components=4)
    with pytest.raises(ConfigError, match="components"):
        Search(config, FORM, Sphere(), RunFiles.of(tmp_path, "rnnenv", 2, 6))
