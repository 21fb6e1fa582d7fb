"""Recipes: their plans, what they need, and their tables."""

import numpy as np
import pytest
from gymnasium import spaces

from dreamduck.common.errors import DependencyError
from dreamduck.pipeline import reproduce
from dreamduck.pipeline.recipes import RECIPES, table
from dreamduck.recordings import racing_policy
from dreamduck.recordings.racing_policy import racing
from dreamduck.recordings.sources.gym_environment import inspect


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_plan_of_commands(name, tmp_path, capsys):
    reproduce.main(["--recipe", name, "--folder", str(tmp_path / "r"), "--vae-steps", "3", "--show"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split(":")[0] for line in lines]
    rounds = ["iterate"] if RECIPES[name].settings.rounds else []
    made = ["record", "vae", "series", "rnn", "evolve", *rounds]
    assert names == [*made, "card", "video-dream", "video-real"]
    assert RECIPES[name].settings.environment.id in lines[0]
    assert "--max-steps 3 " in lines[1]
    assert not (tmp_path / "r").exists()


def test_flags_of_duckietown_are_none_of_a_recipe(capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["--recipe", "doom", "--maps", "loop_empty"])
    with pytest.raises(SystemExit):
        reproduce.main(["--recipe", "tetris"])
    assert "duckietown, doom, carracing" in capsys.readouterr().err.replace("'", "")


def test_what_is_not_installed_is_named_first(tmp_path, monkeypatch):
    missing = RECIPES["doom"]._replace(packages=("no_such_package",))
    monkeypatch.setitem(RECIPES, "doom", missing)
    with pytest.raises(DependencyError, match=r"dreamduck\[doom\]"):
        reproduce.main(["--recipe", "doom", "--folder", str(tmp_path)])


def scored(rows, **scores):
    return {
        "temperatures": rows,
        "scores": {name: {"return": value, "spread": 10.0} for name, value in scores.items()},
    }


def test_results_stand_beside_the_papers():
    rows = [
        {"temperature": t, "dream": {"mean": 900 + t, "std": 4.0}, "road": {"return": [300 + t, 5.0]}}
        for t in (0.5, 1.0, 1.15)
    ]
    text = table(RECIPES["doom"], scored(rows, controller=1234.0, random=200.0))
    assert "| trained in the dream | 1,234 ± 10 |" in text
    assert "| the paper: random actions | 210 ± 108 |\n| the paper: solved from | 750 |" in text
    assert "| 1 | 901 ± 4 | 301 ± 5 | 1,145 ± 690 | 868 ± 511 |" in text
    assert "| 1.15 | 901 ± 4 | 301 ± 5 | 918 ± 546 | 1,092 ± 556 |" in text
    car = table(RECIPES["carracing"], scored([], controller=700.0, improved=850.0, random=-30.0))
    assert "| then in the real environment | 850 ± 10 |" in car
    assert "temperature" not in car
    rounds = [
        {
            "round": k,
            "dream": {"mean": 800.0 + k, "std": 9.0},
            "road": {"return": [300 + k, 7], "episodes": 25},
        }
        for k in range(2)
    ]
    text = table(RECIPES["carracing"], {**scored([], controller=700.0), "rounds": rounds})
    assert "| after rounds | in the dream | real, 25 episodes |" in text
    assert "| 1 | 801 ± 9 | 301 ± 7 |" in text


@pytest.mark.parametrize("name", RECIPES)
def test_the_environment_of_a_recipe_gives_frames(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # ViZDoom leaves a file behind
    settings = RECIPES[name].settings
    environment, description = inspect(settings.environment)
    step_times = {"doom": 4 / 35, "carracing": 4 / 50}
    assert description["step_time"] == pytest.approx(step_times[name], abs=1e-5)
    assert description.get("arrow_keys") == {"doom": [0, 2, 1, 0, 0]}.get(name)  # none, right, left
    env = environment.make()
    try:
        frame, _ = env.reset(seed=3)
        last = np.eye(env.actions.size)[-1]
        for _ in range(5):
            following, reward, *_ = env.step(last)
        assert frame.shape == (64, 64, 3)
        assert frame.std() > 5
        assert (following != frame).any()
        assert name == "carracing" or reward == 4.0
    finally:
        env.close()


def road(bend):
    """A frame of a grey road on grass, which leaves the middle by `bend` pixels a row above the car."""
    frame = np.full((64, 64, 3), (102, 204, 102), np.uint8)
    for row in range(64):
        middle = 32 + round(bend * max(0, 50 - row))
        frame[row, max(0, middle - 7) : max(0, middle + 7)] = 102
    frame[51:58, 30:34] = (200, 10, 10)  # the car
    return frame


ACTIONS = spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))  # of CarRacing


def drive(frame, seed, steps=12):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(racing_policy, "FORGETS", (0.0, 0.0))
        act = racing(ACTIONS, seed)
    return np.array([act(frame) for _ in range(steps)])


def test_racing_follows_the_road():
    taken = {bend: np.stack([drive(road(bend), seed) for seed in range(40)]) for bend in (-0.6, 0, 0.6)}
    assert all(ACTIONS.contains(action) for one in taken.values() for action in one.reshape(-1, 3))
    steering, gas, _ = (np.array([one[..., n].mean() for one in taken.values()]) for n in range(3))
    assert steering[0] < -0.3 < abs(steering[1]) < 0.1 < 0.3 < steering[2]
    assert gas[1] > 1.2 * max(gas[0], gas[2])
    lost = np.stack([drive(road(9), seed, 6) for seed in range(40)])  # after the car's row it is gone
    assert (lost[:, -1, 1] < taken[0][:, 5, 1]).mean() > 0.7


def test_racing_forgets_the_road_at_times():
    """It keeps one action then, of which half lie at the bounds, and does not brake in half of them."""
    runs: list[np.ndarray] = []
    for seed in range(60):
        act = racing(ACTIONS, seed)
        actions = np.array([act(road(0)) for _ in range(200)])
        assert all(ACTIONS.contains(action) for action in actions)
        same = (np.diff(actions, axis=0) == 0).all(axis=1)
        begins = np.flatnonzero(same & ~np.r_[False, same[:-1]])
        runs += [actions[begin] for begin in begins]
    kept = np.array(runs)
    assert 150 < len(kept) < 600  # of 360 that are expected, less those that are cut or join
    assert 0.25 < (np.abs(kept[:, 0]) == 1).mean() < 0.42  # a third of the range lies beyond the bounds
    assert 0.6 < (kept[:, 2] == 0).mean() < 0.9
    assert abs(kept[:, 0].mean()) < 0.15


def test_racing_depends_on_its_seed_alone():
    assert (drive(road(0), 3) == drive(road(0), 3)).all()
    first, second = drive(road(0), 3), drive(road(0), 4)
    assert (first[:, 0] != second[:, 0]).all()
