"""PPO and A2C of SB3, less what is not arithmetic.

They save, load and predict as SB3's own, learn by the same formulas and call callbacks at the same moments: the same
rollouts and permutations lead to the same weights, to rounding (`tests/agents/test_lean.py`). What differs is where a
rollout is kept (`collect.py`), how a policy is asked (`swift.py`), and that an update tells the host only at its end
what it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3 import A2C, PPO
from torch import Tensor, nn
from torch.nn import functional

from agents.algos.collect import Batch, Collecting
from agents.algos.swift import Swift
from configs.errors import UserError

TOLD = ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction", "approx_kl", "loss")  # of a minibatch


def standardised(advantages: Tensor) -> Tensor:
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


class Lean(Collecting):
    """A step along the gradient, and a report."""

    def follow(self, loss: Tensor, weights: list[nn.Parameter]) -> Tensor:
        """Returns the norm of the gradient before it was clipped."""
        for weight in weights:
            weight.grad = None
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, self.max_grad_norm)
        self.policy.optimizer.step()
        return norm

    def report(self, told: dict[str, Tensor], norms: list[Tensor]) -> None:
        """All that the logger is to know leaves the device in one piece."""
        values, returns = (self.rollout_buffer.tensors[name] for name in ("values", "returns"))
        spread = returns.var(correction=0)
        told["explained_variance"] = 1 - (returns - values).var(correction=0) / spread.where(spread > 0, math.nan)
        if hasattr(self.policy, "log_std"):
            told["std"] = self.policy.log_std.detach().exp().mean()
        norm, *numbers = torch.stack([torch.stack(norms).sum(), *told.values()]).tolist()
        if not math.isfinite(norm):
            raise ValueError("the gradient is nan or infinite")
        for name, number in zip(told, numbers):
            self.logger.record(f"train/{name}", number)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


class LeanPPO(Lean, PPO):
    """SB3's PPO with neither `target_kl` nor `clip_range_vf`.

    With `compile` torch compiles the loss of a minibatch where the policy is on a GPU, as CUDA graphs; on a CPU it is
    left as it is. Off unless asked for: whether it pays hangs on the network and on the card
    (`benchmark.py --parts gpu`).
    """

    def __init__(self, *args: Any, compile: bool = False, **kwargs: Any) -> None:
        self.compile = compile
        self._compiled: Callable[..., tuple[Tensor, Tensor]] | None = None
        super().__init__(*args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_compiled"]

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.target_kl is not None or self.clip_range_vf is not None:
            raise UserError(f"LeanPPO knows no target_kl and no clip_range_vf, found {self.target_kl} and "
                            f"{self.clip_range_vf}: leave them out, or take stable_baselines3.PPO")

    def train(self) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip: float = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        swift, weights = self.swift(), list(self.policy.parameters())
        loss_of = self.loss_of()
        told, norms = [], []  # of each minibatch
        for _ in range(self.n_epochs):
            for batch in self.rollout_buffer.minibatches(self.batch_size):
                loss, numbers = loss_of(swift, batch, clip)
                told.append(numbers.clone())  # a CUDA graph writes the next ones over them
                norms.append(self.follow(loss, weights))
            self._n_updates += 1
        numbers = torch.stack(told)
        said = dict(zip(TOLD, numbers.mean(dim=0)))
        said["approx_kl"] = numbers[-(len(told) // self.n_epochs) :, TOLD.index("approx_kl")].mean()  # of the last pass
        said["loss"] = told[-1][TOLD.index("loss")]
        self.report(said, norms)
        self.logger.record("train/clip_range", clip)

    def loss_of(self) -> Callable[[Swift, Batch, float], tuple[Tensor, Tensor]]:
        if not self.compile or self.device.type != "cuda":
            return self.loss
        if self._compiled is None:
            self._compiled = torch.compile(self.loss, mode="reduce-overhead", dynamic=False)
        return self._compiled

    def loss(self, swift: Swift, batch: Batch, clip: float) -> tuple[Tensor, Tensor]:
        """Of a minibatch (Schulman et al. 2017, equation 9), and the numbers that are TOLD of it."""
        values, log_probs, entropies = swift.judge(batch.seen, batch.actions)
        many = self.normalize_advantage and len(batch.advantages) > 1
        advantages = standardised(batch.advantages) if many else batch.advantages
        log_ratio = log_probs - batch.log_probs
        ratio = log_ratio.exp()
        policy_loss = -torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip)).mean()
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -entropies.mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        with torch.no_grad():
            off = ratio - 1
            clipped = (off.abs() > clip).float().mean()
            return loss, torch.stack([policy_loss, value_loss, entropy_loss, clipped, (off - log_ratio).mean(), loss])


class LeanA2C(Lean, A2C):
    """SB3's A2C."""

    def train(self) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        batch = self.rollout_buffer.whole()
        values, log_probs, entropies = self.swift().judge(batch.seen, batch.actions)
        advantages = standardised(batch.advantages) if self.normalize_advantage else batch.advantages
        policy_loss = -(advantages * log_probs).mean()
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -entropies.mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        norm = self.follow(loss, list(self.policy.parameters()))
        self._n_updates += 1
        told = {"entropy_loss": entropy_loss, "policy_loss": policy_loss, "value_loss": value_loss}
        self.report({name: value.detach() for name, value in told.items()}, [norm])
