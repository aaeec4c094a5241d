"""DQN with what made it good since: double targets, a dueling network, several rewards before a value."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3 import DQN
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.dqn.policies import MultiInputPolicy, QNetwork
from torch import Tensor, nn
from torch.nn import functional

from agents.algos.replay import Remembering


class DuelingNetwork(QNetwork):
    """Q(s, a) = V(s) + A(s, a) - mean of A over a (Wang et al. 2016, equation 9); one network of layers each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.value_net = nn.Sequential(*create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn))

    def forward(self, obs: Any) -> Tensor:
        features = self.extract_features(obs, self.features_extractor)
        advantage = self.q_net(features)  # (B, actions)
        return self.value_net(features) + advantage - advantage.mean(dim=1, keepdim=True)


class DuelingPolicy(MultiInputPolicy):
    """SB3's own DQN policy, unless it is asked to be a dueling one."""

    def __init__(self, *args: Any, dueling: bool = False, **kwargs: Any) -> None:
        self.dueling = dueling  # before the networks are made
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> QNetwork:
        if not self.dueling:
            return super().make_q_net()
        return DuelingNetwork(**self._update_features_extractor(self.net_args, features_extractor=None)).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "dueling": self.dueling}


class DoubleDQN(Remembering, DQN):
    """DQN on rows; with `double`, the net that learns chooses the next action (van Hasselt et al. 2016)."""

    def __init__(self, *args: Any, double: bool = True, **kwargs: Any) -> None:
        self.double = double
        super().__init__(*args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        assert self.replay_buffer is not None
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size)
            with torch.no_grad():
                worth = self.q_net_target(batch.next_observations)  # (B, actions)
                choosing = self.q_net(batch.next_observations) if self.double else worth
                following = worth.gather(1, choosing.argmax(dim=1, keepdim=True))
                assert batch.discounts is not None
                target = batch.rewards + (1 - batch.dones) * batch.discounts * following
            said = self.q_net(batch.observations).gather(1, batch.actions)
            loss = functional.smooth_l1_loss(said, target)
            self.policy.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            losses.append(loss.detach())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(torch.stack(losses).mean()))
