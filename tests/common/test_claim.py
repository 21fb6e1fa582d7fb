"""A run writes over no file that it did not write, and never beside another process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.common.processes.mpi import Team
from dreamduck.common.storage import claim
from dreamduck.common.training_log import TrainingLog, read_training_log
from dreamduck.controllers.controller_file import ENDINGS
from dreamduck.controllers.factory import WorldConfig
from dreamduck.search.run import Plan, evolve
from dreamduck.world_model.vae.settings import TrainingConfig
from tests.controllers.fakes import CONFIG, FORM


class Run:
    """A run with a checkpoint and an output in one folder, and a log in another."""

    def __init__(self, folder: Path, log: str = "log") -> None:
        self.state = folder / "weights" / "state.npz"
        self.outputs = [folder / "weights" / "model.h5", folder / log / "model.jsonl"]

    def claim(self, fresh: bool = False):
        return claim("model", self.outputs, self.state, fresh)

    def write(self, text: str, fresh: bool = False) -> None:
        with self.claim(fresh):
            for path in (self.state, *self.outputs):
                path.write_text(text)


def test_a_run_resumes_over_its_own_files_only(tmp_path):
    run = Run(tmp_path)
    with run.claim() as resumes:
        assert not resumes
    run.write("one")
    with run.claim() as resumes:
        assert resumes
    with run.claim(fresh=True) as resumes:
        assert not resumes


@pytest.mark.parametrize("left", [0, 1])
def test_files_without_a_checkpoint_are_of_another_run(tmp_path, left):
    run = Run(tmp_path)
    run.write("one")
    run.state.unlink()
    run.outputs[1 - left].unlink()
    with pytest.raises(ConfigError, match=rf"{run.outputs[left].name}: .*another folder, or give --fresh"):
        run.write("two")
    assert run.outputs[left].read_text() == "one"
    run.write("three", fresh=True)
    assert run.outputs[left].read_text() == "three"


def test_one_log_for_two_runs_is_refused(tmp_path):
    one, two = Run(tmp_path / "one", "../log"), Run(tmp_path / "two", "../log")
    one.write("one")
    with pytest.raises(ConfigError, match=r"model\.jsonl"):
        two.write("two")
    two.write("two", fresh=True)
    with pytest.raises(ConfigError, match=r"model\.jsonl"):  # the log is the second's now
        one.write("one again")
    assert two.outputs[1].read_text() == "two"


def test_a_run_from_before_there_were_claims_resumes(tmp_path):
    run = Run(tmp_path)
    for path in (run.state, *run.outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    with run.claim() as resumes:
        assert resumes


def test_moved_folders_still_belong_together(tmp_path):
    Run(tmp_path / "a").write("one")
    (tmp_path / "a").rename(tmp_path / "b")
    with Run(tmp_path / "b").claim() as resumes:
        assert resumes


def test_a_damaged_note_stops_no_run(tmp_path):
    run = Run(tmp_path)
    run.write("one")
    for path in run.outputs:
        (path.parent / ".model.run").write_bytes(b"\xff" * 5000)
    with run.claim() as resumes:
        assert resumes


@pytest.mark.parametrize("fresh", [False, True])
def test_two_processes_never_write_at_once_and_a_dead_one_locks_nothing(tmp_path, fresh):
    code = (
        "import sys, time; from dreamduck.common.storage import claim\n"
        "with claim('model', [sys.argv[1]]):\n"
        "    print('held', flush=True); time.sleep(600)\n"
    )
    path = tmp_path / "log" / "model.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        run = Run(tmp_path)
        with pytest.raises(ConfigError, match="another process writes model there now"):
            run.write("one", fresh)
        with claim("other", [path]):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    run.write("two", fresh)
    assert path.read_text() == "two"


def test_a_search_leaves_a_finished_run_alone(tmp_path):
    plan = Plan("rnnenv", WorldConfig(), CONFIG, FORM, tmp_path)
    for ending in ENDINGS:
        path = plan.files.path(ending)
        path.write_text("finished")
        with pytest.raises(ConfigError, match="--fresh"):
            evolve(plan, Team())
        assert path.read_text() == "finished"
        path.unlink()


def test_trainings_leave_finished_weights_alone(tmp_path):
    from dreamduck.world_model.mdn_rnn.settings import TrainingConfig as DynamicsTraining
    from dreamduck.world_model.train_rnn import train as train_dynamics
    from dreamduck.world_model.train_vae import train

    weights, log = str(tmp_path / "weights"), str(tmp_path / "log")
    vae, dynamics = TrainingConfig(weights=weights, log=log), DynamicsTraining(weights=weights, log=log)
    for name in ("weights/vae.weights.h5", "weights/vae.json", "log/vae.jsonl"):
        alone(tmp_path / name, lambda: train(vae))
    for name in ("rnn.weights.h5", "rnn.json", "initial_z.json", "midway.npz"):
        alone(tmp_path / "weights" / name, lambda: train_dynamics(dynamics))
    alone(tmp_path / "log" / "rnn.jsonl", lambda: train_dynamics(dynamics))


def alone(path: Path, run) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("finished")
    with pytest.raises(ConfigError, match=rf"{path.name}: .*--fresh"):
        run()
    assert path.read_text() == "finished"
    path.unlink()


def test_a_fresh_logbook_keeps_the_old_one(tmp_path):
    for loss in (3.0, 2.0, 1.0):
        with TrainingLog(tmp_path, "vae", {"loss": loss}, fresh=True) as book:
            book.write(0, loss=loss)
            book.draw()
    found = [read_training_log(tmp_path / f"{name}.jsonl")[0]["loss"] for name in ("vae.1", "vae.2", "vae")]
    assert found == [3.0, 2.0, 1.0]
    for name in ("vae.1", "vae.2", "vae"):
        assert list((tmp_path / "tensorboard" / name).glob("events*"))
        assert (tmp_path / f"{name}.png").is_file()
        assert (tmp_path / f"{name}.config.json").is_file()
