"""The images of the README and the notebooks show what their texts say, and are small."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image, ImageSequence

from dreamduck.pretrained import FOLDER
from dreamduck.world_model import WorldModel

ROOT = Path(__file__).parent.parent
MEDIA = ROOT / "media"
GIFS = ("controller", "dream", "drive", "real_and_dream")
SECONDS = 7
MOST_MEDIA = 1_000_000  # bytes


@pytest.fixture(scope="module")
def made():
    return json.loads((MEDIA / "media.json").read_text(encoding="utf-8"))


def test_they_are_of_the_shipped_model_at_the_default_temperature(made):
    assert made["temperature"] == WorldModel.load(FOLDER).temperature
    assert made["weights"] == {
        "vae": WorldModel.load(FOLDER).vae.weights,
        "rnn": WorldModel.load(FOLDER).dynamics.weights,
    }
    assert made["start_angle"] <= 10


@pytest.mark.parametrize("name", GIFS)
def test_videos_last_as_long_as_they_should(made, name):
    assert made["steps"][name] == SECONDS * made["fps"]
    with Image.open(MEDIA / f"{name}.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert len(durations) <= made["steps"][name]  # fewer where it was made smaller
    assert sum(durations) == pytest.approx(1000 * SECONDS, rel=0.06)


@pytest.mark.parametrize("path", sorted(MEDIA.iterdir()), ids=lambda path: path.name)
def test_media_are_small(path):
    assert path.stat().st_size <= MOST_MEDIA


def printed(cell) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_tour_drives_for_as_long_as_it_says():
    cells = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    (drive,) = (cell for cell in code if "DreamDuck-v0" in cell.source)
    assert "4 seconds of driving" in printed(drive)
    assert "'end': ''" in printed(drive)
    assert "'in_lane': True" in printed(drive)
    for cell in code:
        assert cell.source.count('gymnasium.make("DreamDuck-v1"') == cell.source.count(
            'gymnasium.make("DreamDuck-v1", start_angle=4)'
        )
    (dream,) = (cell for cell in code if "DreamDuck-v2" in cell.source)
    assert "for temperature in (model.temperature, " in dream.source
    drives = printed(code[-1])
    lengths = [int(length) for length in re.findall(r"in (\d+) steps", drives)]
    assert len(lengths) == 8
    assert sum(length == 300 for length in lengths) >= 6
