from __future__ import annotations

import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, TrainingError
from dreamduck.common.storage import read_npz, write_npz
from dreamduck.search.cma_es import Evolution, EvolutionConfig


def returns(candidates):
    return -((candidates - 1.0) ** 2).sum(axis=1)


def make(size, population, covariance, seed=5):
    return Evolution(size, population, EvolutionConfig(sigma_init=0.5, covariance=covariance), seed)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize(("size", "population"), [(3, 2), (40, 3), (40, 8), (130, 16)])
def test_a_restored_state_continues_bit_for_bit(tmp_path, covariance, size, population):
    whole = make(size, population, covariance)
    restored = None
    for generation in range(40):
        candidates = whole.ask()
        if restored is not None:
            assert np.array_equal(restored.ask(), candidates)
            restored.tell(returns(candidates))
        whole.tell(returns(candidates))
        if generation in (0, 1, 6, 21):
            write_npz(tmp_path / "state.npz", whole.state(), compress=False)
            restored = make(size, population, covariance, seed=99)
            restored.restore(read_npz(tmp_path / "state.npz"))
            assert restored.generation == generation + 1
            assert np.array_equal(restored.mean, whole.mean)
            assert np.array_equal(restored.deviations, whole.deviations)
    assert restored is not None
    first, second = whole.state(), restored.state()
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert np.array_equal(array, second[name]), name


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_search_of_another_machine_continues_from_its_mean(covariance, caplog):
    whole = make(10, 12, covariance)
    for _ in range(30):
        whole.tell(returns(whole.ask()))
    state = whole.state()
    state["mean"] = np.nextafter(state["mean"], 9.0)  # as if BLAS had rounded otherwise there
    restored = make(10, 12, covariance, seed=99)
    restored.restore(state)
    assert "rounds differently" in caplog.text
    assert (restored.generation, restored.seed) == (30, 5)
    assert np.array_equal(restored.mean, state["mean"])
    np.testing.assert_allclose(restored.deviations, state["deviations"], rtol=1e-4)
    for _ in range(10):
        restored.tell(returns(restored.ask()))
    again = make(10, 12, covariance)
    again.restore(restored.state())
    assert again.generation == 40
    assert np.array_equal(again.ask(), restored.ask())
    for _ in range(100):
        again.tell(returns(again.ask()))
    np.testing.assert_allclose(again.mean, 1.0, atol=0.1)


def test_the_seed_alone_decides():
    np.random.seed(1)  # noqa: NPY002  (the global generator must play no part)
    first = make(6, 8, "full", seed=0).ask()
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, make(6, 8, "full", seed=0).ask())
    assert not np.array_equal(first, make(6, 8, "full", seed=1).ask())


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_it_finds_the_optimum(covariance):
    evolution = make(10, 12, covariance)
    for _ in range(200):
        evolution.tell(returns(evolution.ask()))
    np.testing.assert_allclose(evolution.mean, 1.0, atol=0.1)


def test_weight_decay_moves_the_mean_towards_zero():
    evolution = Evolution(
        4, 16, EvolutionConfig(sigma_init=0.5, weight_decay=1.0), 0, start=np.full(4, 3.0)
    )
    for _ in range(60):
        evolution.ask()
        evolution.tell(np.zeros(16))
    assert np.abs(evolution.mean).max() < 0.5


def test_bad_use_is_refused(tmp_path):
    evolution = make(4, 6, "full")
    with pytest.raises(TrainingError, match="expected ask"):
        evolution.tell(np.zeros(6))
    evolution.ask()
    with pytest.raises(TrainingError, match="6 finite returns"):
        evolution.tell(np.full(6, np.nan))
    with pytest.raises(TrainingError, match="2 candidates or more"):
        make(4, 1, "full")
    state = make(5, 6, "full").state()
    with pytest.raises(CheckpointError, match="expected 4 parameters"):
        evolution.restore(state)
    with pytest.raises(CheckpointError, match="diagonal covariance"):
        make(5, 6, "diagonal").restore(state)
    for name, value in (
        ("returns", np.full((1, 6), np.nan)),
        ("returns", np.zeros((2, 5))),
        ("deviations", -1),
    ):
        damaged = {**state, name: np.full(5, value) if name == "deviations" else value}
        with pytest.raises(CheckpointError, match="finite returns and positive deviations"):
            make(5, 6, "full").restore(damaged)
    with pytest.raises(CheckpointError, match="missing"):
        evolution.restore({})
