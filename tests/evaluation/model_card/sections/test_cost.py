"""What a model costs."""

import pytest

from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.sections import cost
from dreamduck.world_model import WorldModel
from dreamduck.world_model.vae.layout import PAPER, Sizes, multiply_adds


@pytest.fixture(scope="module")
def dreams(model_folder):
    return Dreams(WorldModel.load(model_folder), 0.5)


def test_parameters_and_multiply_adds(dreams):
    found = cost.cost(dreams, None, None, None)  # type: ignore[arg-type]
    rnn = dreams.model.dynamics
    gates, _, heads, _ = rnn.merged()
    assert found["multiply_adds"]["step"] == gates.size + heads.size
    assert found["parameters"]["rnn"] == sum(array.size for array in rnn.parameters.values())
    encode, decode = multiply_adds(Sizes(64, PAPER))
    convolutions = 31**2 * 48 * 32 + 14**2 * 512 * 64 + 6**2 * 1024 * 128 + 2**2 * 2048 * 256
    assert encode == convolutions + 1024 * 128
    transposed = 25 * 1024 * 128 + 25 * 25 * 128 * 64 + 169 * 36 * 64 * 32 + 900 * 36 * 32 * 3
    assert decode == 64 * 1024 + transposed


def test_steps_a_second_are_measured(dreams, monkeypatch):
    monkeypatch.setattr(cost, "SECONDS", 0.01)
    monkeypatch.setattr(cost, "BATCHES", (1, 8))
    found = cost.timings(dreams)
    assert set(found["steps_per_second"]) == {"1", "8"}
    assert min(found["steps_per_second"].values()) > 1
