"""Actions of any environment as vectors."""

import numpy as np
import pytest
from gymnasium import spaces

from dreamduck.common.errors import ActionError, ConfigError
from dreamduck.recordings.sources import DRIVING, ActionSpace

LOW, HIGH = np.array([[-2, 0], [1, -3]], np.float32), np.array([[2, 1], [5, 3]], np.float32)
SPACES = [spaces.Discrete(4, start=2), spaces.Box(LOW, HIGH), spaces.Box(-1.0, 1.0, (2,))]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_actions_become_vectors_and_return(space):
    space.seed(3)
    actions = ActionSpace.of(space)
    native = np.stack([space.sample() for _ in range(20)])
    vectors = actions.encode(native, 20)
    assert vectors.shape == (20, actions.size)
    assert np.abs(vectors).max() <= 1
    np.testing.assert_allclose(actions.decode(vectors), native, atol=1e-5)
    np.testing.assert_array_equal(actions.executed(vectors), vectors)
    assert all(space.contains(one.astype(space.dtype)) for one in actions.decode(vectors))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_description_gives_the_same_space(space):
    actions = ActionSpace.of(space)
    found = ActionSpace.of_environment({"id": "Dot-v3", "action_space": actions.described})
    assert found == actions
    assert found.space == space
    assert found.sample(np.random.default_rng(0)).shape == (actions.size,)


def test_the_greatest_number_chooses_a_discrete_action():
    actions = ActionSpace.of(spaces.Discrete(3, start=5))
    assert actions.decode([[0.1, 0.3, -0.2], [0.9, 0.3, 0.2]]).tolist() == [6, 5]
    np.testing.assert_array_equal(actions.executed([[0.1, 0.3, -0.2]]), [[0, 1, 0]])


def test_what_lies_outside_a_box_is_clipped():
    actions = ActionSpace.of(SPACES[1])
    assert actions.encode(HIGH[None] * 9, 1).max() == 1
    np.testing.assert_allclose(actions.decode([[9.0, -9.0, 9.0, 0.0]]), [[[2, 0], [5, 0]]])


def test_duckietown_is_known_by_its_id():
    described = {"id": "DreamDuck-v0", "action_space": {"low": [-1, -1], "high": [1, 1]}}
    assert ActionSpace.of_environment(described) == DRIVING
    assert ActionSpace.of_environment({}) is None
    other = ActionSpace.of_environment({**described, "id": "Other-v0"})
    assert other is not None
    assert other.kind == "box"


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))),
        spaces.MultiDiscrete([2, 3]),
        spaces.Box(-np.inf, np.inf, (2,)),
        spaces.Box(0, 3, (2,), np.int64),
        spaces.Discrete(1000),
    ],
    ids=str,
)
def test_other_spaces_are_refused(space):
    with pytest.raises(ConfigError, match=r"expected .*got"):
        ActionSpace.of(space)


@pytest.mark.parametrize("found", [{"n": -1}, {"low": [0]}, {"low": [0], "high": ["x"]}, 7])
def test_damaged_descriptions_are_refused(found):
    with pytest.raises(ConfigError, match="card: action"):
        ActionSpace.of_environment({"id": "Dot-v3", "action_space": found})


@pytest.mark.parametrize("actions", [[7, 8], [6], [[5, 6]], [5.0, 6.0], ["a", "b"]])
def test_bad_discrete_actions_are_refused(actions):
    with pytest.raises(ActionError, match="action: expected"):
        ActionSpace.of(spaces.Discrete(3, start=5)).encode(actions, 2)


@pytest.mark.parametrize("actions", [[[0.0]], [[np.nan, 0.0]], [["a", "b"]]])
def test_bad_continuous_actions_are_refused(actions):
    with pytest.raises(ActionError, match="action: expected"):
        ActionSpace.of(spaces.Box(-2.0, 1.0, (2,))).encode(actions, 1)
