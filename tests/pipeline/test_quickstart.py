"""The whole way, small: its commands, and what it says at the end."""

from pathlib import Path

import pytest

from dreamduck.cli import record
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import ConfigError
from dreamduck.pipeline import quickstart
from dreamduck.pipeline.quickstart import LEVELS, QuickstartConfig, stages, verdict, words
from dreamduck.recordings.gym_source import GymRecorderConfig
from tests.envs.test_gymenv import write_gym_model
from tests.recordings.sources.worlds import MODULE

ENV = f"{MODULE}:Dot-v3"


def test_the_environment_is_handed_on(tmp_path):
    settings = from_mapping(
        QuickstartConfig, {"env": ENV, "env_args": '{"form": "gray"}', "crop": ["1", "2", "3", "4"]}
    )
    first = stages(tmp_path, settings)[0].command
    parsed = record._parser(GymRecorderConfig).parse_args(first[1:])
    assert (parsed.env, parsed.env_args, parsed.crop) == (ENV, '{"form": "gray"}', ("1", "2", "3", "4"))


def test_show_prints_the_commands_and_runs_nothing(tmp_path, capsys):
    quickstart.main(["--env", ENV, "--folder", str(tmp_path / "q"), "--show"])
    assert "extract.py" in capsys.readouterr().out
    assert not (tmp_path / "q").exists()


def test_an_environment_is_wanted():
    with pytest.raises(ConfigError, match="give --env ID"):
        QuickstartConfig()


def test_words_say_how_good_a_model_is():
    lines = words(dict(zip(LEVELS, (25.0, 0.5, 0.1), strict=True)))
    assert [line.split(", ")[1].split()[0] for line in lines] == ["good", "fair", "poor"]
    assert "nothing to measure" in words(dict.fromkeys(LEVELS))[0]


@pytest.mark.parametrize(
    ("own", "text"), [(9.0, "taught something"), (5.1, "no difference"), (1.0, "worse than random")]
)
def test_the_verdict_minds_the_error(own, text):
    row = {"error": 0.5, "length": 10.0}
    assert text in verdict({"controller": {"return": own, **row}, "random": {"return": 5.0, **row}})


def test_scores_are_of_the_real_environment(tmp_path):
    write_gym_model(tmp_path / "weights", "discrete")
    from dreamduck.controllers.factory import FormConfig, model_actions, model_sizes

    weights = tmp_path / "weights"
    form = FormConfig("z").form(*model_sizes(weights), actions=model_actions(weights))
    path = quickstart.best_controller(tmp_path)
    path.parent.mkdir(parents=True)
    Path(path).write_text(str([[0.5] * form.size, 1.0]))
    found = quickstart.score(tmp_path, from_mapping(QuickstartConfig, {"env": ENV, "score_episodes": 3}))
    assert found["controller"] != found["random"]
    assert all(row["length"] > 1 and row["error"] >= 0 for row in found.values())
