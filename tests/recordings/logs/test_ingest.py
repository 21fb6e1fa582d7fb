import datetime
import json
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from dreamduck.cli import ingest as command
from dreamduck.common.area_average import area_average
from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, RecordError, VideoError
from dreamduck.common.video import write_video
from dreamduck.recordings import find_recordings, read_episode
from dreamduck.recordings.logs.datasets import roles_of
from dreamduck.recordings.logs.ingest import IngestConfig, actions_of, find_logs, first_seed, ingest
from dreamduck.simulator.physics.dynamics import wheel_duties
from dreamduck.simulator.robot import WHEEL_DISTANCE
from tests.recordings.logs.helpers import COUNT, duties, image_log, numbered, write_images, write_table

TIMES = 0.1 * np.arange(COUNT)


@pytest.fixture
def settings(tmp_path):
    return replace(IngestConfig(), records=str(tmp_path / "records"))


def episodes_of(settings):
    found = find_recordings(settings.records)
    return [read_episode(path) for path in found.paths]


def check(settings, steps=COUNT, tolerance=0):
    """The drive of the helpers, as it must be in the recordings."""
    episodes = episodes_of(settings)
    action = np.concatenate([episode.action for episode in episodes])
    obs = np.concatenate([episode.obs for episode in episodes])
    assert len(action) == steps
    expected = area_average(numbered(), 64, 64)
    error = obs.astype(int) - expected[:steps]
    assert np.abs(error).max() <= tolerance
    assert np.abs(error[..., 0].mean(axis=(1, 2))).max() < 2.5  # a frame away it is 3, and more
    for (throttle, steering), (left, right) in zip(action, duties(), strict=False):
        made = wheel_duties(throttle, steering * settings.road.steering_gain, WHEEL_DISTANCE, 1.0, 0.0)
        assert made == pytest.approx((left, right), abs=1e-3)
    for episode in episodes:
        assert episode.telemetry is None
        assert not episode.reward.any()
        assert not episode.done.any()
        assert episode.meta["environment"]["step_time"] == pytest.approx(0.1)


def test_images_with_their_names_in_the_table(settings, tmp_path):
    assert ingest(image_log(tmp_path / "drive", TIMES), settings) == (1, COUNT)
    check(settings)


def test_images_in_the_order_of_their_numbers(settings, tmp_path):
    """2.png comes before 10.png."""
    ingest(image_log(tmp_path / "drive", TIMES, frame=()), settings)
    check(settings)


def test_images_named_by_their_times(settings, tmp_path):
    folder = tmp_path / "drive"
    write_images(folder, numbered(), [f"{round((100 + time) * 1e9)}.png" for time in TIMES])
    left, right = duties().T
    slow = slice(None, None, 2)
    write_table(folder / "log.csv", {"stamp": 100 + TIMES[slow], "left": left[slow], "right": right[slow]})
    ingest(folder, settings)
    (episode,) = episodes_of(settings)
    np.testing.assert_array_equal(episode.obs, area_average(numbered(), 64, 64)[: len(episode)])
    np.testing.assert_allclose(episode.action[0::2], episode.action[1::2], atol=1e-6)


@pytest.mark.parametrize("paired", [True, False])
def test_images_named_by_seconds_with_fractions_of_any_length(settings, tmp_path, paired):
    """0.05 comes before 0.1 and 0.15, as Python prints times."""
    folder, (left, right) = tmp_path / "drive", duties().T
    times = 50.0 + np.arange(COUNT) / 20
    write_images(folder, numbered(), [f"{round(time, 2)}.png" for time in times])
    rows = slice(None) if paired else slice(None, None, 2)
    write_table(folder / "log.csv", {"time": times[rows], "left": left[rows], "right": right[rows]})
    ingest(folder, settings)
    (episode,) = episodes_of(settings)
    np.testing.assert_array_equal(episode.obs, area_average(numbered(), 64, 64)[::2])


def test_a_bad_image_leaves_the_recordings_as_they_were(settings, tmp_path):
    source = image_log(tmp_path / "drive", TIMES)
    image, short = source / "40.png", replace(settings, episode_steps=30)
    whole = image.read_bytes()
    image.write_bytes(b"not an image")
    with pytest.raises(RecordError, match=r"40\.png: not an image"):
        ingest(source, short)
    assert not list((tmp_path / "records").iterdir())
    image.write_bytes(whole)
    assert ingest(source, short) == (2, COUNT)
    before = {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()}
    image.write_bytes(b"not an image")
    with pytest.raises(RecordError, match=r"40\.png: not an image"):
        ingest(source, short, fresh=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()} == before


@pytest.mark.parametrize("short", [1, 4])
def test_short_episodes_of_a_data_set_are_left_out(settings, tmp_path, short):
    episode = np.repeat([0, 1], [COUNT - short, short])
    path = tmp_path / "drive.npz"
    np.savez(path, timestamp=TIMES, action=duties(), obs=numbered(), episode_index=episode)
    assert ingest(path, settings) == (1, COUNT - short)
    np.savez(tmp_path / "a.npz", timestamp=TIMES[:short], action=duties(short), obs=numbered(short))
    with pytest.raises(RecordError, match=r"no part has \d+ steps; give a smaller --min-steps"):
        ingest(tmp_path / "a.npz", settings)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ("wheels", [0, 1])),
        (["left_wheel", "Right wheel"], ("wheels", [0, 1])),
        (["right_wheel", "left_wheel"], ("wheels", [1, 0])),
        (["steering", "throttle"], ("actions", [1, 0])),
        (["throttle", "steering"], ("actions", [0, 1])),
    ],
)
def test_parts_of_an_action_are_known_by_their_names(names, expected):
    assert roles_of(names, "log") == expected


@pytest.mark.parametrize(
    "names", [["linear", "angular"], ["left", "left right"], ["left"], ["speed", "steering"]]
)
def test_an_action_of_other_names_is_refused(names):
    with pytest.raises(RecordError, match=f"log: expected an action of left.*got {', '.join(names)}"):
        roles_of(names, "log")


@pytest.mark.parametrize(
    "columns",
    [
        {"timestamp": np.array(["2026-11-27T10:00:00"] * COUNT)},
        {"left": np.array(["fast"] * COUNT), "right": np.zeros(COUNT)},
        {"left": np.zeros(COUNT), "right": np.zeros(COUNT - 1)},
    ],
)
def test_columns_that_are_no_numbers_are_one_line(settings, tmp_path, columns):
    given = {"obs": numbered(), "left": duties()[:, 0], "right": duties()[:, 1], **columns}
    np.savez(tmp_path / "a.npz", **given)
    with pytest.raises(RecordError, match=r"a\.npz: expected columns of numbers, of one length"):
        ingest(tmp_path / "a.npz", settings)


@pytest.mark.parametrize(
    ("fps", "columns", "text"),
    [
        (0, {}, "not the description of a LeRobot data set.*fps: 0"),
        (
            10,
            {"timestamp": [datetime.datetime(2026, 11, 27)] * COUNT},
            "not the rows of a LeRobot data set",
        ),
        (10, {"image": None}, "not the rows of a LeRobot data set"),
        (10, {"episode_index": [None] * COUNT}, "not the rows of a LeRobot data set"),
    ],
)
def test_a_damaged_lerobot_data_set_is_one_line(settings, tmp_path, fps, columns, text):
    with pytest.raises(RecordError, match=text):
        ingest(lerobot_set(tmp_path / "set", fps, columns), settings)


def test_times_of_a_lerobot_data_set_have_a_unit(settings, tmp_path):
    source = lerobot_set(tmp_path / "set", 10, {"timestamp_ms": (1000 * TIMES).tolist()})
    assert ingest(source, settings) == (1, COUNT)
    check(settings)


def lerobot_set(folder, fps, changed):
    """A data set of one episode, with other columns; None leaves one out."""
    import pyarrow
    from pyarrow import parquet

    features = {"image": {"dtype": "image"}, "action": {"dtype": "float32", "names": ["left", "right"]}}
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps({"fps": fps, "features": features}))
    images = [{"bytes": png(frame), "path": ""} for frame in numbered()]
    columns = {"action": duties().tolist(), "image": images, "episode_index": [0] * COUNT, **changed}
    table = folder / "data" / "chunk-000" / "file-000.parquet"
    table.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.table({k: v for k, v in columns.items() if v is not None}), table)
    return folder


def test_a_video_with_a_table_beside_it(settings, tmp_path):
    frames = numbered(COUNT)
    write_video(tmp_path / "drive.mp4", frames, 10)
    left, right = duties().T
    write_table(tmp_path / "drive.csv", {"time_ms": 1000 * (TIMES + 500), "left": left, "right": right})
    ingest(tmp_path / "drive.mp4", replace(settings, time_offset=500.0))
    check(settings, tolerance=25)  # of the video's compression


def test_columns_of_arrays(settings, tmp_path):
    two = np.repeat([0, 1], COUNT // 2)
    path = tmp_path / "drive.npz"
    made: dict[str, Any] = {
        "observation.images.front": numbered(),
        "action": duties(),
        "episode_index": two,
    }
    np.savez(path, timestamp=TIMES - two * TIMES[COUNT // 2], **made)
    assert ingest(path, settings) == (2, COUNT)
    check(settings)


def test_throttle_and_steering_are_taken_as_they_are(settings, tmp_path):
    values = np.random.default_rng(0).uniform(-1, 1, (2, COUNT)).astype(np.float32)
    path = tmp_path / "drive.npz"
    np.savez(path, time=TIMES, throttle=values[0], steering=values[1], obs=numbered())
    ingest(path, settings)
    np.testing.assert_allclose(episodes_of(settings)[0].action, values.T, atol=1e-5)


def test_a_minari_data_set(settings, tmp_path):
    path = tmp_path / "set" / "data" / "main_data.hdf5"
    path.parent.mkdir(parents=True)
    actions = np.random.default_rng(0).uniform(-1, 1, (COUNT, 2)).astype(np.float32)
    with h5py.File(path, "w") as file:
        for number, part in enumerate((slice(0, 30), slice(30, COUNT))):
            group = file.create_group(f"episode_{number}")
            group["actions"] = actions[part]
            frames = numbered(COUNT + 1)[part.start : part.stop + 1]
            group.create_dataset("observations/pixels", data=frames, compression="gzip")
            group["observations/speed"] = np.zeros(len(frames))
            group["rewards"] = np.ones(30)
    assert ingest(tmp_path / "set", settings) == (2, COUNT)
    found = episodes_of(settings)
    np.testing.assert_allclose(np.concatenate([e.action for e in found]), actions, atol=1e-6)
    np.testing.assert_array_equal(found[1].obs[0], area_average(numbered()[30:31], 64, 64)[0])


@pytest.mark.parametrize("videos", [True, False])
def test_a_lerobot_data_set(settings, tmp_path, videos):
    import pyarrow
    from pyarrow import parquet

    folder = tmp_path / "set"
    key, template = (
        "observation.images.front",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    )
    info = {
        "codebase_version": "v2.1",
        "fps": 10,
        "chunks_size": 1000,
        "video_path": template,
        "features": {
            key: {"dtype": "video" if videos else "image"},
            "action": {"dtype": "float32", "names": {"motors": ["left_wheel", "right_wheel"]}},
        },
    }
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    for number, rows in enumerate((slice(0, 30), slice(30, COUNT))):
        name = f"episode_{number:06d}"
        columns = {"action": duties()[rows].tolist(), "timestamp": (TIMES[rows] - TIMES[rows][0]).tolist()}
        if videos:
            write_video(folder / "videos" / "chunk-000" / key / f"{name}.mp4", numbered()[rows], 10)
        else:
            columns[key] = [{"bytes": png(frame), "path": ""} for frame in numbered()[rows]]
        path = folder / "data" / "chunk-000" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(columns), path)
    assert ingest(folder, settings) == (2, COUNT)
    check(settings, tolerance=25 if videos else 0)


@pytest.mark.parametrize("videos", [True, False])
def test_a_lerobot_data_set_with_many_episodes_in_a_file(settings, tmp_path, videos):
    import pyarrow
    from pyarrow import parquet

    folder, key = tmp_path / "set", "observation.images.front"
    info = {
        "codebase_version": "v3.0",
        "fps": 10,
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            key: {"dtype": "video" if videos else "image"},
            "action": {"dtype": "float32", "names": ["left", "right"]},
        },
    }
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    episode = np.repeat([0, 1], [30, COUNT - 30])
    times = (np.arange(COUNT) - 30 * episode) / 10
    columns = {"action": duties().tolist(), "timestamp": times, "episode_index": episode}
    table = folder / "data" / "chunk-000" / "file-000.parquet"
    table.parent.mkdir(parents=True)
    if videos:
        write_video(folder / "videos" / key / "chunk-000" / "file-000.mp4", numbered(), 10)
        names = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        episodes = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
        episodes.parent.mkdir(parents=True)
        rows: dict[str, Any] = dict(zip(names, ([0, 0], [0, 0], [0.0, 3.0]), strict=True))
        parquet.write_table(pyarrow.table({"episode_index": [0, 1], **rows}), episodes)
    else:
        columns[key] = [{"bytes": png(frame), "path": ""} for frame in numbered()]
    parquet.write_table(pyarrow.table(columns), table)
    assert ingest(folder, settings) == (2, COUNT)
    check(settings, tolerance=25 if videos else 0)
    if videos:
        info["video_path"] = "../{video_key}.mp4"
        (folder / "meta" / "info.json").write_text(json.dumps(info))
        with pytest.raises(RecordError, match="video_path: expected a path inside the data set"):
            ingest(folder, settings, fresh=True)
        parquet.write_table(
            pyarrow.table({"episode_index": [0], **{k: v[:1] for k, v in rows.items()}}), episodes
        )
        info["video_path"] = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        (folder / "meta" / "info.json").write_text(json.dumps(info))
        with pytest.raises(RecordError, match="meta/episodes lacks episode 1 of "):
            ingest(folder, settings, fresh=True)


def png(frame):
    import io

    data = io.BytesIO()
    Image.fromarray(frame).save(data, "PNG")
    return data.getvalue()


def test_long_drives_become_several_episodes_and_short_parts_are_left_out(settings, tmp_path):
    source = image_log(tmp_path / "drive", TIMES)
    assert ingest(source, replace(settings, episode_steps=25)) == (2, 50)  # the last 10 are too few
    with pytest.raises(ConfigError, match=r"drive was ingested before, as .*--fresh"):
        ingest(source, settings)
    assert ingest(source, settings, fresh=True) == (1, COUNT)
    assert [episode.meta["source"] for episode in episodes_of(settings)] == ["drive"]
    assert find_recordings(settings.records).seeds == (first_seed(source),)


def test_gain_and_trim_of_the_robot_are_taken_off(settings, tmp_path):
    (log,) = find_logs(image_log(tmp_path / "drive", TIMES), settings)
    made = actions_of(log, log.commands * (0.8, 1.0), replace(settings, gain=0.9, trim=0.1))
    np.testing.assert_allclose(made, actions_of(log, log.commands, settings), atol=1e-12)


def test_what_an_action_cannot_say_is_clipped_with_a_warning(settings, tmp_path, caplog):
    source = image_log(tmp_path / "drive", TIMES, vel_left=[-0.9] * COUNT, vel_right=[0.9] * COUNT)
    ingest(source, settings)
    assert "60 of 60 steps have commands outside the range of an action" in caplog.text
    assert np.abs(episodes_of(settings)[0].action).max() == 1.0


def test_swapped_colors_are_seen(settings, tmp_path):
    source = tmp_path / "drive.npz"
    np.savez(source, time=TIMES, action=duties(), frames=numbered()[..., ::-1])
    with pytest.raises(
        RecordError, match=r"expected frames in the order red, green, blue.*--color-order bgr"
    ):
        ingest(source, settings)
    assert not list(tmp_path.glob("records/*"))
    ingest(source, replace(settings, color_order="bgr"))
    check(settings)
    ingest(source, replace(settings, color_order="rgb"), fresh=True)
    assert episodes_of(settings)[0].obs[0, -1, 2].tolist() == [30, 200, 220]


def test_frames_of_the_simulator_pass_and_their_reverse_does_not(settings):
    from dreamduck.recordings.logs.drive_log import DriveLog, of_array
    from dreamduck.recordings.logs.ingest import check_colors
    from dreamduck.simulator.base import SimulatorConfig
    from dreamduck.simulator.native import NativeSimulator

    simulator = NativeSimulator(replace(SimulatorConfig(), map_name="udem1"), 40, threads=1)
    simulator.reset(list(range(40)))
    frames, times = simulator.frames(), np.arange(40, dtype=np.float64)
    for made in (frames, np.ascontiguousarray(frames[..., ::-1])):
        log = DriveLog("log", times, of_array(made), times, np.zeros((40, 2)), "wheels", True)
        if made is frames:
            check_colors(log, settings)
        else:
            with pytest.raises(RecordError, match="color-order"):
                check_colors(log, settings)


def no_commands(folder):
    write_video(folder / "drive.mp4", numbered(5), 10)
    return folder / "drive.mp4"


def unknown_columns(folder):
    write_table(folder / "drive" / "log.csv", {"time": [0, 1], "a": [0, 1], "b": [0, 1]})
    return folder / "drive"


def no_times(folder):
    write_table(folder / "drive" / "log.csv", {"left": [0, 1], "right": [0, 1]})
    return folder / "drive"


def a_word(folder):
    write_table(folder / "drive" / "log.csv", {"time": [0, 1], "left": [0, "fast"], "right": [0, 1]})
    return folder / "drive"


def ragged(folder):
    (folder / "drive").mkdir()
    (folder / "drive" / "log.csv").write_text("time,left,right\n0,0,0\n1,0\n")
    return folder / "drive"


def missing_image(folder):
    source = image_log(folder / "drive", TIMES)
    (source / "7.png").unlink()
    return source


def damaged_image(folder):
    source = image_log(folder / "drive", TIMES)
    (source / "7.png").write_bytes(b"not an image")
    return source


def other_count(folder):
    source = image_log(folder / "drive", TIMES, frame=())
    (source / "7.png").rename(source / "front.png")
    (source / "8.png").unlink()
    return source


def a_text(folder):
    (folder / "drive.txt").write_text("left right")
    return folder / "drive.txt"


def damaged_video(folder):
    (folder / "drive.mp4").write_bytes(b"no video")
    write_table(folder / "drive.csv", {"time": [0, 1], "left": [0, 0], "right": [0, 1]})
    return folder / "drive.mp4"


def damaged_hdf5(folder):
    (folder / "drive.hdf5").write_bytes(b"no data")
    return folder / "drive.hdf5"


def minari_with_few_frames(folder):
    with h5py.File(folder / "drive.hdf5", "w") as data:
        data["episode_0/observations"] = numbered()[:30]
        data["episode_0/actions"] = duties()
    return folder / "drive.hdf5"


def minari_with_two_cameras(folder):
    with h5py.File(folder / "drive.hdf5", "w") as data:
        data["episode_0/observations/front"] = data["episode_0/observations/back"] = numbered()
        data["episode_0/actions"] = duties()
    return folder / "drive.hdf5"


def float_frames(folder):
    np.savez(folder / "drive.npz", time=TIMES, action=duties(), obs=numbered() / 255)
    return folder / "drive.npz"


def a_gap(folder):
    return image_log(folder / "drive", TIMES + 5 * (np.arange(COUNT) > 30))


def short(folder):
    return image_log(folder / "drive", TIMES[:10])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_commands, "expected a CSV file of wheel commands and times beside the frames, got none"),
        (unknown_columns, "expected columns left and right .*, got time, a, b; name yours with --columns"),
        (no_times, "expected columns time, got left, right"),
        (a_word, "left 'fast' in row 2, expected a number"),
        (ragged, "row 2 has 2 values, expected 3"),
        (missing_image, "7.png: no such file"),
        (damaged_image, "7.png: not an image"),
        (other_count, "59 images for 60 rows of log.csv; expected a column 'frame'"),
        (a_text, "expected a folder of images with a CSV file, a video"),
        (damaged_video, "drive.mp4: not a video"),
        (damaged_hdf5, "not a Minari data set"),
        (minari_with_few_frames, "observations has 30 frames, expected one for each of 60 actions"),
        (minari_with_two_cameras, "expected one array of frames among .*, got back, front"),
        (float_frames, "obs is float64 .*, expected uint8"),
        (a_gap, "a gap of 5.1 s after frame 31"),
        (short, "no part has 20 steps; give a smaller --min-steps"),
        (lambda folder: folder / "nothing", "no such file or folder"),
    ],
)
def test_bad_logs_are_reported_in_one_line(settings, tmp_path, make, message):
    source = make(tmp_path)
    with pytest.raises((RecordError, VideoError), match=message) as caught:
        ingest(source, settings)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"columns": ("left",)}, r"columns: expected time\|left"),
        ({"columns": ("wheel=a",)}, r"columns: expected time\|left"),
        ({"trim": 1.5}, "trim: expected less than the gain"),
        ({"color_order": "hsv"}, "color_order"),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(ConfigError, match=message):
        replace(IngestConfig(), **bad)


def test_names_of_columns_can_be_given(settings, tmp_path):
    source = image_log(tmp_path / "drive", TIMES)
    text = (source / "log.csv").read_text().replace("vel_left", "l").replace("vel_right", "r")
    (source / "log.csv").write_text(text.replace("time", "camera clock"))
    ingest(source, replace(settings, columns=("time=camera clock", "left=l", "right=r")))
    check(settings)


def test_the_command(settings, tmp_path, capsys):
    source = image_log(tmp_path / "drive", TIMES)
    assert command.main([str(source), "--records", settings.records, "-q"]) == 0
    assert "drive: 1 episodes, 60 steps (0.1 minutes)" in capsys.readouterr().out
    check(settings)
