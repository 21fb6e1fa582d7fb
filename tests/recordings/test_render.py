"""`extract.py --render`: a window shows what the first car sees while it is recorded."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import dreamduck.envs
from dreamduck.recordings import read_episode

SCRIPT = Path(dreamduck.envs.__file__).parent / "extract.py"


def test_the_window_shows_the_first_car(display, tmp_path):
    command = [sys.executable, str(SCRIPT), "-q", "--render", "--max-trials", "1", "--max-frames", "300"]
    command += ["--records", str(tmp_path / "r"), "--log", str(tmp_path / "log"), "--policies", "expert"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        display.window("extract.py")
        seen, until = 0.0, time.monotonic() + 60
        while seen < 20 and process.poll() is None and time.monotonic() < until:
            seen = float(display.screen().std())  # a black screen has none
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert seen > 20
    assert "in 1 episodes" in output
    assert np.std(read_episode(tmp_path / "r" / "0.npz").obs) > 10
