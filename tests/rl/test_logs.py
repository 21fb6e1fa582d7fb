"""The logs' files, as 2019 wrote them."""

from __future__ import annotations

import csv
import math
import sys

import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.rl import logs
from dreamduck.rl.log_columns import FAMILIES, Snapshot, log_entry

PPO2_COLUMNS = (
    "misc/serial_timesteps misc/nupdates misc/total_timesteps fps misc/explained_variance eprewmean "
    "eplenmean misc/time_elapsed loss/policy_loss loss/value_loss loss/policy_entropy loss/approxkl "
    "loss/clipfrac"
)


def moment(step: int = 100, **figures: float) -> Snapshot:
    recent = [(1.0, 10.0), (3.0, 20.0)]
    return Snapshot(
        step, step // 4, 2, 7, 1, 50.4, 2.0, recent, {k.replace("__", "/"): v for k, v in figures.items()}
    )


def entries_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_ppo2_has_the_columns_of_2019():
    made = log_entry("ppo2", moment(train__entropy_loss=-0.5, train__value_loss=4.0))
    assert " ".join(made) == PPO2_COLUMNS
    assert (made["eprewmean"], made["eplenmean"], made["fps"]) == (2.0, 15.0, 50)
    assert made["loss/policy_entropy"] == 0.5
    assert made["loss/value_loss"] == 2.0
    assert math.isnan(made["loss/approxkl"])


def test_ddpg_separates_the_latest_episodes():
    made = log_entry("ddpg", moment())
    assert made["rollout/return"] == 3.0
    assert made["rollout/return_history"] == 2.0


def test_every_family_has_a_column_of_steps():
    for family in FAMILIES:
        assert [key for key in log_entry(family, moment(step=123)) if key in logs.STEP_COLUMNS], family


def test_a_csv_gets_new_columns_and_keeps_its_entries(tmp_path):
    with logs.RunLog(tmp_path, "csv") as run_log:
        run_log.write({"a": 1}, 1)
        run_log.write({"a": 2, "b": 0.5}, 2)
    assert entries_of(tmp_path / "progress.csv") == [{"a": "1", "b": ""}, {"a": "2", "b": "0.5"}]


def test_resuming_drops_the_entries_after_the_checkpoint(tmp_path):
    with logs.RunLog(tmp_path, "csv,log") as run_log:
        for step in (10, 20, 30):
            run_log.write({"total_timesteps": step}, step)
    with open(tmp_path / "progress.csv", "a") as file:
        file.write("4")  # cut short by a kill
    with logs.RunLog(tmp_path, "csv,log", resume_step=20) as run_log:
        run_log.write({"total_timesteps": 25}, 25)
    assert [r["total_timesteps"] for r in entries_of(tmp_path / "progress.csv")] == ["10", "20", "25"]
    assert (tmp_path / "log.txt").read_text().count("total_timesteps") == 4


def test_the_table_on_the_screen(tmp_path, capsys):
    with logs.RunLog(tmp_path, "stdout") as run_log:
        run_log.write({"eprewmean": 12.3456, "nupdates": 3}, 1)
        run_log.message("done")
    dashes = "-" * 24
    lines = [dashes, "| eprewmean | 12.3     |", "| nupdates  | 3        |", dashes, "done"]
    assert capsys.readouterr().out == "\n".join(lines) + "\n"


def test_all_formats_write_their_files(tmp_path):
    with logs.RunLog(tmp_path, "log,csv,json,tensorboard") as run_log:
        run_log.write({"a": 1.0, "bad": math.nan}, 1)
    assert {p.name for p in tmp_path.iterdir()} == {"log.txt", "progress.csv", "progress.json", "tb"}
    assert (tmp_path / "progress.json").read_text() == '{"a": 1.0, "bad": null}\n'
    assert list((tmp_path / "tb").glob("events*"))


def test_environment_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_LOGDIR", str(tmp_path / "there"))
    assert logs.make_folder(None) == tmp_path / "there"
    monkeypatch.setenv("OPENAI_LOG_FORMAT", "csv,paper")
    with pytest.raises(ConfigError, match="paper"):
        logs.RunLog(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(ConfigError, match="log_path: cannot write"):
        logs.make_folder("/proc/1/logs")


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="log_path: cannot write"):
        logs.make_folder(str(tmp_path / "file" / "logs"))


def test_an_earlier_run_is_moved(tmp_path):
    assert logs.move_previous(tmp_path) is None
    (tmp_path / "progress.csv").write_text("a\n1\n")
    (tmp_path / "other.txt").touch()
    assert logs.move_previous(tmp_path) == tmp_path / "previous-1"
    assert (tmp_path / "previous-1" / "progress.csv").read_text() == "a\n1\n"
    assert (tmp_path / "other.txt").exists()
