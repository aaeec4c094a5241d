"""What training accounts meet first: calm rows before wild ones, and orders that cost less than they will."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from agents.config import CurriculumConfig
from agents.sb3_env import AccountsVecEnv
from envs.episodes import curriculum


class Curriculum(BaseCallback):
    """Sets, before each rollout, what orders cost and where new episodes may begin. Where a training stands is all that
    it goes by, so one that is taken up again goes on alike."""

    def __init__(self, config: CurriculumConfig, steps: int) -> None:
        super().__init__()
        self.config, self.steps = config, steps
        self.band = curriculum(config.volatility) if config.volatility else None
        self._now: tuple[float, float] | None = None

    def _on_training_start(self) -> None:
        self._on_rollout_start()
        if self.band and not self.num_timesteps:
            # SB3 has begun the first episodes already, anywhere
            self.model._last_obs = self.training_env.reset()  # type: ignore[assignment]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        assert isinstance(self.training_env, AccountsVecEnv)
        engine = self.training_env.engine
        progress = min(self.num_timesteps / self.steps, 1.0)
        if self.band and (band := self.band(progress)) != self._now:
            engine.practise(band)
            self._now = band
        if self.config.costs < 1:
            risen = min(progress / self.config.until, 1.0)
            engine.charge(self.config.costs + (1 - self.config.costs) * risen)
