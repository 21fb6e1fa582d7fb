"""Open-loop dreams: the figures mean what they say, and the command writes them."""

import json
import math

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, TrainingError
from dreamduck.evaluation import open_loop_report
from dreamduck.evaluation.open_loop import (
    Dreamt,
    EpisodeWindow,
    dream_on,
    end_errors,
    return_errors,
    z_errors,
)
from dreamduck.world_model.mdn_rnn import MDNRNN
from dreamduck.world_model.vae import VAE, files
from tests.recordings.helpers import folder_of_episodes
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_memory
from tests.world_model.vae.helpers import parameters

SHOWN = 3


def window(steps, ended=False, seed=0):
    random = np.random.default_rng(seed)
    z = np.cumsum(random.normal(0, 0.2, (steps, 4)), axis=0).astype(np.float32)
    action = random.uniform(-1, 1, (steps, 2)).astype(np.float32)
    reward = random.normal(0.1, 0.1, steps).astype(np.float32)
    return EpisodeWindow(np.zeros((steps, 64, 64, 3), np.uint8), z, action, reward, ended)


def perfect(given, steps, dreams=2):
    """What a memory that knows everything would dream."""
    first, left = SHOWN - 1, len(given.reward) - (SHOWN - 1)
    z = np.full((steps, 4), 9.0, np.float32)
    z[: left - 1] = given.z[SHOWN : SHOWN + steps]
    reward, end = np.zeros(steps, np.float32), np.zeros(steps, np.float32)
    reward[:left] = given.reward[first : first + steps]
    if given.ended and left <= steps:
        end[left - 1] = 1.0
    return Dreamt(*(np.repeat(part[None], dreams, axis=0) for part in (z, reward, end, reward)))


def test_a_perfect_dream_has_no_error():
    windows = [
        window(12, ended=True, seed=0),
        window(30, seed=1),
        window(20, ended=True, seed=2),
        window(40, seed=3),
    ]
    dreamt = [perfect(given, 15) for given in windows]
    errors = z_errors(windows, dreamt, SHOWN, 15, np.zeros(4, np.float32))
    assert errors["dream"] == errors["dream_mean"] == 0
    assert errors["last_frame"] > 0.01
    assert errors["mean_frame"] > 0.01
    assert errors["steps"] == 9 + 15 + 15 + 15
    gains = return_errors(windows, dreamt, SHOWN, 15, 0)
    assert gains["error"] == pytest.approx(0, abs=1e-5)
    assert gains["correlation"] == pytest.approx(1)
    ends = end_errors(windows, dreamt, SHOWN, 15)
    assert ends["auc"] == 1
    assert ends["ended"] == ends["expected"] == 0.25  # the other end comes later than 15 steps
    assert ends["foreseen"] == 1
    assert ends["false_alarms"] == ends["time_error"] == 0


def test_episodes_cut_before_the_horizon_tell_nothing_of_ends():
    windows = [window(8, seed=0), window(30, seed=1)]
    ends = end_errors(windows, [perfect(given, 15) for given in windows], SHOWN, 15)
    assert ends["episodes"] == 1
    assert math.isnan(ends["auc"])


def test_dreams_follow_the_recorded_actions_and_what_was_shown():
    memory = MDNRNN(random_parameters(), SMALL)
    given = window(20)
    one = dream_on(memory, given, SHOWN, 30, 4, 1.0, 7)
    assert one.z.shape == (4, 30, 4)
    np.testing.assert_array_equal(one.z, dream_on(memory, given, SHOWN, 30, 4, 1.0, 7).z)
    assert not np.array_equal(one.z[0], one.z[1])
    changed = given._replace(z=given.z.copy())
    changed.z[SHOWN:] += 1  # not shown
    np.testing.assert_array_equal(one.z, dream_on(memory, changed, SHOWN, 30, 4, 1.0, 7).z)
    other = given._replace(action=-given.action)
    assert not np.array_equal(one.z, dream_on(memory, other, SHOWN, 30, 4, 1.0, 7).z)


def test_the_first_dreamt_step_is_one_prediction():
    memory = MDNRNN(random_parameters(), SMALL)
    given = window(20)
    state = memory.start()
    for t in range(SHOWN):
        state = memory.advance(given.z[t : t + 1], given.action[t : t + 1], state)
    prediction = memory.predict(given.z[SHOWN - 1 : SHOWN], state)
    found = dream_on(memory, given, SHOWN, 1, 1, 1.0, 0)
    np.testing.assert_allclose(found.reward[0, 0], prediction.reward[0], atol=1e-6)
    np.testing.assert_allclose(found.end[0, 0], prediction.end[0], atol=1e-6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openloop")
    folder_of_episodes(folder / "records", [30, 12, 40, 5])
    write_memory(folder / "weights", parameters=random_parameters())
    files.save(folder / "weights", parameters(4), {})
    return folder


def test_the_command_writes_figures_and_films(folders, tmp_path, capsys):
    flags = ["--records", str(folders / "records"), "--weights", str(folders / "weights"), "--everything"]
    flags += ["--out", str(tmp_path), "--horizons", "5,10", "--videos", "1", "--dreams", "2", "-q"]
    assert open_loop_report.main(flags) == 0
    result = json.loads((tmp_path / "openloop.json").read_text())
    assert result["episodes"] == 3  # the one of 5 frames is too short
    assert list(result["horizons"]) == ["5", "10"]
    found = result["horizons"]["10"]
    # a VAE of random weights decodes nothing well; but what is compared differs
    assert len({round(value, 3) for value in found["psnr"].values()}) == 4
    assert found["z_error"]["steps"] == 10 + 2 + 10
    assert (tmp_path / "openloop-0.mp4").stat().st_size > 1000
    assert not (tmp_path / "openloop-1.mp4").exists()
    assert "10 steps" in capsys.readouterr().out


def test_bad_input(folders):
    with pytest.raises(ConfigError, match="horizons"):
        open_loop_report.OpenLoopConfig(horizons=("5", "x"))
    short = open_loop_report.OpenLoopConfig(records=str(folders / "records"), shown=50, everything=True)
    with pytest.raises(TrainingError, match="more than 50 frames"):
        open_loop_report.find_windows(short, VAE(parameters(4)))
