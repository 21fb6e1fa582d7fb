"""State by horizon: windows, the baselines, and real frames instead of dreams."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card.config import HORIZONS
from dreamduck.evaluation.model_card.dreams import Dreams, OpenLoop
from dreamduck.evaluation.model_card.driving.data import encode_episodes
from dreamduck.evaluation.model_card.probes.probe import fit_probes
from dreamduck.evaluation.model_card.sections.horizon import QUANTITIES, horizon, kinematics, make_windows
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.recordings.recorder import MapRecorder
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config, toy_data


@pytest.fixture(scope="module")
def model(model_folder):
    return WorldModel.load(model_folder)


@pytest.fixture(scope="module")
def data(model):
    return toy_data(model, steps=60)


class RealFrames(Dreams):
    """Dreams that show the recorded frames."""

    def __init__(self, model, real, first):
        super().__init__(model, 0.1)
        self.real, self.first = real, first

    def open_loop(self, z, action, steps, dreams, seed):
        found = super().open_loop(z, action, steps, dreams, seed)
        rows = np.minimum(self.first[:, None] + 1 + np.arange(steps), len(self.real.z) - 1)
        return OpenLoop(np.repeat(self.real.z[rows][:, None], dreams, axis=1), *found[1:])


def test_real_frames_in_the_place_of_dreams_come_out_at_the_floor(model, data):
    config = toy_config()
    probes = fit_probes(Dreams(model, 0.1), data, config)
    first = make_windows(data.held_out, config.warmup, steps=50, shortest=5, most=1).first
    found = horizon(RealFrames(model, data.held_out, first), data, probes, config)
    dreamt = horizon(Dreams(model, 0.1), data, probes, config)
    assert list(found["horizons"]) == [f"{seconds:g}" for seconds in HORIZONS]
    for seconds, part in found["horizons"].items():
        for name in QUANTITIES:
            for source in ("single", "mean", "best"):
                assert part[name][source] == part[name]["floor"]
            assert part[name]["last_frame"] == dreamt["horizons"][seconds][name]["last_frame"]
            assert part[name]["floor"]["n"] == 6
            best, single = (dreamt["horizons"][seconds][name][k]["value"] for k in ("best", "single"))
            assert best <= single
    assert dreamt["horizons"]["5"]["lane_angle"]["single"] != found["horizons"]["5"]["lane_angle"]["single"]


def test_windows_stand_one_behind_another_within_their_episodes(data):
    windows = make_windows(data.held_out, warmup=5, steps=20, shortest=5, most=3)
    assert windows.first.tolist()[:3] == [4, 29, 54]
    assert windows.left.tolist()[:3] == [55, 30, 5]
    assert windows.episode.tolist()[:4] == [0, 0, 0, 1]
    np.testing.assert_array_equal(windows.z[1], data.held_out.z[25:30])
    np.testing.assert_array_equal(windows.action[1], data.held_out.action[25:49])
    np.testing.assert_array_equal(windows.action[2, -1], data.held_out.action[59])
    assert not len(make_windows(data.held_out, warmup=58, steps=20, shortest=5, most=3).first)


def test_the_kinematic_baseline_obeys_the_commands_on_the_true_map(model):
    settings = RecorderConfig(road=RoadConfig(), policies=("expert",), max_frames=40, any_start=0.0, seed=3)
    recorder = MapRecorder(settings, "loop_empty", 4)
    real = encode_episodes([episode for _, episode in recorder.run(range(4))], model)
    recorder.close()
    windows = make_windows(real, warmup=20, steps=10, shortest=10, most=1)
    gain = {"steering_gain": RoadConfig().steering_gain}
    errors = []
    for action in (windows.action, windows.action * (1, -1)):
        moved = kinematics(real, windows._replace(action=action), 10, 0.1, gain)
        assert moved is not None
        rows = windows.first[:, None] + 1 + np.arange(10)
        errors.append(
            [np.abs(m - real.column(n)[rows]).mean() for n, m in zip(QUANTITIES, moved, strict=True)]
        )
    (offset, angle), (other_offset, other_angle) = errors
    assert offset < 0.02
    assert angle < 0.1
    assert other_offset > 3 * offset
    assert other_angle > 3 * angle

    late = windows.action.copy()
    late[:, -2:] = 1.0  # of these two the first is obeyed in the last half step, the second not at all
    moved, other = (
        kinematics(real, windows._replace(action=a), 10, 0.1, gain) for a in (windows.action, late)
    )
    assert moved is not None
    assert other is not None
    np.testing.assert_array_equal(moved[..., :9], other[..., :9])
    assert (moved[..., 9] != other[..., 9]).all()


def test_without_telemetry_or_with_short_episodes_it_is_left_out(model, data):
    assert "telemetry" in horizon(Dreams(model, 0.1), data, None, toy_config())["left_out"]
    probes = object()
    assert "longer" in horizon(Dreams(model, 0.1), data, probes, toy_config(warmup=59))["left_out"]  # type: ignore[arg-type]
