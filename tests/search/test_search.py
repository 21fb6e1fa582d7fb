from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError, TrainingError
from dreamduck.common.training_log import read_training_log
from dreamduck.controllers.controller_file import RunFiles, read_theta
from dreamduck.search.search import Search
from dreamduck.search.settings import SearchConfig
from tests.controllers.fakes import CONFIG, FORM, Sphere

ENDINGS = (".json", ".best.json", ".hist.json", ".hist_best.json", ".log.json")


def search(folder, config=CONFIG, **settings):
    files = RunFiles.of(folder, "rnnenv", config.num_episode, config.population)
    return Search(config, FORM, settings.pop("evaluator", Sphere()), files, **settings)


def contents(files):
    """All files of a run but for the seconds in them."""
    found = {}
    for ending in ENDINGS:
        value = json.loads(files.path(ending).read_text())
        if "hist" in ending:
            value = [[row[0], *row[2:]] for row in value]
        found[ending] = value
    return found


def test_a_run_writes_all_its_files(tmp_path):
    run = search(tmp_path)
    run.run()
    assert run.generation == 7
    history = json.loads(run.files.path(".hist.json").read_text())
    assert [row[0] for row in history] == list(range(1, 8))
    assert all(len(row) == 9 and row[3] <= row[2] <= row[4] for row in history)
    assert [row[0] for row in json.loads(run.files.path(".log.json").read_text())] == [3, 6, 7]
    theta, best = json.loads(run.files.path(".best.json").read_text())
    assert len(theta) == FORM.size
    assert best == max(row[1] for row in json.loads(run.files.path(".log.json").read_text()))
    card = json.loads(run.files.path(".card.json").read_text())
    assert card["search"]["num_episode"] == 2
    assert card["world_steps"] == 7 * 12 * 10
    assert run.files.path(".png").stat().st_size > 1000
    rows = read_training_log(run.files.path(".jsonl"))
    assert [row["step"] for row in rows] == list(range(1, 8))
    assert rows[2]["evaluation"] == pytest.approx(json.loads(run.files.path(".log.json").read_text())[0][1])
    assert list((tmp_path / "tensorboard" / run.files.base.name).glob("events*"))


def test_the_best_is_kept_when_what_follows_is_worse(tmp_path):
    class Worsening(Sphere):
        def __call__(self, task):
            found = super().__call__(task)
            return found._replace(reward=found.reward - 10 * self.calls)

    run = search(tmp_path, evaluator=Worsening())
    run.run()
    log = json.loads(run.files.path(".log.json").read_text())
    theta, best = json.loads(run.files.path(".best.json").read_text())
    assert [best, theta] == log[0][1:]
    assert log[-1][1] < best
    assert theta != log[-1][2]


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_stopped_and_taken_up_is_as_never_stopped(tmp_path, covariance):
    config = dataclasses.replace(CONFIG, covariance=covariance, cap_time=1)
    whole = search(tmp_path / "whole", config)
    whole.run()
    for generations in (1, 2, 3, 5, 7):
        part = search(tmp_path / "parts", dataclasses.replace(config, generations=generations))
        part.run()
        assert part.generation == generations
    assert contents(part.files) == contents(whole.files)
    assert np.array_equal(part.evolution.ask(), whole.evolution.ask())


def test_killed_in_mid_generation_it_resumes_with_that_generation(tmp_path):
    class Killed(Sphere):
        def __call__(self, task):
            if self.calls == 3 * 4 + 3 + 1:  # in the second block of the fifth generation
                raise KeyboardInterrupt
            return super().__call__(task)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "parts", evaluator=Killed()).run()
    resumed = search(tmp_path / "parts")
    assert resumed.generation == 4
    resumed.run()
    whole = search(tmp_path / "whole")
    whole.run()
    assert contents(resumed.files) == contents(whole.files)


def test_a_finished_run_is_not_done_again(tmp_path):
    search(tmp_path).run()
    evaluator = Sphere()
    again = search(tmp_path, evaluator=evaluator)
    again.run()
    assert again.generation == 7
    assert evaluator.calls == 3  # the evaluation at the end alone


def test_other_settings_need_a_fresh_start(tmp_path):
    search(tmp_path).run()
    other = dataclasses.replace(CONFIG, sigma_init=0.2)
    with pytest.raises(CheckpointError, match=r"sigma_init \(then 0.5, now 0.2\).*--fresh"):
        search(tmp_path, other)
    with pytest.raises(CheckpointError, match="world"):
        search(tmp_path, facts={"world": {"map_name": "udem1"}})
    assert search(tmp_path, other, fresh=True).generation == 0


def test_a_damaged_state_is_refused(tmp_path):
    run = search(tmp_path)
    run.run()
    whole = run.state_path.read_bytes()
    for damaged in (b"", whole[:200], whole[: len(whole) // 2]):
        run.state_path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"state\.npz"):
            search(tmp_path)
    np.savez(run.state_path, meta=np.asarray("{}"))
    with pytest.raises(CheckpointError, match="not the state of a search"):
        search(tmp_path)


def test_the_block_does_not_change_with_the_last_one(tmp_path):
    """Six candidates in blocks of four: the second is filled up, and its filling counts nowhere."""
    shapes = []

    class Seen(Sphere):
        def __call__(self, task):
            shapes.append(task.theta.shape)
            return super().__call__(task)

    search(
        tmp_path, dataclasses.replace(CONFIG, block=4, generations=1, eval_steps=9), evaluator=Seen()
    ).run()
    assert shapes == [(4, FORM.size)] * 4


def test_a_row_of_the_history_summarizes_the_returns(tmp_path):
    """Each figure from the returns and lengths themselves, cut as the original cuts them."""
    batches = []

    class Uneven(Sphere):
        def __call__(self, task):
            scores = super().__call__(task)
            length = np.arange(scores.length.size).reshape(scores.length.shape) * 3 + self.calls
            batches.append((scores.reward, length))
            return scores._replace(length=length)

    config = dataclasses.replace(CONFIG, generations=1, eval_steps=9, sigma_init=0.3)
    run = search(tmp_path, config, evaluator=Uneven())
    run.run()
    (row,) = json.loads(run.files.path(".hist.json").read_text())
    rewards, lengths = (np.concatenate([part[at] for part in batches[:3]]) for at in (0, 1))  # two a block
    returns = rewards.mean(axis=1, dtype=np.float64)
    figures = [returns.mean(), returns.min(), returns.max(), returns.std()]
    np.testing.assert_allclose(row[2:6], figures, atol=0.01)
    assert len(set(row[2:6])) == 4
    np.testing.assert_allclose(row[6], run.evolution.deviations.mean(), atol=1e-5)
    assert run.evolution.deviations.max() > run.evolution.deviations.mean() + 1e-4
    np.testing.assert_allclose(row[7], lengths.mean(), atol=0.01)
    assert row[8] == int(lengths.mean(axis=1).max())
    assert row[0] == 1


def test_seeds_of_candidates(tmp_path):
    found = {}
    for mode in ("antithetic", "independent", "common"):
        run = search(tmp_path / mode, dataclasses.replace(CONFIG, seeds=mode))
        found[mode] = run._seeds(0)
        assert run._seeds(0) == found[mode]
        assert run._seeds(1) != found[mode]
    assert found["antithetic"][:3] == found["antithetic"][3:]
    assert len(set(found["antithetic"])) == 3
    assert len(set(found["independent"])) == 6
    assert len(set(found["common"])) == 1


def test_the_time_limit_ends_a_run_after_a_whole_generation(tmp_path):
    run = search(tmp_path, dataclasses.replace(CONFIG, generations=0, time_limit=1e-6))
    run.run()
    assert run.generation == 1
    assert read_theta(run.files.path(".best.json")).shape == (FORM.size,)


def test_capped_time_is_twice_the_mean_before(tmp_path):
    steps = []

    class Seen(Sphere):
        def __call__(self, task):
            steps.append(task.steps)
            return super().__call__(task)

    config = dataclasses.replace(CONFIG, cap_time=1, generations=2, block=6, eval_steps=9)
    search(tmp_path, config, evaluator=Seen()).run()
    assert steps == [50, 20, 50]


def test_returns_that_are_not_finite_stop_the_run(tmp_path):
    class Broken(Sphere):
        def __call__(self, task):
            return super().__call__(task)._replace(reward=np.full((2, 2), np.nan, dtype=np.float32))

    with pytest.raises(TrainingError, match="finite returns"):
        search(tmp_path, evaluator=Broken()).run()


def test_bad_settings():
    with pytest.raises(ConfigError, match="population: expected 2 or more"):
        SearchConfig(num_worker=1, num_worker_trial=1)
    with pytest.raises(ConfigError, match="antithetic seeds need an even number"):
        SearchConfig(num_worker=3)
    assert SearchConfig(num_worker=3, seeds="independent").population == 3
    with pytest.raises(ConfigError, match="sigma_init"):
        SearchConfig(sigma_init=0.0)


def test_an_end_before_the_cut_costs(tmp_path):
    class Ends(Sphere):
        def __call__(self, task):
            scores = super().__call__(task)
            # One lasts until it is cut; the other ends by itself, in its last step.
            ended = np.tile(np.arange(task.episodes) % 2 == 1, (len(task.theta), 1))
            return scores._replace(length=np.full(ended.shape, task.steps), ended=ended)

    free = search(tmp_path / "free", evaluator=Ends())
    dear = search(tmp_path / "dear", dataclasses.replace(CONFIG, end_cost=3.0), evaluator=Ends())
    theta, seeds = np.zeros((6, FORM.size)), [1] * 6
    gained, kept = (run._evaluate_batch(theta, seeds, 50) for run in (free, dear))
    np.testing.assert_allclose(gained.reward - kept.reward, np.tile([0.0, 3.0], (6, 1)), atol=1e-6)
