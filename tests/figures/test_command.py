import json
import shlex
import shutil

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from dreamduck.cli import run
from dreamduck.common.errors import ConfigError
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.figures import horizon_error
from dreamduck.figures.config import KINDS, FigureConfig
from dreamduck.figures.source import Source
from dreamduck.world_model import WorldModel
from tests.deployment.models import write_controller

SHORT = ("-q", "--steps=4", "--warmup=3")


def figure(folder, name, *words):
    path = folder / name
    run(["figure", *words, "--out", str(path)])
    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    return path, dict(line.split(": ", 1) for line in text.splitlines()[2:]), text.splitlines()[0]


@pytest.mark.parametrize("kind", ["strip", "temperatures", "steering"])
def test_a_drive_that_ends_before_the_dream_is_refused(tmp_path, weights, kind):
    """This map has no lane: the car is off the road at once."""
    flags = [f"--weights={weights}", "--map-name=calibration_map_int", "--warmup=9", "--steps=3", "-q"]
    with pytest.raises(ConfigError, match="warmup: expected fewer frames than the drive has, got 9 of"):
        run(["figure", kind, *flags, "--out", str(tmp_path / "a.png")])


def test_the_step_of_a_dream_is_the_models(weights, tmp_path):
    folder = shutil.copytree(weights, tmp_path / "weights")
    card = json.loads((folder / "rnn.json").read_text())
    (folder / "rnn.json").write_text(
        json.dumps({**card, "environment": {"id": "Game-v3", "step_time": 0.02}})
    )
    source = Source(FigureConfig(weights=str(folder)), WorldModel.load(folder), road=False)
    assert source.step_time == 0.02


def test_each_kind_is_written_with_a_caption(tmp_path, weights):
    controller = write_controller(tmp_path, weights)
    given = {kind: [*SHORT] for kind in KINDS}
    given["strip"] += ["--every=2"]
    given["temperatures"] += ["--every=2", "--temperatures=0.2,0.9"]
    given["dream"] = ["-q", "--steps=4", f"--controller={controller}"]
    given["latents"] = ["-q"]
    given["horizon"] += ["--episodes=3"]
    shapes = {"picture": (1, 1), "split": (1, 2), "strip": (4, 3), "steering": (2, 4)}
    shapes |= {"temperatures": (3, 3), "dream": (1, 1)}
    fingerprints = WorldModel.load(weights).card.fingerprints
    for kind, words in given.items():
        path, facts, text = figure(
            tmp_path, f"{kind}.png", kind, f"--weights={weights}", "--seed=2", *words
        )
        assert len(text) > 20, kind
        command = shlex.split(facts["command"])
        assert command[:3] == ["dreamduck", "figure", kind]
        assert "--seed=2" in command
        assert fingerprints["vae"] in facts["weights"]
        assert fingerprints["rnn"] in facts["weights"]
        assert facts["seed"] == "2"
        if kind != "dream":  # which may end
            assert int(facts["steps dreamt"]) == {"latents": 0, "picture": 0}.get(kind, 4)
        if kind in shapes:
            rows, columns = shapes[kind]
            with Image.open(path) as image:
                width, height = image.size
            assert 288 * columns <= width < 288 * columns + 300, kind
            assert 288 * rows <= height < 288 * rows + 60, kind
        if kind == "temperatures":
            assert facts["temperatures"] == "0.2, 0.9"
            shown = FigureConfig().temperature_values(WorldModel.load(weights).dynamics.shown_temperatures)
            assert shown == [0.1, 0.5, 1.0]
        elif kind != "latents":
            assert facts["temperature"] == f"{WorldModel.load(weights).temperature:g}"


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_a_video_has_a_frame_for_each_step(tmp_path, weights, suffix):
    path, facts, _ = figure(tmp_path, f"split.{suffix}", "split", f"--weights={weights}", *SHORT)
    assert facts["drive"] == "expert on loop_empty"
    if suffix == "gif":
        with Image.open(path) as gif:
            assert len(list(ImageSequence.Iterator(gif))) == 3 + 4
            assert gif.size[0] >= 2 * 288
    else:
        frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
        assert frames == 3 + 4
    assert path.stat().st_size > 1000


def test_the_same_command_makes_the_same_file(tmp_path, weights):
    words = ("split", f"--weights={weights}", "--seed=5", *SHORT)
    one, other = (figure(tmp_path, name, *words)[0] for name in ("a.png", "b.png"))
    changed = figure(tmp_path, "c.png", *words, "--temperature=2.5")[0]
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes() != changed.read_bytes()


def test_a_dream_that_is_the_truth_is_off_by_the_reconstruction_alone(tmp_path, weights, monkeypatch):
    config = FigureConfig(weights=str(weights), steps=5, warmup=3, episodes=3)
    model = WorldModel.load(weights)
    source, dreams = Source(config, model, road=True), Dreams(model)
    drives = source.drives(3, 8)
    drives[0] = drives[0]._replace(actions=drives[0].actions[:6], frames=drives[0].frames[:6])
    monkeypatch.setattr(Source, "drives", lambda self, count, steps: drives)
    found = horizon_error.horizon_errors(source, dreams, config)["errors"]["picture"]
    assert found["dreamt"] != found["reconstructed"]
    monkeypatch.setattr(horizon_error, "dream_after", lambda dreams, z, *_: z)
    found = horizon_error.horizon_errors(source, dreams, config)
    assert found["episodes"] == [3, 3, 3, 2, 2]
    errors = found["errors"]["picture"]
    assert errors["dreamt"] == errors["reconstructed"]
    last = np.stack(
        [
            np.abs(model.decode(dreams.encode(one.frames[7:])) - one.frames[7:].astype(float)).mean()
            for one in drives[1:]
        ]
    )
    assert errors["dreamt"]["median"][4] == pytest.approx(np.median(last), abs=0.01)
    assert errors["last frame stays"] != errors["dreamt"]


def test_the_horizon_writes_its_numbers(tmp_path, weights):
    words = ("horizon", f"--weights={weights}", *SHORT, "--episodes=2")
    path, _, _ = figure(tmp_path, "horizon.svg", *words)
    found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert found["seconds"] == [0.1, 0.2, 0.3, 0.4]
    assert set(found["errors"]) == {"picture"}  # there is no probe for these weights
    assert path.read_text(encoding="utf-8").lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split", "--out=split.jpg"], "out: expected a name that ends in .png"),
        (["horizon", "--out=horizon.gif"], "out: expected a name that ends in .png, .svg, .pdf"),
        (["split", "--panels=true,dream"], "panels: expected some of true"),
        (["split", "--every=3"], "--every: of no effect for split"),
        (["dream", "--map-name=udem1"], "--map-name: of no effect for dream"),
        (["split", "--controller=c.json"], "--controller: of no effect without --policy controller"),
        (["temperatures", "--temperatures=0.1,hot"], "temperatures: expected numbers above 0"),
        (["split", "--records=none", "--policy=controller"], "--policy: of no effect with --records"),
        (["dream", "--temperatures=0.3"], "--temperatures: of no effect for dream"),
        (["split", "--side=100"], "side: expected at least 288"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        run(["figure", *words])
    assert list(tmp_path.iterdir()) == []
