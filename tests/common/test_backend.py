"""TensorFlow and Keras are loaded in one form, whatever the environment variables say."""

import json
import subprocess
import sys

import pytest

from dreamduck.common.backend import keras
from dreamduck.world_model.mdn_rnn import MDNRNNConfig
from dreamduck.world_model.mdn_rnn.network import MDNRNNNetwork
from dreamduck.world_model.vae.network import VAENetwork

TRAIN = """
import numpy as np, os, sys
import dreamduck.common.backend as backend
given = os.environ.get("KERAS_BACKEND")
from dreamduck.world_model.mdn_rnn import batches
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.trainer import Trainer as DynamicsTrainer, latent_scale, reward_scale
from dreamduck.world_model.latents import Series
from dreamduck.world_model.vae.batch_encoder import BatchEncoder
from dreamduck.world_model.vae.settings import TrainingConfig as VisionConfig
from dreamduck.world_model.vae.trainer import Trainer
random = np.random.default_rng(0)
frames = random.integers(0, 256, (3, 64, 64, 3), np.uint8)
trainer = Trainer(VisionConfig(z_size=3, batch_size=3), 2)
found = [*trainer.train(frames, 0)[:2], *trainer.train(frames, 1)[:2]]
found += BatchEncoder(trainer.model.parameters())(frames)[0].ravel().tolist()
mu, logvar = random.standard_normal((2, 20, 3)).astype(np.float32)
action, reward = random.standard_normal((20, 2), np.float32), random.standard_normal(20, np.float32)
done = np.arange(20) == 19
series = Series(mu, logvar, action, reward, done, np.array([0, 9, 20]), np.arange(2))
config = TrainingConfig(steps=2, batch_size=2, sequence=5, hidden_size=4, mixtures=2)
dynamics = DynamicsTrainer(
    config, config.sizes(3, 2), reward_scale(series, range(2)), latent_scale(series, range(2), True)
)
places = batches.plan(series.offsets, np.arange(2), 2, 5, 2, 0)
for step in range(2):
    found += dynamics.train(batches.batch(series, places, step, 5), step)
assert os.environ.get("KERAS_BACKEND") == given
print(backend.keras.config.floatx(), backend.keras.config.image_data_format(), file=sys.stderr)
print(found)
"""


def losses(tmp_path, settings, backend=None, code=TRAIN):
    """What two steps of both trainings give in a fresh process with these Keras settings."""
    home = tmp_path / "keras"
    home.mkdir(exist_ok=True)
    (home / "keras.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    environment = {"PATH": "/usr/bin:/bin", "KERAS_HOME": str(home), "HOME": str(tmp_path)}
    if backend:
        environment["KERAS_BACKEND"] = backend
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_settings_of_keras_change_no_training(tmp_path):
    plain = losses(tmp_path, {"floatx": "float32", "image_data_format": "channels_last"})
    assert plain.returncode == 0, plain.stderr
    other = losses(
        tmp_path, {"floatx": "float64", "image_data_format": "channels_first", "backend": "jax"}, "torch"
    )
    assert other.returncode == 0, other.stderr
    assert other.stdout == plain.stdout
    # the user's own models are made as the user has set it
    assert other.stderr.strip().splitlines()[-1] == "float64 channels_first"


@pytest.mark.parametrize(
    "settings", ['{"floatx": "float7"}', '{"epsilon": "small"}', '{"image_data_format": 3}', "[1]"]
)
def test_damaged_settings_of_keras_are_one_line(tmp_path, settings):
    code = (
        "from dreamduck.common import command_line\n"
        "def main(argv):\n    import dreamduck.common.backend\ncommand_line.run(main)"
    )
    done = losses(tmp_path, settings, code=code)
    assert done.returncode == 2
    assert done.stderr.startswith("error: Keras cannot be loaded")
    assert done.stderr.count("\n") == 1
    assert "keras.json" in done.stderr


def test_keras_on_another_backend_is_refused(monkeypatch):
    from dreamduck.common import backend
    from dreamduck.common.errors import DependencyError

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(DependencyError, match=r"expected Keras on TensorFlow, got Keras on torch"):
        backend._load_keras()


def test_every_layer_names_its_type():
    """A layer made while Keras is set to other types is of ours all the same."""
    before = keras.config.floatx(), keras.config.image_data_format()
    try:
        keras.config.set_floatx("float16")
        keras.config.set_image_data_format("channels_first")
        for model in (VAENetwork(3), MDNRNNNetwork(MDNRNNConfig(3, 2, 4, 2, True))):
            assert {v.dtype for v in model.weights} == {"float32"}
            assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_image_data_format(before[1])
