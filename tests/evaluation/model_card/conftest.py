"""Dreams of a model of random weights, and recordings for it."""

import pytest

from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_data


@pytest.fixture(scope="module")
def dreams(model_folder):
    return Dreams(WorldModel.load(model_folder), 0.1)


@pytest.fixture(scope="module")
def data(dreams):
    return toy_data(dreams.model)
