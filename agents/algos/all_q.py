"""Learning every position from every bar.

The market does not react to us, so one bar shows what each position would have made of it. The network says what it is
worth to hold each level over the next bar, V_a(s), whatever was held before; moving there from a weight k costs what
orders cost:

    Q(s, k, a) = log kept by moving from k to a + V_a(s)
    V_a(s)    <- log growth of holding a over the bar + gamma max_a' Q(s', k', a')

with every bar, every level and every level before it in each update: no exploration and no stepping. `envs/outcomes.py`
has the engine itself make the table of growths, so fees, spreads, funding, interest and gaps are in it. Values count
against their mean over the batch: growth that every position shares would only have to be learnt and forgotten.

It holds where what happens next depends on the bar and the weight alone, and for log growth, which alone comes apart
into a move and what is held after it. Stops, latency, fee tiers and other rewards are refused
(`envs.outcomes.why_not`). With impact or a smallest order it learns for an account of the size of `env.capital`; a
market that our orders move, or a margin shared with other positions, it cannot see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.dqn.policies import MultiInputPolicy, QNetwork
from torch import Tensor, nn
from torch.nn import functional

from agents.algos.recipe import Recipe, Task
from agents.sb3_env import AccountsVecEnv
from envs.outcomes import outcomes

TEN_BPS = 1e-3  # the unit in which a cost is shown to the network


def log_kept(held: Tensor, levels: Tensor, cost: Tensor) -> Tensor:
    """(..., A) log of the equity that is left by an order from `held` (...) to each level, at `cost` (...) a unit.

    >>> log_kept(torch.tensor([0.0]), torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([0.25])).exp()
    tensor([[0.8000, 1.0000, 0.8000]])
    """
    held, cost = held[..., None], cost[..., None]
    bought = levels > held
    toll = torch.where(bought, cost, -cost)
    return torch.log1p(toll * held) - torch.log1p(toll * levels)


class LevelsNetwork(QNetwork):
    """Q of every level from what the row shows, plus the known cost of getting there from the weight that is held."""

    levels: Tensor
    costs: Tensor

    def __init__(self, features_dim: int, levels: tuple[float, ...], cost: float, scales: tuple[float, ...],
                 reward_scale: float, **network: Any) -> None:
        self.many = len(scales) > 1
        super().__init__(features_dim=features_dim + self.many, **network)
        self.cost, self.reward_scale = cost, reward_scale  # scaled reward of a unit of log growth
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.float32), persistent=False)
        self.register_buffer("costs", torch.tensor(scales, dtype=torch.float32) * cost, persistent=False)

    def worth(self, rows: Tensor, cost: Tensor) -> Tensor:
        """(B, A) V_a of each level on `rows` (B,), at `cost` (B,) a unit."""
        features = self.extract_features({"row": rows[:, None], "account": rows.new_zeros(len(rows), 1).float()},
                                         self.features_extractor)
        if self.many:
            features = torch.cat([features, cost[:, None] / TEN_BPS], dim=1)
        return self.q_net(features)

    def forward(self, obs: Any) -> Tensor:
        held = obs["account"][:, 0]  # the weight
        cost = torch.full_like(held, self.cost)
        return self.reward_scale * log_kept(held, self.levels, cost) + self.worth(obs["row"][:, 0].long(), cost)


class LevelsPolicy(MultiInputPolicy):
    """A DQN policy whose network is a `LevelsNetwork`."""

    def __init__(self, *args: Any, worth: dict[str, Any], **kwargs: Any) -> None:
        self.worth = worth  # before the networks are made
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> QNetwork:
        made = self._update_features_extractor(self.net_args, features_extractor=None)
        return LevelsNetwork(**made, **self.worth).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "worth": self.worth}


@dataclass(frozen=True)
class Lessons:
    """What every bar teaches, on the device: K bars, S costs, A levels."""

    rows: Tensor  # (K,)
    following: Tensor  # (K,)
    told: Tensor  # (K * S, A, 2 + A) side by side, for a bar's numbers are read together:
    # the gain of holding a level over the bar, orders paid back; 0 where that ended in ruin, else 1; and the cost of
    # going on to each level from the weight that it has come to


class AllQ(DQN):
    """Saves, loads and predicts as SB3's DQN does; `learn` reads bars instead of stepping an environment.

    A step is a bar that taught every position.
    """

    q_net: LevelsNetwork
    q_net_target: LevelsNetwork
    told: Lessons | None = None

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "told"]

    def learn(self, total_timesteps: int, callback: MaybeCallback = None, log_interval: int = 100,
              tb_log_name: str = "all_q", reset_num_timesteps: bool = True, progress_bar: bool = False) -> AllQ:
        if self.told is None:
            self.told = self.lessons()
        total, callback = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        callback.on_training_start(locals(), globals())
        while self.num_timesteps < total:
            callback.on_rollout_start()
            self._update_current_progress_remaining(self.num_timesteps, total)
            loss = self.teach(self.told)
            self.num_timesteps += self.batch_size
            callback.update_locals({"infos": ()})
            if not callback.on_step():
                break
            if self._n_updates % log_interval == 0:
                self.logger.record("train/loss", float(loss))
                self.dump_logs()
        callback.on_training_end()
        return self

    def lessons(self) -> Lessons:
        """The table of outcomes of the environment's rows, without what orders cost."""
        assert isinstance(self.env, AccountsVecEnv)
        engine, net = self.env.engine, self.q_net
        scales = (net.costs / net.cost).tolist() if net.cost else [1.0]
        found = outcomes(engine.market, engine.config, engine.window, engine.spans[0], tuple(scales))
        paid = log_kept(net.levels.cpu(), net.levels.cpu(), net.costs.cpu()[:, None])  # (S, H, A)
        gain = (torch.from_numpy(found.reward) * self.env.reward_scale - paid * net.reward_scale).mean(dim=2)
        after = torch.from_numpy(found.after).mean(dim=2)
        moving = net.reward_scale * log_kept(after, net.levels.cpu(), net.costs.cpu()[:, None])
        alive = torch.from_numpy(~found.ended).float().mean(dim=2)
        told = torch.cat([gain[..., None], alive[..., None], moving], dim=3).flatten(0, 1)
        tables = (torch.from_numpy(found.rows), torch.from_numpy(found.following), told)
        return Lessons(*(table.to(self.device) for table in tables))

    def teach(self, lessons: Lessons) -> Tensor:
        """One update from `batch_size` bars drawn at random; returns the loss."""
        self._update_learning_rate(self.policy.optimizer)
        net, count = self.q_net, (self.batch_size,)
        bars = torch.randint(len(lessons.rows), count, device=self.device)
        scales = torch.randint(len(net.costs), count, device=self.device)
        cost = net.costs[scales]  # (B,)
        with torch.no_grad():
            later = self.q_net_target.worth(lessons.following[bars], cost)  # (B, A)
            told = lessons.told.index_select(0, bars * len(net.costs) + scales)  # (B, A, 2 + A)
            best = (told[:, :, 2:] + later[:, None]).amax(dim=2)  # (B, A)
            target = told[:, :, 0] + self.gamma * told[:, :, 1] * best
            target -= target.mean()
        loss = functional.mse_loss(net.worth(lessons.rows[bars], cost), target)
        self.policy.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        polyak_update(net.parameters(), self.q_net_target.parameters(), self.tau)
        self._n_updates += 1
        return loss.detach()


def all_q(task: Task) -> Recipe:
    own, env = task.agent.all_q, task.env
    several = own.fees > 1 and env.costs.per_unit > 0
    scales = tuple(np.linspace(*env.episodes.cost_scale, own.fees).tolist()) if several else (1.0,)
    return Recipe(AllQ, LevelsPolicy, {"buffer_size": 1, "batch_size": own.batch, "tau": own.tau}, {
        "worth": {"levels": env.levels, "cost": env.costs.per_unit, "scales": scales,
                  "reward_scale": task.agent.reward_scale * env.reward.log_growth}}, sees_account=False)
