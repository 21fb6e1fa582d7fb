"""Searches in dreams that differ: what is drawn for a dream depends neither on stops nor on ranks."""

import json
import subprocess
import sys

import pytest

from dreamduck.cli.evolve import main
from tests.common.processes.test_mpi import MPIEXEC, ROOT, clean
from tests.world_model.mdn_rnn.helpers import SMALL as SIZES
from tests.world_model.mdn_rnn.helpers import random_parameters, write_mdn_rnn

RANDOMIZED = {
    "--dynamics-rand": None,
    "--dynamics-spread": "1.4",
    "--action-delay": "2",
    "--latent-shift": "0.3",
}
SMALL = ["-n", "4", "-t", "1", "--num_episode", "2", "--eval_steps", "1", "--max-steps", "20", "-q"]
SMALL += ["--components", "0", "--block", "2", "--beginning", "first", "--sigma_init", "1"]


def words(flags):
    return [word for flag, value in flags.items() for word in (flag, value) if word is not None]


def arguments(folder, weights, generations=2, flags=RANDOMIZED):
    given = ["--weights", str(weights), "--log", str(folder), "--generations", str(generations)]
    return [*SMALL, *words(flags), *given]


def outcome(folder):
    """The parameters, and every return of the history."""
    (theta,) = json.loads((folder / "rnnenv.cma.2.4.json").read_text())
    rows = json.loads((folder / "rnnenv.cma.2.4.hist.json").read_text())
    return theta, [[row[0], *row[2:]] for row in rows]  # without the seconds


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Dynamics of random weights, whose dreams last."""
    folder = tmp_path_factory.mktemp("dynamics")
    parameters = random_parameters(SIZES)
    parameters["head_end/bias"][:] = -4.0
    write_mdn_rnn(folder, SIZES, parameters)
    return folder


@pytest.fixture(scope="module")
def whole(weights, tmp_path_factory):
    """The outcome of a search that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    main(arguments(folder, weights))
    return outcome(folder)


def test_stopped_and_taken_up_is_as_never_stopped(weights, whole, tmp_path):
    main(arguments(tmp_path, weights, 1))
    assert outcome(tmp_path) != whole
    main(arguments(tmp_path, weights))
    assert outcome(tmp_path) == whole


def test_two_ranks_find_what_one_finds(weights, whole, tmp_path):
    program = "import sys; from dreamduck.cli.evolve import main; main(sys.argv[1:])"
    subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, "-c", program, *arguments(tmp_path, weights)],
        cwd=ROOT,
        env={**clean(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    assert outcome(tmp_path) == whole


@pytest.mark.parametrize("left_out", RANDOMIZED)
def test_each_option_changes_the_search(weights, whole, tmp_path, left_out):
    others = {flag: value for flag, value in RANDOMIZED.items() if flag != left_out}
    main(arguments(tmp_path, weights, flags=others))
    assert outcome(tmp_path) != whole
