"""Which kind of dynamics a command line trains."""

import pytest

from dreamduck.cli import train_networks
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.world_model.categorical.settings import TrainingConfig as CategoricalTraining
from dreamduck.world_model.kinds import SHIPPED, TRAINING
from tests.deployment.models import write_categorical
from tests.world_model.mdn_rnn.helpers import write_mdn_rnn


@pytest.fixture
def trained(monkeypatch):
    """The settings of trainings, which are not run."""
    found = []

    def train(settings, command):
        found.append((settings, command))
        return {"metrics": {"held_out": {"nll": 1.0}}}

    monkeypatch.setattr("dreamduck.world_model.train_rnn.train", train)
    return found


def test_the_kind_that_ships_is_trained_unless_another_is_named(trained):
    train_networks.train_rnn([])
    train_networks.train_rnn(["--dynamics", "mdn-rnn", "--mixtures", "3"])
    train_networks.train_rnn(["--dynamics=categorical", "--classes", "3"])
    first, mixture, categorical = (settings for settings, _ in trained)
    assert type(first) is TRAINING[SHIPPED] is type(categorical)
    assert isinstance(categorical, CategoricalTraining)
    assert (mixture.mixtures, categorical.classes) == (3, 3)
    assert trained[1][1] == "rnn_train.py --dynamics mdn-rnn --mixtures 3"


def test_an_adapted_model_keeps_its_kind(trained, tmp_path):
    write_mdn_rnn(tmp_path / "mdn-rnn")
    write_categorical(tmp_path / "categorical")
    for kind in ("mdn-rnn", "categorical"):
        train_networks.train_rnn(["--adapt", str(tmp_path / kind)])
        assert type(trained[-1][0]) is TRAINING[kind]
    with pytest.raises(WeightsError, match=r"rnn\.json"):
        train_networks.train_rnn(["--adapt", str(tmp_path / "nothing")])


def test_heads_alone_are_those_of_an_mdn_rnn(trained):
    train_networks.train_rnn(["--heads_only", "old"])
    assert trained[0][0].heads_only == "old"


@pytest.mark.parametrize(
    ("given", "flag", "expected", "got"),
    [
        (["--mixtures", "3"], "--mixtures", "mdn-rnn", "categorical"),
        (["--scheduled_sampling=0.1"], "--scheduled-sampling", "mdn-rnn", "categorical"),
        (["--dreaming", "0.1"], "--dreaming", "mdn-rnn", "categorical"),
        (["--dynamics", "categorical", "--no-residual"], "--residual", "mdn-rnn", "categorical"),
        (["--dynamics=mdn-rnn", "--classes", "3"], "--classes", "categorical", "mdn-rnn"),
        (
            ["--heads-only", "old", "--units=3", "--classes=3"],
            "--classes, --units",
            "categorical",
            "mdn-rnn",
        ),
    ],
)
def test_settings_of_another_kind_are_refused(trained, given, flag, expected, got):
    message = f"^{flag}: expected --dynamics {expected}, got dynamics of the kind {got}; give --dynamics"
    with pytest.raises(ConfigError, match=message):
        train_networks.train_rnn(given)
    assert not trained
