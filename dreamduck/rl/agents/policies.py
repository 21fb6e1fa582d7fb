"""Builds an agent of Stable-Baselines3 from a plan.

As in 2019, actor and critic share the network unless `value_network` is "copy". Source of the normalized
LSTM: Ba et al. 2016."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.rl.agents.networks import ACTIVATIONS, NETWORKS, extractor, lstm_units
from dreamduck.rl.arguments import LinearSchedule
from dreamduck.rl.environments.env_factory import first_line
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import (
    ActionNoise,
    BaseAlgorithm,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    RecurrentActorCriticPolicy,
    VecEnv,
    sb3,
    th,
)

nn = th.nn


def build(plan: Plan, venv: VecEnv, seed: int | None) -> BaseAlgorithm:
    """A new agent.

    Args:
        plan: the run's.
        venv: its environments.
        seed: of the weights and of the exploration; None: random.
    Raises:
        ConfigError: Stable-Baselines3 does not take the arguments.
    """
    policy, options = _policy(plan)
    arguments = {name: _scheduled(value) for name, value in plan.arguments.items()}
    if plan.noise != "none":
        arguments["action_noise"] = _noise(plan.noise, venv)
    if NETWORKS[plan.network].images is False:
        arguments.setdefault("device", "cpu")  # dense layers this small run faster there
    try:
        return plan.engine(policy, venv, policy_kwargs=options, seed=seed, verbose=0, **arguments)
    except (ValueError, TypeError, AssertionError) as err:
        if isinstance(err, ConfigError):
            raise
        raise ConfigError(
            f"{plan.algorithm.name}: Stable-Baselines3 does not take this ({first_line(err)})"
        ) from err


def _policy(plan: Plan) -> tuple[Any, dict[str, Any]]:
    """The policy and its arguments for the plan's network."""
    network = NETWORKS[plan.network]
    if network.images is None:
        return plan.network, dict(plan.policy_options)
    if not plan.algorithm.on_policy and not network.images and plan.algorithm.log_family != "deepq":
        return "MlpPolicy", _dense(plan)
    kind, settings = extractor(plan.network, plan.network_options)
    options: dict[str, Any] = {
        "features_extractor_class": kind,
        "features_extractor_kwargs": settings,
        **plan.policy_options,
    }
    if network.recurrent:
        return _recurrent(plan, options)
    if plan.algorithm.on_policy:
        # 2019's TRPO always had a second network for the value, the others only if asked.
        own = plan.value_network == "copy" or (plan.algorithm.engine == "TRPO" and not plan.value_network)
        return "MlpPolicy", {"net_arch": [], "share_features_extractor": not own, **options}
    if plan.algorithm.actions == "continuous":
        options.setdefault("net_arch", [256])
    elif plan.algorithm.log_family != "deepq":
        options.setdefault("net_arch", [])
    return "MlpPolicy", options


def _recurrent(plan: Plan, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    options |= {
        "net_arch": [],
        "lstm_hidden_size": lstm_units(plan.network, plan.network_options),
        "shared_lstm": plan.value_network == "shared",
        "enable_critic_lstm": plan.value_network != "shared",
        "share_features_extractor": plan.value_network != "copy",
    }
    if plan.network == "cnn_lnlstm" or plan.network_options.get("layer_norm", False):
        return LayerNormRecurrentPolicy, options
    return "MlpLstmPolicy", options


def _dense(plan: Plan) -> dict[str, Any]:
    """Dense layers for an algorithm with a replay buffer: the action joins them at the first."""
    given = plan.network_options
    options = dict(plan.policy_options)
    if plan.algorithm.name == "ddpg":  # the newer ones keep Stable-Baselines3's sizes unless set
        given = {"num_layers": 2, "num_hidden": 64, "activation": "tanh", **given}
    if given.get("layer_norm"):
        raise ConfigError(f"--layer_norm: not with {plan.algorithm.name}; leave it out")
    if "num_layers" in given or "num_hidden" in given:
        options["net_arch"] = [given.get("num_hidden", 64)] * given.get("num_layers", 2)
    if "activation" in given:
        options["activation_fn"] = ACTIVATIONS[str(given["activation"]).rsplit(".", 1)[-1]]
    return options


def _scheduled(value: Any) -> Any:
    return (
        sb3.common.utils.LinearSchedule(value.start, 0.0, 1.0)
        if isinstance(value, LinearSchedule)
        else value
    )


def _noise(text: str, venv: VecEnv) -> ActionNoise:
    """Noise on the actions, from `normal_0.2` or `ou_0.2`."""
    space = venv.action_space
    assert isinstance(space, gym.spaces.Box)
    kind, _, size = text.rpartition("_")
    mean, sigma = np.zeros(space.shape), np.full(space.shape, float(size))
    return (NormalActionNoise if kind == "normal" else OrnsteinUhlenbeckActionNoise)(mean, sigma)


def uses_images(plan: Plan) -> bool:
    """Whether the network has convolutions."""
    return bool(NETWORKS[plan.network].images) or plan.network == "CnnPolicy"


class LayerNormLSTM(nn.Module):
    """An LSTM with layer normalization and the interface of `torch.nn.LSTM`.

    The products with the input and with h are normalized separately, and so is c before it becomes h; the
    c of the next step is not.

    Args:
        input_size: features of the input.
        hidden_size: units.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, 1
        self.from_input = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.from_state = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm_input = nn.LayerNorm(4 * hidden_size)
        self.norm_state = nn.LayerNorm(4 * hidden_size)
        self.norm_cell = nn.LayerNorm(hidden_size)
        nn.init.orthogonal_(self.from_input.weight)
        nn.init.orthogonal_(self.from_state.weight)

    def forward(
        self, sequence: th.Tensor, state: tuple[th.Tensor, th.Tensor]
    ) -> tuple[th.Tensor, tuple[th.Tensor, th.Tensor]]:
        """(T, B, input) and two of (1, B, hidden) to (T, B, hidden) and the state after it."""
        h, c = state[0][0], state[1][0]
        inputs = self.norm_input(self.from_input(sequence))
        outputs = []
        for step in inputs:
            gates = step + self.norm_state(self.from_state(h))
            i, f, o, u = gates.chunk(4, dim=-1)
            c = th.sigmoid(f) * c + th.sigmoid(i) * th.tanh(u)
            h = th.sigmoid(o) * th.tanh(self.norm_cell(c))
            outputs.append(h)
        return th.stack(outputs), (h[None], c[None])


class LayerNormRecurrentPolicy(RecurrentActorCriticPolicy):
    """The recurrent policy of sb3-contrib with `LayerNormLSTM` instead of its LSTMs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own: Any = self  # the parent's annotations name torch's LSTM
        size = own.lstm_actor.hidden_size
        own.lstm_actor = LayerNormLSTM(self.features_dim, size)
        if own.lstm_critic is not None:
            own.lstm_critic = LayerNormLSTM(self.features_dim, size)
        rate = own.optimizer.param_groups[0]["lr"]
        own.optimizer = self.optimizer_class(self.parameters(), lr=rate, **self.optimizer_kwargs)
