"""When an agent is looked at while it learns, which of its weights are kept, and when it is time to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.config import AgentConfig
from agents.earned import Earned
from agents.sb3_env import AccountsVecEnv
from agents.watch.cockpit import Card, draw_look, record_best, record_card, record_look
from agents.watch.critic import calibration
from agents.watch.training import Tally
from agents.watch.validation import Validation
from agents.weights import Weights, portable
from configs.errors import UserError

Say = Callable[[str], None]
POINTS = 200  # of the training curves


class Watch(BaseCallback):
    """Looks before anything is learnt, then `agent.validations` times and at the end; keeps the best weights on disk
    and in memory, logs, and shows a bar.

    Best is the highest mean growth less one standard error. The first look shows where the training began: what has
    been taught nothing yet is not chosen, however lucky it was, unless it is the clone of a teacher. Nor are weights
    that never trade, where others do and the agent may stay out: that takes no weights, and the best that trade are
    needed to tell whether it should. With `agent.patience` so many looks in a row that find nothing better end the
    training.

    It draws no random number and leaves the policy as it found it, so how often one looks changes nothing.
    """

    def __init__(self, validation: Validation, agent: AgentConfig, keep: Callable[[Weights], None], progress: bool,
                 card: Card | None = None, say: Say = tqdm.write) -> None:
        super().__init__()
        self.validation, self.agent, self.keep, self.progress, self.card = validation, agent, keep, progress, card
        self.say = say
        self.best_rank: tuple[float, float] = (-1.0, 0.0)  # taught and trading come before all that is earned
        self.best_step, self.best = 0, Earned(0.0, 0.0)
        self.best_weights: Weights = {}
        self.best_numbers: dict[str, float] = {}
        self.worse = 0  # looks since the best one
        self.stopped = False
        self.next_look = self.next_point = 0  # steps
        # disable=None: no bar where the output is a file
        self._bar = tqdm(total=agent.steps, desc="agent", unit=" steps", unit_scale=True,
                         disable=None if progress else True)

    def _on_training_start(self) -> None:
        assert isinstance(self.training_env, AccountsVecEnv)
        self.tally = Tally(self.training_env.engine)
        self._began, self._began_at = time.perf_counter(), self.model.num_timesteps
        if self.card:
            record_card(self.logger, self.card)

    def _on_step(self) -> bool:
        if self.locals["infos"]:  # all_q steps no account
            self.tally.step()
        self._bar.update(min(self.num_timesteps, self.agent.steps) - self._bar.n)
        if self.num_timesteps >= self.next_look:
            self.next_look += max(self.agent.steps // self.agent.validations, 1)
            self._look()
        elif self.num_timesteps >= self.next_point:
            self._point()
        return not self.stopped

    def _on_training_end(self) -> None:
        if not self.stopped:  # else nothing was learnt since the last look
            self._look(last=True)
        record_best(self.logger, {**self.best_numbers, "step": self.best_step}, self.card)
        self.logger.dump(self.num_timesteps)
        self._bar.close()
        if self.best is not None:
            self.say(f"kept the weights of step {self.best_step:,}, which earned {self.best} on the validation rows")

    def _point(self) -> None:
        """One more point of every curve that has something new to say."""
        self.next_point = self.num_timesteps + self.agent.steps // POINTS
        for name, value in self.tally.take().items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("time/updates", self._updates)
        gone = time.perf_counter() - self._began
        self.logger.record("time/steps_per_second", (self.num_timesteps - self._began_at) / gone)
        self.logger.dump(self.num_timesteps)

    def _look(self, last: bool = False) -> None:
        """Try the policy on the validation rows; pictures are of each that is the best so far, and of the last."""
        policy = self.model.policy
        policy.set_training_mode(False)
        weights = policy.state_dict()
        for name, value in weights.items():
            if not torch.isfinite(value).all():
                raise UserError(f"the policy's {name} is not a number after {self.num_timesteps} steps; lower agent.lr "
                                f"(the best weights so far are kept, from step {self.best_step})")
        look = self.validation.run(policy)
        earned = Earned.of(look.growths, idle=look.metrics.trades == 0)
        taught = bool(self.best_weights or self.agent.warm.teacher)
        rank = (taught + (taught and not (earned.idle and self.agent.stay_out)), earned.score)
        self.worse += 1
        if rank > self.best_rank:
            self.best_rank, self.best_step, self.worse = rank, self.num_timesteps, 0
            self.best = earned
            self.best_weights, self.best_numbers = portable(weights), look.numbers
            self.keep(self.best_weights)
        for name, value in calibration(policy, look, self.agent.gamma, self.agent.reward_scale).items():
            self.logger.record(f"valid/{name}", value)
        record_look(self.logger, look)
        if last or not self.worse:
            draw_look(self.logger, look, self.validation.engine.market.assets,
                      f"Validation rows after {self.num_timesteps:,} steps, {self._updates:,} updates")
        self._point()
        shown = f"{earned.mean * 1e4:+.2f} bps/bar"
        self._bar.set_postfix(updates=self._updates, valid=shown)
        if self.progress and self._bar.disable:
            when = "after the last update" if last else f"step {self.num_timesteps:,} of {self.agent.steps:,}"
            self.say(f"{when}: {shown} on the validation rows")
        if 0 < self.agent.patience <= self.worse:
            self.stopped = True
            self.say(f"stopped after {self.num_timesteps:,} steps: {self.worse} validations in a row found nothing "
                     f"better than step {self.best_step:,} (agent.patience)")

    @property
    def _updates(self) -> int:
        return getattr(self.model, "_n_updates", 0)
