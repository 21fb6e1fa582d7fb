"""The words of the command line."""

from __future__ import annotations

import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.rl.arguments import LinearSchedule, parse, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("256", 256),
        ("1e-3", 1e-3),
        ("True", True),
        ("None", None),
        ("[256, 256]", [256, 256]),
        ("linear", "linear"),
        ("tf.tanh", "tf.tanh"),
        ("lambda f: f * 2.5e-4", LinearSchedule(2.5e-4)),
        ("lambda f : 3e-4*f", LinearSchedule(3e-4)),
        ("linear:0.1", LinearSchedule(0.1)),
        ("lin_0.1", LinearSchedule(0.1)),
    ],
)
def test_values_are_parsed_as_in_2019(text, value):
    assert parse_value(text) == value


def test_no_value_is_executed(tmp_path):
    target = tmp_path / "x"
    text = f"__import__('pathlib').Path({str(target)!r}).touch()"
    assert parse_value(text) == text
    assert not target.exists()


def test_flags_of_2019_are_parsed():
    words = """--alg=ppo2 --env=DreamDuck-v0 --env_type=duckietown --seed=3 --num_timesteps=2e7
        --network=cnn --gamestate=x --num_env=4 --reward_scale=0.5 --save_path=./models/a
        --save_video_interval=100 --save_video_length=50 --log_path=train_logs --play
        --nsteps=128 --lr 1e-3 --load_path=b"""
    flags, keys, _ = parse(words.split())
    assert (flags.alg, flags.env, flags.seed, flags.num_env) == ("ppo2", "DreamDuck-v0", 3, 4)
    assert flags.num_timesteps == 2e7
    assert flags.play
    assert keys == {"nsteps": 128, "lr": 1e-3, "load_path": "b"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_timesteps=-1"], "num_timesteps: expected at least 0"),
        (["--num_timesteps=nan"], "num_timesteps"),
        (["--num_timesteps=many"], "invalid float"),
        (["--num_env=0"], "num_env: expected at least 1"),
        (["--seed=-1"], "seed: expected at least 0"),
        (["--reward_scale=inf"], "finite"),
        (["loose"], "'loose': expected --key=value"),
        (["--lr"], "--lr: expected a value"),
        (["--lr", "--gamma=1"], "--lr: expected a value"),
        (["--video=a.mp4"], "give --play too"),
        (["--resume"], "give --log_path too"),
        (["--vec_env=gpu"], "invalid choice"),
    ],
)
def test_bad_arguments_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        parse(words)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_env_arguments_are_a_json_object(text):
    with pytest.raises(ConfigError, match="JSON object"):
        parse([f"--env_kwargs={text}"])[0].env_arguments()
