"""Settings of the algorithms, each with the numbers that were found for it in configs/agent/<algo>.<size>.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from configs.errors import UserError


def check_rollout(algo: str, gae_lambda: float, ent_coef: float = 0.0) -> None:
    """What algorithms that learn from rollouts have in common.

    >>> check_rollout("a2c", gae_lambda=-3.0)
    Traceback (most recent call last):
    configs.errors.UserError: agent.a2c.gae_lambda is a share from 0 to 1, found -3.0
    """
    if not 0 <= gae_lambda <= 1:
        raise UserError(f"agent.{algo}.gae_lambda is a share from 0 to 1, found {gae_lambda}")
    if not 0 <= ent_coef < inf:
        raise UserError(f"agent.{algo}.ent_coef must be a finite number, at least 0, found {ent_coef}")


@dataclass(frozen=True)
class PPOConfig:
    """Of ppo, maskable_ppo and recurrent_ppo."""

    n_steps: int = 16
    """steps of each account in a rollout"""
    batch: int = 4096
    """rows of a minibatch"""
    epochs: int = 4
    """passes over a rollout"""
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0
    compile: bool = False
    """have torch compile ppo's loss where there is a GPU, as CUDA graphs; a CPU goes without"""

    def __post_init__(self) -> None:
        if self.n_steps < 2 or self.batch < 2 or self.epochs < 1 or not 0 < self.clip_range < inf:
            raise UserError("agent.ppo needs n_steps >= 2, batch >= 2, epochs >= 1 and clip_range > 0, found "
                            f"{self.n_steps}, {self.batch}, {self.epochs}, {self.clip_range}")
        check_rollout("ppo", self.gae_lambda, self.ent_coef)


@dataclass(frozen=True)
class A2CConfig:
    n_steps: int = 8
    """steps of each account between two updates"""
    gae_lambda: float = 0.95
    ent_coef: float = 0.001

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise UserError(f"agent.a2c.n_steps must be at least 1, found {self.n_steps}")
        check_rollout("a2c", self.gae_lambda, self.ent_coef)


@dataclass(frozen=True)
class TRPOConfig:
    n_steps: int = 16
    """steps of each account in a rollout"""
    batch: int = 4096
    """rows of a minibatch of the value"""
    target_kl: float = 0.01
    """how far the policy may move in an update"""
    critic_updates: int = 10
    """passes of the value over a rollout"""
    gae_lambda: float = 0.95

    def __post_init__(self) -> None:
        if min(self.n_steps, self.batch) < 2 or self.critic_updates < 1 or not 0 < self.target_kl < inf:
            raise UserError("agent.trpo needs n_steps >= 2, batch >= 2, critic_updates >= 1 and target_kl > 0, found "
                            f"{self.n_steps}, {self.batch}, {self.critic_updates}, {self.target_kl}")
        check_rollout("trpo", self.gae_lambda)


@dataclass(frozen=True)
class ReplayConfig:
    """What every algorithm with a memory of transitions has."""

    buffer: int = 200_000
    """transitions kept; a row number each, never a window"""
    learning_starts: int = 10_000
    """steps of all accounts before the first update"""
    batch: int = 1024
    """transitions of a minibatch"""
    gradient_steps: int = 4
    """updates after each step of all accounts"""
    tau: float = 0.01
    """share of the new weights taken over into the target network: after each step of all accounts (dqn, qrdqn), each
    update (sac, tqc) or every second one (td3)"""
    n_step: int = 1
    """rewards that are added up before a value is trusted"""

    def __post_init__(self) -> None:
        if min(self.buffer, self.batch, self.gradient_steps, self.n_step) < 1 or not 0 < self.tau <= 1:
            raise UserError("a memory needs buffer, batch, gradient_steps and n_step >= 1 and 0 < tau <= 1, found "
                            f"{self.buffer}, {self.batch}, {self.gradient_steps}, {self.n_step}, {self.tau}")
        if self.learning_starts < 0:
            raise UserError("learning_starts is steps before the first update, at least 0, found "
                            f"{self.learning_starts}")


@dataclass(frozen=True)
class DQNConfig(ReplayConfig):
    """Of dqn and qrdqn."""

    exploration_fraction: float = 0.3
    """share of training in which random actions fade out"""
    exploration_final: float = 0.02
    double: bool = True
    """the net that learns chooses the next action, the target net says what it is worth (dqn)"""
    dueling: bool = False
    """one stream of layers for what a state is worth and one for the advantage of each action (dqn)"""
    quantiles: int = 50
    """of the return's distribution (qrdqn)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.exploration_final <= 1 and 0 < self.exploration_fraction <= 1 and self.quantiles >= 2):
            raise UserError("agent.dqn needs 0 <= exploration_final <= 1, 0 < exploration_fraction <= 1 and quantiles "
                            f">= 2, found {self.exploration_final}, {self.exploration_fraction}, {self.quantiles}")


@dataclass(frozen=True)
class ActorCriticConfig(ReplayConfig):
    """Of sac, td3 and tqc, which name weights."""

    noise: float = 0.1
    """deviation of what is added to td3's actions while it learns, in spans of the action from -1 to 1"""
    entropy: float = 0.0
    """weight of the entropy (sac, tqc); 0: found while learning"""
    quantiles: int = 25
    """of each of tqc's two critics"""
    drop: int = 2
    """highest quantiles of each critic that tqc leaves out"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.noise < inf and 0 <= self.entropy < inf and 0 <= self.drop < self.quantiles):
            raise UserError("agent.actor_critic needs noise and entropy >= 0 and 0 <= drop < quantiles, found "
                            f"{self.noise}, {self.entropy}, {self.drop}, {self.quantiles}")


@dataclass(frozen=True)
class AllQConfig:
    batch: int = 2048
    """bars of a minibatch, each for every position before and after"""
    tau: float = 0.01
    """share of the new weights taken over into the target network after each minibatch"""
    fees: int = 1
    """how many costs one network learns, spread over env.episodes.cost_scale"""

    def __post_init__(self) -> None:
        if min(self.batch, self.fees) < 1 or not 0 < self.tau <= 1:
            raise UserError("agent.all_q needs batch and fees >= 1 and 0 < tau <= 1, found "
                            f"{self.batch}, {self.fees}, {self.tau}")


@dataclass(frozen=True)
class LSTMConfig:
    width: int = 64
    """numbers that recurrent_ppo carries from bar to bar"""
    layers: int = 1

    def __post_init__(self) -> None:
        if min(self.width, self.layers) < 1:
            raise UserError(f"agent.lstm needs width and layers >= 1, found {self.width}, {self.layers}")
