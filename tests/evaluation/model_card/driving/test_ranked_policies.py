"""Policies: which of them fit a world model, and what their noise is."""

import json

import numpy as np
import pytest

from dreamduck.common.errors import ControllerError
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.evaluation.model_card.driving import ranked_policies
from dreamduck.evaluation.model_card.driving.ranked_policies import (
    all_policies,
    frozen_policies,
    plain_policies,
)
from dreamduck.pretrained import FOLDER
from dreamduck.world_model import WorldModel

LIMIT = 700_000  # bytes of both files


def fingerprints(**changes):
    weights = json.loads((FOLDER / "ranked_policies.json").read_text())["weights"]
    return {"vae": weights["vae.weights.h5"], "rnn": weights["rnn.weights.h5"], **changes}


def test_the_frozen_policies_that_ship_fit_the_model_that_ships():
    fitting, left_out = frozen_policies(WorldModel.load().card.fingerprints)
    assert not left_out
    plain, imitations = len(plain_policies()), 2 * len(ranked_policies.NOISE)
    assert len(fitting) + plain + imitations >= 24
    assert len({policy.name for policy in fitting}) == len(fitting)
    assert {policy.kind for policy in fitting} == {"cma-es", "ppo", "shipped"}
    road = [policy.name for policy in fitting if not policy.trained_in_dream]
    assert road == ["shipped, trained in the simulator"]
    assert (
        sum((FOLDER / name).stat().st_size for name in ("ranked_policies.npz", "ranked_policies.json"))
        < LIMIT
    )


def test_another_model_with_the_same_vae_takes_the_policies_on_z():
    fitting, left_out = frozen_policies(fingerprints(rnn="other"))
    assert {policy.features for policy in fitting} == {"z"}
    assert not any(policy.trained_in_dream for policy in fitting)
    assert {one.reason for one in left_out} == {"trained with another world model, whose h it reads"}
    fitting, left_out = frozen_policies(fingerprints(vae="other"))
    assert not fitting
    assert {one.reason.split(",")[0] for one in left_out} == {
        "trained with another VAE",
        "trained with another world model",
    }


def write(folder, **changes):
    form = ControllerForm("zh", z_size=4, hidden_size=3)
    theta = np.random.default_rng(0).normal(size=form.size).astype(np.float16)
    row = {"name": "one", "kind": "cma-es", "trained_in": "dream", "form": form.__dict__}
    card = {"format": 1, "weights": {"vae.weights.h5": "v", "rnn.weights.h5": "r"}, "drivers": [row]}
    (folder / "ranked_policies.json").write_text(json.dumps({**card, **changes}))
    np.savez(folder / "ranked_policies.npz", **{"theta.0": theta})  # type: ignore[arg-type]
    return Controller(form, theta)  # type: ignore[arg-type]


def test_a_frozen_policy_is_its_controller(tmp_path):
    controller = write(tmp_path)
    (policy,), _ = frozen_policies({"vae": "v", "rnn": "r"}, tmp_path)
    z, h = np.random.default_rng(1).normal(size=(2, 5, 4)).astype(np.float32)
    seen = np.concatenate([z, np.zeros((5, 3), np.float32), h[:, :3]], axis=1)
    np.testing.assert_array_equal(policy.act(z, h[:, :3]), controller(seen))
    assert policy.trained_in_dream


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "expected format 1, got 2"),
        ({"weights": {}}, "frozen policies"),
        ({"drivers": 3}, "frozen policies"),
    ],
)
def test_a_damaged_card_is_reported_in_one_line(tmp_path, changes, message):
    write(tmp_path, **changes)
    with pytest.raises(ControllerError, match=message) as caught:
        frozen_policies({"vae": "v", "rnn": "r"}, tmp_path)
    assert "make_ranked_policies.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_thetas_are_reported_in_one_line(tmp_path):
    write(tmp_path)
    np.savez(tmp_path / "ranked_policies.npz", other=np.zeros(3))
    with pytest.raises(ControllerError, match=r"no theta\.0"):
        frozen_policies({"vae": "v", "rnn": "r"}, tmp_path)


def test_without_telemetry_there_are_no_imitations(monkeypatch):
    def refuse(*_):
        raise ranked_policies.RecordError("no telemetry")  # type: ignore[attr-defined]

    monkeypatch.setattr(ranked_policies, "fit_imitation", refuse)
    dreams = type("Dreams", (), {"model": WorldModel.load()})()
    found, left_out = all_policies(dreams, None)  # type: ignore[arg-type]
    assert "imitation" not in {policy.kind for policy in found}
    assert [one.reason for one in left_out] == ["no telemetry"] * 2


def test_noise_is_of_the_episode_and_as_strong_as_it_says():
    by_name = {policy.name: policy for policy in plain_policies()}
    assert not by_name["standing still"].noises(3, 2, 5).any()
    white = by_name["random"].noises(3, 40, 50)
    assert white.shape == (40, 50, 2)
    assert np.abs(white).max() <= 1
    np.testing.assert_allclose(white.std(), 1 / np.sqrt(3), rtol=0.05)
    np.testing.assert_array_equal(white[:7], by_name["random"].noises(3, 7, 50))
    assert not np.array_equal(white[0], white[1])
    assert not np.array_equal(white, by_name["random"].noises(4, 40, 50))
    smooth = by_name["smooth random"].noises(3, 40, 50)
    jumps = np.abs(np.diff(smooth, axis=1)).mean() / np.abs(np.diff(white, axis=1)).mean()
    assert jumps < 0.5
    strong = ranked_policies._smooth(0.8)(np.random.default_rng(0), 4000)  # type: ignore[misc]
    np.testing.assert_allclose(strong.std(axis=0), (0.4, 0.8), rtol=0.15)
    assert ranked_policies._smooth(0.0) is None
