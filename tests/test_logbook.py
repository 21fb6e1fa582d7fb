import math

import numpy as np
from PIL import Image

from dreamduck.logbook import Logbook, read_logbook
from dreamduck.storage import read_json


def test_rows_and_configuration(tmp_path):
    with Logbook(tmp_path, "vae", {"z_size": 64}) as book:
        book.write(0, loss=2.0)
        book.write(1, loss=math.inf)
    rows = read_logbook(tmp_path / "vae.jsonl")
    assert [(r["step"], r["loss"]) for r in rows] == [(0, 2.0), (1, None)]
    assert read_json(tmp_path / "vae.config.json") == {"z_size": 64}
    assert list((tmp_path / "tensorboard" / "vae").glob("events*"))


def test_resume_drops_what_will_be_told_again(tmp_path):
    with Logbook(tmp_path, "a", {}, tensorboard=False) as book:
        for step in range(5):
            book.write(step, loss=step)
    with open(tmp_path / "a.jsonl", "a") as file:
        file.write('{"step": 5, "lo')  # as a kill leaves it
    with Logbook(tmp_path, "a", {}, resume_step=3, tensorboard=False) as book:
        book.write(3, loss=30)
    assert [(r["step"], r["loss"]) for r in read_logbook(tmp_path / "a.jsonl")] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 30),
    ]


def test_curves_are_drawn(tmp_path):
    with Logbook(tmp_path, "a", {}, tensorboard=False) as book:
        assert book.draw().stat().st_size > 500  # nothing yet, and no complaint
        for step in range(40):
            book.write(step, loss=1 / (step + 1), learning_rate=0.1)
        book.write(39, **{"held_out/loss": 0.5, "held_out/end_auc": math.nan})
        path = book.draw()
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert path == tmp_path / "a.png"
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
