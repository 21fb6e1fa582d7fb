"""The demo: how long its models train, and what its dreams must look like."""

import numpy as np
import pytest

from scripts.demo import LEAST, LIMIT, MOST, OTHERS, QUIET, plan_steps
from scripts.demo_picture import Look, check, measure


def frames(seed: int, spread: float) -> np.ndarray:
    """Noise around grey, (8, 64, 64, 3)."""
    random = np.random.default_rng(seed)
    return np.clip(random.normal(120, spread, (8, 64, 64, 3)), 0, 255).astype(np.uint8)


def test_both_trainings_fill_the_time_that_the_other_stages_leave():
    steps = plan_steps({"vae": QUIET, "rnn": 0.05}, LIMIT)
    assert QUIET * steps["vae"] + 0.05 * steps["rnn"] == pytest.approx(60 * LIMIT - OTHERS, abs=1)


@pytest.mark.parametrize(("seconds", "bound"), [(50.0, LEAST), (1e-5, MOST)])
def test_steps_have_bounds(seconds, bound):
    assert plan_steps({"vae": seconds, "rnn": seconds}, LIMIT) == bound


def test_a_dream_is_measured_against_decoded_frames():
    real, decoded = frames(0, 30), frames(1, 20)
    same = measure([Look(real, decoded, decoded, real)])
    assert (same["contrast"], same["sharpness"]) == (1, 1)
    noisy = measure([Look(real, decoded, frames(2, 60), real)])
    assert noisy["contrast"] == pytest.approx(3, rel=0.1)
    assert noisy["sharpness"] == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(("spread", "seen"), [(20, False), (60, True), (6, True)])
def test_a_dream_that_melts_or_glows_ends_the_demo(spread, seen):
    real, decoded = frames(0, 30), frames(1, 20)
    report = {"demo": measure([Look(real, decoded, frames(3, spread), real)])}
    if not seen:
        check(report)
        return
    with pytest.raises(SystemExit, match="demo model: expected dreams with 50% to 200% of the contrast"):
        check(report)
