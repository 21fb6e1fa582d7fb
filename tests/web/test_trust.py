"""Until when a dream is true beside the road, and since when the model is uncertain alone."""

import shutil

import numpy as np
import pytest

from dreamduck.common.errors import WeightsError
from dreamduck.web.session import Session
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import Start
from dreamduck.web.split_scene import WRONG
from dreamduck.web.trust import Trust
from dreamduck.world_model import WorldModel
from dreamduck.world_model.ensemble import LIMIT_STEPS
from tests.web.model import write_ensemble, write_probe


def test_it_ends_with_the_second_that_is_too_uncertain():
    values = [0.1] * 20 + [0.9] * 6 + [0.1] * 20
    trust, seen = Trust(), []
    for value in values:
        trust = trust.after(value, limit=0.4)
        seen.append(trust.until)
    means = np.convolve(values, np.full(LIMIT_STEPS, 1 / LIMIT_STEPS), "valid")
    first = int(np.flatnonzero(means > 0.4)[0])
    assert seen[first + LIMIT_STEPS - 2] is None
    assert seen[first + LIMIT_STEPS - 1 :] == [first] * (len(values) - first - LIMIT_STEPS + 1)
    assert Trust().after(5.0, 0.4).until is None  # one step says nothing
    assert Trust().after(0.1, 0.4).after(np.inf, 0.4).after(0.1, 0.4).until == 1  # an end says it at once


def make(folder, world):
    factory = SessionFactory(SessionFactoryConfig(weights=str(folder)))
    return Session(factory.make(Start(world, seed=3, warm=True)))


def test_the_page_gets_the_uncertainty_of_a_dream(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    write_ensemble(folder, 1e-6)
    session = make(folder, "dream")
    model = WorldModel.load(folder)
    assert model.ensemble is not None
    for step in range(LIMIT_STEPS):
        assert session.show()[1]["true_until"] is None, step
        assert session.advance()
    assert session.show()[1]["true_until"] == 0
    session.seek(LIMIT_STEPS - 1)
    assert session.show()[1]["true_until"] is None
    session.seek(LIMIT_STEPS)
    found = session.now.trust.recent
    state = session.scene.env.dreams.state
    assert found[-1] == pytest.approx(float(model.ensemble.uncertainty(state.h)[0]), rel=1e-5)
    assert len(set(found)) == LIMIT_STEPS
    session.close()


def test_beside_the_road_the_distance_from_it_is_what_counts(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    write_ensemble(folder, 1e-6)  # says nothing here
    assert "true_until" not in make(folder, "split").show()[1]  # nothing measures it
    write_probe(folder)
    session = make(folder, "split")
    apart, until = [], []
    for _ in range(2 * LIMIT_STEPS):
        assert session.advance()
        facts = session.show()[1]
        apart.append(abs(facts["apart"]))
        until.append(facts["true_until"])
    assert session.now.trust.recent == pytest.approx(apart[-LIMIT_STEPS:])
    means = np.convolve(apart, np.full(LIMIT_STEPS, 1 / LIMIT_STEPS), "valid")
    first = int(np.flatnonzero(means > WRONG)[0])
    assert until[: first + LIMIT_STEPS - 1] == [None] * (first + LIMIT_STEPS - 1)
    assert set(until[first + LIMIT_STEPS - 1 :]) == {first}
    session.sync()  # the dream begins again
    assert session.show()[1]["true_until"] is None
    session.close()


@pytest.mark.parametrize("limit", [None, 1e6])
def test_without_a_limit_or_below_it(model_folder, tmp_path, limit):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    write_ensemble(folder, limit)
    session = make(folder, "dream")
    for _ in range(LIMIT_STEPS + 1):
        session.advance()
    facts = session.show()[1]
    assert ("true_until" in facts) == (limit is not None)
    assert facts.get("true_until") is None


def test_without_an_ensemble_and_with_a_damaged_one(model_folder, tmp_path):
    assert "true_until" not in make(model_folder, "dream").show()[1]
    folder = shutil.copytree(model_folder, tmp_path / "model")
    write_ensemble(folder, -1.0)
    with pytest.raises(WeightsError, match=r"limit: expected a number above 0, got -1\.0; train it again"):
        make(folder, "dream")
