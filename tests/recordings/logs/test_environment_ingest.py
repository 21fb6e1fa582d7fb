"""Logs of other environments than Duckietown as recordings."""

from typing import Any

import h5py
import numpy as np
import pytest

from dreamduck.cli import ingest as command
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import FrameError, RecordError
from dreamduck.common.video import write_video
from dreamduck.recordings import find_recordings, read_episode
from dreamduck.recordings.logs.environment_ingest import EnvironmentIngestConfig, ingest_environment
from dreamduck.recordings.sources.images import ImageReader
from tests.recordings.logs.helpers import numbered, write_images, write_table
from tests.recordings.sources.worlds import MODULE

DISCRETE, BOX = f"{MODULE}:Dot-v3", f"{MODULE}:DotBox-v0"
COUNT = 24
RANDOM = np.random.default_rng(0)
CHOSEN = RANDOM.integers(5, 8, COUNT)  # Dot's actions begin at 5
PUSHED = np.stack([RANDOM.uniform(-2, 2, COUNT), RANDOM.uniform(0, 1, COUNT)], axis=1).round(3)
REWARD = RANDOM.normal(size=COUNT).round(3)
ENDED = np.arange(COUNT) == COUNT - 1


def config(folder, env=DISCRETE, **settings):
    return from_mapping(
        EnvironmentIngestConfig, {"env": env, "records": str(folder / "records"), **settings}
    )


def check(folder, env=DISCRETE, tolerance=0, rewards=True):
    """The log of this module, as it must be in the recordings."""
    episodes = [read_episode(path) for path in find_recordings(str(folder / "records")).paths]
    obs, action, reward = (
        np.concatenate([getattr(one, name) for one in episodes]) for name in ("obs", "action", "reward")
    )
    small = ImageReader(None, (0, 0, 0, 0), "log")
    expected = np.stack([small(frame) for frame in numbered(COUNT)])
    assert np.abs(obs.astype(int) - expected).max() <= tolerance
    if env == DISCRETE:
        np.testing.assert_array_equal(action, np.eye(3)[CHOSEN - 5])
    else:
        np.testing.assert_allclose(action, np.stack([PUSHED[:, 0] / 2, 2 * PUSHED[:, 1] - 1], 1), atol=1e-6)
    np.testing.assert_allclose(reward, REWARD if rewards else 0, atol=1e-6)
    assert [one.done.any() for one in episodes] == [*[False] * (len(episodes) - 1), rewards]
    assert episodes[0].meta["environment"]["id"] == env.split(":")[1]
    assert episodes[0].meta.get("rewards", True) is rewards
    return episodes


def image_log(folder):
    names = [f"{number}.png" for number in range(COUNT)]
    write_images(folder, numbered(COUNT), names)
    return folder


def test_a_folder_of_images(tmp_path, capsys):
    """In the order of their numbers: 2.png comes before 10.png."""
    log = image_log(tmp_path / "log")
    write_table(log / "a.csv", {"action": CHOSEN, "reward": REWARD, "terminated": ENDED.astype(int)})
    command.main([str(log), "--env", DISCRETE, "--records", str(tmp_path / "records")])
    assert f"1 episodes, {COUNT} steps; " in capsys.readouterr().out
    check(tmp_path)


def test_images_named_in_the_table_without_rewards(tmp_path):
    log = image_log(tmp_path / "log")
    names = [f"{number}.png" for number in range(COUNT)]
    write_table(log / "a.csv", {"action_0": PUSHED[:, 0], "action_1": PUSHED[:, 1], "frame": names})
    assert ingest_environment(log, config(tmp_path, BOX, episode_steps=11)) == (3, COUNT)
    check(tmp_path, BOX, rewards=False)


def test_a_video(tmp_path):
    write_video(tmp_path / "log.mp4", numbered(COUNT), 20)
    table = {"action": CHOSEN, "reward": REWARD, "done": ENDED}
    write_table(tmp_path / "log.csv", table)
    ingest_environment(tmp_path / "log.mp4", config(tmp_path))
    check(tmp_path, tolerance=40)  # colours of a video are coded in fewer places than its pixels


def test_columns_of_several_episodes(tmp_path):
    columns = {
        "action": PUSHED,
        "reward": REWARD,
        "terminated": ENDED,
        "episode_index": np.arange(COUNT) // 10,
    }
    np.savez(tmp_path / "log.npz", obs=numbered(COUNT), **columns)
    assert ingest_environment(tmp_path / "log.npz", config(tmp_path, BOX)) == (3, COUNT)
    check(tmp_path, BOX)


def test_ends_within_columns_split_them(tmp_path):
    """A table of several episodes without their numbers."""
    steps = np.arange(COUNT)
    columns = {"action": CHOSEN, "terminated": np.isin(steps, (6, 20)), "truncated": steps == 12}
    np.savez(tmp_path / "log.npz", obs=numbered(COUNT), **columns)
    assert ingest_environment(tmp_path / "log.npz", config(tmp_path)) == (4, COUNT)
    episodes = [read_episode(path) for path in find_recordings(str(tmp_path / "records")).paths]
    assert [len(one) for one in episodes] == [7, 6, 8, 3]
    assert [one.done.tolist().index(True) if one.done.any() else None for one in episodes] == [
        6,
        None,
        7,
        None,
    ]
    small = ImageReader(None, (0, 0, 0, 0), "log")
    np.testing.assert_array_equal(
        np.concatenate([one.obs for one in episodes]), np.stack([small(frame) for frame in numbered(COUNT)])
    )
    assert "steps 13 to 20" in episodes[2].meta["log"]


def test_spaces_capitals_and_a_byte_order_mark_in_the_header(tmp_path):
    log = image_log(tmp_path / "log")
    rows = zip(CHOSEN, REWARD, ENDED.astype(int), strict=True)
    text = "Reward, action ,Terminated\n" + "\n".join(f"{r},{a},{e}" for a, r, e in rows)
    (log / "steps.csv").write_bytes(text.encode("utf-8-sig"))
    assert ingest_environment(log, config(tmp_path)) == (1, COUNT)
    check(tmp_path)


def test_other_observations_beside_the_frames(tmp_path):
    columns: dict[str, Any] = {
        "observation.state": np.zeros((COUNT, 4), np.float32),
        "observation.image": numbered(COUNT),
    }
    np.savez(tmp_path / "log.npz", **columns, action=CHOSEN, reward=REWARD, terminated=ENDED)
    assert ingest_environment(tmp_path / "log.npz", config(tmp_path)) == (1, COUNT)
    check(tmp_path)


def test_a_minari_data_set(tmp_path):
    """It has a frame more than actions."""
    with h5py.File(tmp_path / "main_data.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group["observations/screen"] = numbered(COUNT + 1)
        for name, values in {"actions": CHOSEN, "rewards": REWARD, "terminations": ENDED}.items():
            group[name] = values
    ingest_environment(tmp_path, config(tmp_path))
    check(tmp_path)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"reward": REWARD}, "expected columns action, or action_0"),
        ({"action": CHOSEN + 9}, "log.npz, episode 0: action: expected 5 to 7"),
        ({"action": CHOSEN / 2}, "action: expected 24 integers from 5 to 7"),
        ({"action": CHOSEN[:-1]}, "expected columns of one length"),
        ({"action": CHOSEN, "reward": np.full(COUNT, np.nan)}, "reward: expected finite numbers"),
        ({"action": CHOSEN, "obs": numbered(COUNT) / 255}, "expected frames .* got float64"),
        ({"action": CHOSEN, "obs": numbered(COUNT)[..., :2]}, "expected an image"),
    ],
)
def test_a_bad_log_is_refused(tmp_path, columns, text):
    np.savez(tmp_path / "log.npz", **{"obs": numbered(COUNT), **columns})
    with pytest.raises((RecordError, FrameError), match=text) as found:
        ingest_environment(tmp_path / "log.npz", config(tmp_path))
    assert "\n" not in str(found.value)
    assert not list((tmp_path / "records").glob("*.npz"))


def test_actions_of_another_size_are_refused(tmp_path):
    log = image_log(tmp_path / "log")
    write_table(log / "a.csv", {"action_0": PUSHED[:, 0]})
    with pytest.raises(RecordError, match=r"expected shape \(24, 2\), got \(24, 1\)"):
        ingest_environment(log, config(tmp_path, BOX))
    write_table(log / "a.csv", {"action_0": PUSHED[:9, 0], "action_1": PUSHED[:9, 1]})
    with pytest.raises(RecordError, match="expected a frame, an action and a reward a step, got 24"):
        ingest_environment(log, config(tmp_path, BOX))
    with pytest.raises(RecordError, match="expected a folder of images"):
        ingest_environment(tmp_path / "nothing.mp4", config(tmp_path, BOX))
