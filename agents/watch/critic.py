"""What a critic promises, held against what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from agents.algos.all_q import LevelsPolicy
from agents.watch.validation import Look

ROWS = 1024  # states that are valued at once, for an encoder that is fine-tuned gathers a window for each


def of_sequences(policy: Any, seen: dict[str, Tensor], sequences: int) -> Tensor:
    """The critic's own LSTM over whole sequences, each from nothing, as at the start of an episode."""
    layers, _, width = policy.lstm_hidden_state_shape
    nothing = torch.zeros(layers, sequences, width, device=policy.device)
    starts = torch.zeros(len(seen["row"]), device=policy.device)
    found: Tensor = policy.predict_values(seen, (nothing, nothing), starts)
    return found[:, 0]


def of_actor(policy: Any, seen: dict[str, Tensor]) -> Any:
    """What the critics say of the action that the actor prefers."""
    return policy.critic(seen, policy._predict(seen, deterministic=True))


# the first that fits counts: what a critic says of each state (K,), from observations and how many sequences they are
CRITICS: tuple[tuple[type[BasePolicy], Callable[[Any, dict[str, Tensor], int], Tensor]], ...] = (
    (RecurrentActorCriticPolicy, of_sequences),
    (ActorCriticPolicy, lambda policy, seen, _: policy.predict_values(seen)[:, 0]),
    (MaskableActorCriticPolicy, lambda policy, seen, _: policy.predict_values(seen)[:, 0]),
    (DQNPolicy, lambda policy, seen, _: policy.q_net(seen).amax(dim=1)),
    (QRDQNPolicy, lambda policy, seen, _: policy.quantile_net(seen).mean(dim=1).amax(dim=1)),
    (TQCPolicy, lambda policy, seen, _: of_actor(policy, seen).mean(dim=(1, 2))),
    (SACPolicy, lambda policy, seen, _: torch.cat(of_actor(policy, seen), dim=1).mean(dim=1)),
    (TD3Policy, lambda policy, seen, _: torch.cat(of_actor(policy, seen), dim=1).mean(dim=1)),
)


def values_of(policy: Any, look: Look) -> np.ndarray | None:
    """(K,) what the policy's critic says of every state of a look, in scaled rewards; None if it has no critic.

    Where there are several critics it is their mean, where there is one for each action the value of the best.
    """
    critic = next((ask for kind, ask in CRITICS if isinstance(policy, kind)), None)
    if critic is None:
        return None
    steps = len(look.rewards) // look.parts
    at_once = max(ROWS // steps, 1)  # whole parts, so that what is carried from step to step is
    found = []
    with torch.no_grad():
        for first in range(0, look.parts, at_once):
            sequences = min(at_once, look.parts - first)
            rows = slice(first * steps, (first + sequences) * steps)
            seen = policy.obs_to_tensor({name: value[rows] for name, value in look.seen.items()})[0]
            found.append(critic(policy, seen, sequences).double().cpu().numpy())
    return np.concatenate(found)


def returns_of(look: Look, gamma: float, scale: float, last: float) -> np.ndarray:
    """(K,) discounted scaled rewards that followed each state, nothing after ruin; the last state is worth `last`.

    Part follows upon part as they do in time, though the next one begins in cash: an order's cost off at most.
    """
    found = np.zeros(len(look.rewards))
    found[-1] = last
    for k in range(len(found) - 2, -1, -1):
        found[k] = scale * look.rewards[k] + gamma * found[k + 1] * (not look.ruined[k])
    return found


def calibration(policy: Any, look: Look, gamma: float, scale: float) -> dict[str, float]:
    """How far the critic's values of the visited states can be believed.

    - `value_bias`: mean of what it said less what came, in scaled rewards; above 0 it promises too much. With log
      growth as the reward and `agent.reward_scale` 100 it is in hundredths of log equity.
    - `value_correlation`: between the two, over the states; 1 for a critic that knows which ones are good, 0 also
      where either never changes.

    What lies beyond the span is taken from what the critic says of the last state, which itself is left out.
    The look takes the best action where a policy that explores was valued with its exploration, sac and tqc with the
    worth of their entropy too: some bias is theirs by right. The values of all_q count against their mean, which the
    bias would measure: it has a correlation only.
    """
    values = values_of(policy, look)
    if values is None:
        return {}
    counted = look.alive.copy()
    counted[-1] = False
    said, came = values[counted], returns_of(look, gamma, scale, float(values[-1]))[counted]
    known = min(said.std(), came.std()) > 1e-12
    found = {"value_correlation": float(np.corrcoef(said, came)[0, 1]) if known else 0.0}
    return found if isinstance(policy, LevelsPolicy) else {"value_bias": float((said - came).mean()), **found}
