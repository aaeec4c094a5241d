"""PPO and A2C of SB3, less what is not arithmetic.

They save, load and predict as SB3's own, learn by the same formulas, and call callbacks at the same moments; for weights
and actions that are given they agree with SB3's to rounding (`tests/agents/test_lean.py`). What differs is where a
rollout is kept (`collect.py`), how a policy is asked (`swift.py`), and that an update tells the host what it did once,
at its end.
"""

from __future__ import annotations

import math

import torch
from stable_baselines3 import A2C, PPO
from torch import Tensor, nn
from torch.nn import functional

from agents.algos.collect import Batch, Collecting
from agents.algos.swift import Swift
from configs.errors import UserError


def centred(advantages: Tensor) -> Tensor:
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


class Lean(Collecting):
    """What both have in common: a step, and a report."""

    def follow(self, loss: Tensor, weights: list[nn.Parameter]) -> Tensor:
        """One step down the gradient; returns its norm before it was clipped."""
        for weight in weights:
            weight.grad = None
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, self.max_grad_norm)
        self.policy.optimizer.step()
        return norm

    def report(self, said: dict[str, Tensor], norms: list[Tensor]) -> None:
        """To the logger; all of it leaves the device in one piece."""
        values, returns = (self.rollout_buffer.tensors[name] for name in ("values", "returns"))
        said["explained_variance"] = 1 - (returns - values).var(correction=0) / returns.var(correction=0)
        if hasattr(self.policy, "log_std"):
            said["std"] = self.policy.log_std.detach().exp().mean()
        *numbers, norm = torch.stack([*said.values(), torch.stack(norms).sum()]).tolist()
        if not math.isfinite(norm):
            raise ValueError("the gradient is nan or infinite")
        for name, number in zip(said, numbers):
            self.logger.record(f"train/{name}", number)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


class LeanPPO(Lean, PPO):
    """SB3's PPO with neither `target_kl` nor `clip_range_vf`."""

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
        parts, norms = [], []  # of each minibatch
        for _ in range(self.n_epochs):
            for batch in self.rollout_buffer.minibatches(self.batch_size):
                loss, said = self.loss(swift, batch, clip)
                norms.append(self.follow(loss, weights))
                parts.append(said)
            self._n_updates += 1
        names = ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction", "loss")
        told = dict(zip(names, torch.stack(parts).mean(dim=0)))
        epoch = len(parts) // self.n_epochs
        told["approx_kl"] = torch.stack(parts[-epoch:])[:, 3].mean()  # SB3's is that of the last pass,
        told["loss"] = parts[-1][5]  # and of the last minibatch
        self.report(told, norms)
        self.logger.record("train/clip_range", clip)

    def loss(self, swift: Swift, batch: Batch, clip: float) -> tuple[Tensor, Tensor]:
        """Of a minibatch (Schulman et al. 2017, equation 9), and what is reported of it."""
        values, log_probs, entropies = swift.judge(batch.seen, batch.actions)
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = centred(advantages)
        log_ratio = log_probs - batch.log_probs
        ratio = log_ratio.exp()
        policy_loss = -torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip)).mean()
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -entropies.mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        with torch.no_grad():
            kl = (ratio - 1 - log_ratio).mean()
            clipped = ((ratio - 1).abs() > clip).float().mean()
            return loss, torch.stack([policy_loss, value_loss, entropy_loss, kl, clipped, loss])


class LeanA2C(Lean, A2C):
    """SB3's A2C."""

    def train(self) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        batch = self.rollout_buffer.whole()
        values, log_probs, entropies = self.swift().judge(batch.seen, batch.actions)
        advantages = centred(batch.advantages) if self.normalize_advantage else batch.advantages
        policy_loss = -(advantages * log_probs).mean()
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -entropies.mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        norm = self.follow(loss, list(self.policy.parameters()))
        self._n_updates += 1
        said = {"entropy_loss": entropy_loss, "policy_loss": policy_loss, "value_loss": value_loss}
        self.report({name: value.detach() for name, value in said.items()}, [norm])
