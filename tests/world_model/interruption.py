"""Trainings of dynamics that are killed and resumed, and what they write."""

import json

import numpy as np
import pytest

from dreamduck.world_model import train_rnn
from dreamduck.world_model.mdn_rnn.files import CARD  # the same for every kind


class Killed(Exception):
    pass


def kill_at(monkeypatch, trainer, step):
    """No code runs after a SIGKILL; this stands for one."""
    plain = trainer.train

    def train(self, batch, number):
        if number == step:
            raise Killed
        return plain(self, batch, number)

    monkeypatch.setattr(trainer, "train", train)


def train_killed_and_resumed(monkeypatch, trainer, step, settings):
    with monkeypatch.context() as patch:
        kill_at(patch, trainer, step)
        with pytest.raises(Killed):
            train_rnn.train(settings)
    train_rnn.train(settings)


def contents(folder, card=True):
    """Everything that a training writes, without times; without a card, the checkpoint alone."""
    with np.load(folder / train_rnn.CHECKPOINT) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "position/seconds"}
    facts = json.loads((folder / CARD).read_text()) if card else {}
    return arrays, {k: v for k, v in facts.items() if k not in ("seconds", "config", "command")}


def assert_equal_arrays(one, two):
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def assert_same_training(one, two):
    """Two folders hold the same checkpoint and the same card."""
    (arrays, card), (other_arrays, other_card) = contents(one), contents(two)
    assert_equal_arrays(arrays, other_arrays)
    assert card == other_card
