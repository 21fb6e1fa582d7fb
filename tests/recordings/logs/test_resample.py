import numpy as np
import pytest

from dreamduck.common.errors import RecordError
from dreamduck.recordings.logs.drive_log import DriveLog, of_array
from dreamduck.recordings.logs.resample import resample

FRAMES = of_array(np.zeros((1000, 2, 2, 3), np.uint8))


def drive(frame_times, command_times=None, commands=None):
    paired = command_times is None
    frame_times = np.asarray(frame_times, float)
    command_times = frame_times if paired else np.asarray(command_times, float)
    if commands is None:
        commands = np.random.default_rng(0).uniform(-1, 1, (len(command_times), 2))
    return DriveLog(
        "log", frame_times, FRAMES, command_times, np.asarray(commands, float), "wheels", paired
    )


def only(log, step_time=0.1, max_gap=0.5, split=False):
    (steps,) = resample(log, step_time, max_gap, split)
    return steps


def test_rows_at_the_rate_of_the_steps_are_kept_as_they_are():
    log = drive(5.0 + 0.1 * np.arange(30).astype(np.float32))
    steps = only(log)
    assert steps.frames.tolist() == list(range(30))
    np.testing.assert_allclose(steps.commands, log.commands, atol=1e-4)


def test_each_step_has_the_newest_frame_and_the_mean_command():
    """Compared with a count of fine slices of time."""
    random = np.random.default_rng(1)
    frame_times = np.cumsum(random.uniform(0.02, 0.07, 100))
    command_times = 0.3 + np.cumsum(random.uniform(0.01, 0.2, 60))
    log = drive(frame_times, command_times)
    steps = only(log)
    start = max(frame_times[0], command_times[0])
    for k in range(len(steps.frames)):
        begin = start + 0.1 * k
        assert steps.frames[k] == np.flatnonzero(frame_times <= begin + 0.005)[-1]
        fine = begin + (np.arange(5000) + 0.5) * 0.1 / 5000
        held = log.commands[np.searchsorted(command_times, fine, side="right") - 1]
        np.testing.assert_allclose(steps.commands[k], held.mean(axis=0), atol=2e-3)
    assert start + 0.1 * len(steps.frames) <= max(frame_times[-1], command_times[-1]) + 0.3


def test_a_faster_log_is_thinned_and_a_slower_one_repeats_frames():
    assert only(drive(np.arange(61) / 30)).frames.tolist() == [*range(0, 61, 3)][:20]
    assert only(drive(np.arange(11) * 0.2)).frames.tolist() == [k // 2 for k in range(22)]


def test_gaps_are_refused_or_part_the_log():
    times = np.concatenate([np.arange(20) * 0.1, 4.0 + np.arange(20) * 0.1])
    with pytest.raises(RecordError, match=r"log: a gap of 2.1 s after frame 20 \(1.9 s\), .*--split"):
        list(resample(drive(times), 0.1, 0.5, False))
    parts = list(resample(drive(times), 0.1, 0.5, True))
    assert [part.frames.tolist() for part in parts] == [list(range(20)), list(range(20, 40))]
    assert len(only(drive(times), max_gap=3.0).frames) == 60


def test_a_gap_in_the_commands_alone():
    log = drive(np.arange(100) * 0.1, np.concatenate([np.arange(30), 60 + np.arange(40)]) * 0.1)
    with pytest.raises(RecordError, match=r"a gap of 3.1 s after command 30"):
        list(resample(log, 0.1, 0.5, False))
    first, second = resample(log, 0.1, 0.5, True)
    assert first.frames.tolist() == list(range(30))
    assert second.frames.tolist() == list(range(60, 100))
    np.testing.assert_allclose(second.commands, log.commands[30:], atol=1e-9)


def test_a_clock_that_goes_back():
    times = np.concatenate([10.0 + np.arange(20) * 0.1, np.arange(20) * 0.1])
    with pytest.raises(RecordError, match=r"the clock goes from 11.9 to 0 s after frame 20.*--split"):
        list(resample(drive(times), 0.1, 0.5, False))
    parts = list(resample(drive(times), 0.1, 0.5, True))
    assert [part.frames.tolist() for part in parts] == [list(range(20)), list(range(20, 40))]
    with pytest.raises(RecordError, match=r"after command 20, expected times that increase; cut the log"):
        list(resample(drive(np.arange(100) * 0.1, times), 0.1, 0.5, True))


def test_frames_and_commands_at_other_times():
    with pytest.raises(
        RecordError, match=r"frames from 0 to 4.9 s and commands from 1.7e.09 to .*--time-offset"
    ):
        list(resample(drive(np.arange(50) * 0.1, 1.7e9 + np.arange(50) * 0.1), 0.1, 0.5, False))


@pytest.mark.parametrize(
    ("times", "commands", "message"),
    [
        ([], np.zeros((0, 2)), "expected a frame and a command at least, got 0 and 0"),
        ([0.0, np.nan], [[0, 0], [0, 0]], "time nan in row 2"),
        ([0.0, 0.1], [[0, 0], [np.inf, 0]], "left duty inf in row 2"),
        ([0.0, 0.1], [[0, -37.0], [0, 0]], r"right duty -37 in row 1, expected a value in \[-1, 1\]"),
    ],
)
def test_values_that_are_none(times, commands, message):
    with pytest.raises(RecordError, match=message):
        drive(times, commands=commands)
