import math

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from dreamduck.common.storage import read_json
from dreamduck.common.training_log import TrainingLog, read_training_log


def test_rows_and_configuration(tmp_path):
    with TrainingLog(tmp_path, "vae", {"z_size": 64}) as book:
        book.write(0, loss=2.0)
        book.write(1, loss=math.inf)
    rows = read_training_log(tmp_path / "vae.jsonl")
    assert [(r["step"], r["loss"]) for r in rows] == [(0, 2.0), (1, None)]
    assert read_json(tmp_path / "vae.config.json") == {"z_size": 64}
    assert list((tmp_path / "tensorboard" / "vae").glob("events*"))


def test_resume_drops_what_will_be_written_again(tmp_path):
    with TrainingLog(tmp_path, "a", {}, tensorboard=False) as book:
        for step in range(5):
            book.write(step, loss=step)
    with open(tmp_path / "a.jsonl", "a") as file:
        file.write('{"step": 5, "lo')  # as a kill leaves it
    with TrainingLog(tmp_path, "a", {}, resume_step=3, tensorboard=False) as book:
        book.write(3, loss=30)
    assert [(r["step"], r["loss"]) for r in read_training_log(tmp_path / "a.jsonl")] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 30),
    ]


def test_tensorboard_hides_what_will_be_written_again(tmp_path):
    for begin, value in ((0, 1.0), (3, 2.0)):
        with TrainingLog(tmp_path, "a", {}, resume_step=begin) as book:
            for step in range(begin, 5):
                book.write(step, loss=value)
        for path in tmp_path.rglob("events*"):  # their names differ by the second
            path.rename(path.with_name(f"{path.name}.{begin}"))
    found = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "a")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [
        *((step, 1.0) for step in range(3)),
        *((step, 2.0) for step in range(3, 5)),
    ]


def test_curves_are_drawn(tmp_path):
    with TrainingLog(tmp_path, "a", {}, tensorboard=False) as book:
        assert book.draw().stat().st_size > 500  # nothing yet, and no complaint
        for step in range(40):
            book.write(step, loss=1 / (step + 1), learning_rate=0.1)
        book.write(39, **{"held_out/loss": 0.5, "held_out/end_auc": math.nan})
        path = book.draw()
    image = np.asarray(Image.open(path).convert("RGB"))
    assert path == tmp_path / "a.png"
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10
