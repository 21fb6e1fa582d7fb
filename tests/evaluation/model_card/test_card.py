"""The card as a whole: its file, its report and images, comparisons, and what is refused."""

import json

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.evaluation.model_card import card as cards
from dreamduck.evaluation.model_card import command
from dreamduck.evaluation.model_card.compare import check_same, names_of, write_comparison
from dreamduck.evaluation.model_card.figures import COMPARED, draw, draw_frames
from dreamduck.evaluation.model_card.report import HEADLINES, cell, headlines, report, table
from tests.evaluation.model_card.helpers import toy_config, toy_data
from tests.recordings.helpers import folder_of_episodes

QUICK = ("images", "probe", "horizon", "calibration", "uncertainty", "cost")  # that need no simulator


def estimate(value, n=5):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def policy(name, value, trained):
    both = {"road": estimate(value), "dream": estimate(value + 0.5)}
    return {
        "name": name,
        "trained_in_this_dream": trained,
        "return": both,
        "survival": both,
        "survival_time": both,
    }


def made_up():
    """Sections in the form of those that need the simulator."""
    part = {"dream": {"spearman": estimate(0.9), "separation": estimate(1.0), "noise": estimate(0.1)}}
    part["dream"] |= {"separation_over_noise": estimate(10.0), "of_road": 0.8}
    part |= {
        source: {"spearman": estimate(1.0), "separation": estimate(1.2)} for source in ("road", "road_true")
    }
    motion = {"0.5": part, "1": part}
    still = {seconds: {name: estimate(0.2) for name in ("lane_dist", "picture")} for seconds in ("2", "10")}
    agreement = {name: estimate(0.7) for name in ("spearman", "pearson", "regret")}
    figures = {name: estimate(1.5) for name in COMPARED}
    curve = [1.0, 0.5]
    return {
        "distribution": {
            "drivers": {"imitated expert": {"1": figures, "10": figures}, "other": {"left_out": "why"}}
        },
        "steering": {"states": 2, "dreams": 2, "commands": [-1, 1], "steering": motion, "throttle": motion},
        "stillness": {"dream": still, "road": still, "picture_of_another_state": estimate(30.0)},
        "ranking": {
            "drivers": [policy("a", 0.1, False), policy("b|c", 0.9, True)],
            "left_out_drivers": [{"name": "d", "reason": "another model"}],
            "maps": ["loop_empty"],
            "episodes": 5,
            "seconds": 60.0,
            "return": agreement,
            "survival": agreement,
            "survival_time": agreement,
            "exploit_gap": {"left_out": "none was trained in it"},
        },
        "survival": {
            "seconds": [1.0, 2.0],
            "drivers": [
                {"name": "a", "kolmogorov": estimate(0.2), "by_chance": 0.3, "road": curve, "dream": curve}
            ],
        },
    }


@pytest.fixture(scope="module")
def data(dreams):
    return toy_data(dreams.model, steps=60)


@pytest.fixture(scope="module")
def card(dreams, data):
    quick = {name: cards.SECTIONS[name] for name in QUICK}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "SECTIONS", quick)
        return cards.make_card(dreams, data, toy_config())


def test_the_same_seed_gives_the_same_card(card, dreams, data, monkeypatch):
    monkeypatch.setattr(cards, "SECTIONS", {name: cards.SECTIONS[name] for name in QUICK})
    assert json.dumps(cards.make_card(dreams, data, toy_config())) == json.dumps(card)
    other = cards.make_card(dreams, data, toy_config(seed=1))
    assert other["horizon"] != card["horizon"]


def test_a_card_says_what_it_was_made_with(card, dreams):
    made = card["made_with"]
    assert made["fingerprints"] == dreams.model.card.fingerprints
    assert made["settings"]["seed"] == 0
    assert not {"out", "weights", "records", "compare"} & set(made["settings"])
    assert made["sizes"]["train_episodes"] == toy_config().sizes.train_episodes
    assert made["versions"]["numpy"] == np.__version__


def test_a_card_is_read_back_and_another_version_is_refused(card, tmp_path):
    cards.write_card(tmp_path, card)
    assert cards.read_card(tmp_path) == json.loads(json.dumps(card))
    cards.write_card(tmp_path, {"made_with": {"version": 0}})
    with pytest.raises(
        ConfigError, match=r"model.json: expected a card of version 2, got 0; make it again"
    ):
        cards.read_card(tmp_path)
    with pytest.raises(ConfigError, match=r"model\.json"):
        cards.read_card(tmp_path / "none")


def test_every_section_has_its_table_and_picture(card, dreams, data, tmp_path):
    whole = card | made_up()
    text = report(whole)
    for part in cards.SECTIONS:
        if part != "policies":
            assert f"## {part.capitalize()}" in text
    for words in (
        "b/c (trained in this dream)",
        "another model",
        "left out: why",
        "10 s",
        "0.9 (0.8 to 1)",
    ):
        assert words in text
    made = draw(tmp_path, whole)
    draw_frames(tmp_path / "frames.png", dreams, data, toy_config())
    slow = data._replace(environment={**data.environment, "step_time": 12.0})
    draw_frames(tmp_path / "slow.png", dreams, slow, toy_config())
    assert (tmp_path / "slow.png").exists()
    names = ("horizon", "steering", "distribution", "ranking", "survival", "calibration")
    assert set(made) == {f"{name}.png" for name in names}
    for name in [*made, "frames.png"]:
        assert (tmp_path / name).stat().st_size > 5000


def test_what_is_left_out_is_said(card):
    text = report({**card, "probe": {"left_out": "the recordings hold no telemetry"}})
    assert "Left out: the recordings hold no telemetry." in text


def test_headlines_and_cells(card):
    found = headlines(card | made_up())
    assert list(found) == list(HEADLINES)
    assert found["Spearman of steering and turn, 1 s"] == estimate(0.9)
    assert found["exploit gap"] is None
    assert cell(estimate(0.12345)) == "0.123 (0.0234 to 0.223)"
    assert cell({"value": None, "low": None, "high": None, "n": 0}) == cell(None) == "–"
    assert cell(1690624) == "1,690,624"
    assert table("a", {"x": {"p_q": 1.5}, "y": {"r": "words"}}) == [
        "| a | p q | r |",
        "| --- | ---: | ---: |",
        "| x | 1.5 | – |",
        "| y | – | words |",
    ]


def test_cards_of_the_same_episodes_stand_side_by_side(card, tmp_path):
    other = json.loads(json.dumps(card | made_up()))
    other["horizon"]["horizons"]["1"]["lane_dist"]["single"] = estimate(0.777)
    text = write_comparison(tmp_path, {"one": card, "other": other})
    line = next(line for line in text.splitlines() if line.startswith("| lane offset after 1 s"))
    assert line.count("|") == 4
    assert "0.777" in line
    for name in ("compare.json", "compare.md", "compare.png"):
        assert (tmp_path / name).stat().st_size > 500


@pytest.mark.parametrize(("where", "key"), [("data", "fingerprint"), ("settings", "seed")])
def test_cards_of_other_episodes_are_not_compared(card, where, key):
    other = json.loads(json.dumps(card))
    other["made_with"][where][key] = "else"
    check_same({"one": card, "same": card})
    with pytest.raises(ConfigError, match="cards of the same episodes"):
        check_same({"one": card, "other": other})


def test_folders_get_short_names_that_differ():
    assert names_of(("/a/b/weights", "/a/c/weights", "")) == ["b-weights", "c-weights", "shipped"]
    assert names_of(("x/one", "x/two")) == ["one", "two"]
    with pytest.raises(ConfigError, match="different folders"):
        names_of(("x/one", "x/one"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--weights", "none"], "none"),
        (["--compare", "one"], "two folders or more"),
        (["--compare", "one", "two", "--weights", "three"], "--compare"),
        (["--temperature", "0"], "more than 0"),
        (["--episodes", "2"], "at least 4"),
    ],
)
def test_bad_input_is_refused(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError if flags[0] != "--weights" else ValueError, match=words):
        command.main(flags)


def test_one_episode_is_refused_with_one_line(model_folder, tmp_path):
    folder_of_episodes(tmp_path / "records", [30])
    flags = ["--weights", str(model_folder), "--records", str(tmp_path / "records"), "--out", str(tmp_path)]
    with pytest.raises(ValueError, match="expected at least 4 episodes") as caught:
        command.main(flags)
    assert "\n" not in str(caught.value)
