"""Settings of the agents; without torch and Stable-Baselines3, so that a script's --help is quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from agents.algos.config import (
    A2CConfig,
    ActorCriticConfig,
    AllQConfig,
    DQNConfig,
    LSTMConfig,
    PPOConfig,
    TRPOConfig,
)
from configs.errors import UserError
from configs.registry import check_name
from encoders import ENCODERS
from envs.observations import PER_ACCOUNT, PER_ASSET

JOINS = ("concat", "gated")
TEACHERS = ("signal", "foresight")


@dataclass(frozen=True)
class ExtractorConfig:
    """What the policy sees of the market, and whether it learns to see."""

    finetune: bool = False
    """train the chosen encoder on, end to end, instead of looking its frozen embeddings up"""
    encoder_lr: float = 0.1
    """learning rate of a fine-tuned encoder, as a share of agent.lr, with which it falls; trpo's policy, encoder and
    all, moves as far as its trust region lets it, and this is the rate of its value's encoder"""
    unfreeze: float = 0.0
    """share of the training after which a fine-tuned encoder begins to move; 0: from the start"""
    beside: tuple[str, ...] = ()
    """further encoders, whose frozen embeddings and forecasts stand beside what the chosen one says"""
    join: str = "concat"
    """how several encoders are joined. concat: one after the other; gated: each brought to `width` numbers, which are
    added up by weights that the row decides"""
    width: int = 32
    """numbers that gated makes of each encoder, and shared of each asset"""
    ensemble: bool = False
    """show the supervised ensemble's forecast too: direction, quantiles, volatility and what its members disagree on"""
    folds: int = 4
    """blocks of the training rows, each forecast by an ensemble that was not taught on it, which takes as many further
    trainings. 0: the one ensemble forecasts the rows it was taught on too, where it looks better than it is"""
    shared: bool = False
    """one network for all assets of a portfolio, whatever their order, instead of one over all their columns"""

    def __post_init__(self) -> None:
        check_name("agent.extractor.join", self.join, JOINS)
        for name in self.beside:
            check_name("agent.extractor.beside", name, ENCODERS)
        if len(set(self.beside)) < len(self.beside):
            raise UserError(f"agent.extractor.beside names each encoder once, found {', '.join(self.beside)}")
        if self.join == "gated" and not self.beside:
            raise UserError("agent.extractor.join gated weighs several encoders: name more in agent.extractor.beside, "
                            "or leave join at concat")
        if not (self.encoder_lr > 0 and 0 <= self.unfreeze < 1 and self.width >= 1):
            raise UserError("agent.extractor needs encoder_lr > 0, 0 <= unfreeze < 1 and width >= 1, found "
                            f"{self.encoder_lr}, {self.unfreeze}, {self.width}")
        if self.unfreeze and not self.finetune:
            raise UserError(f"agent.extractor.unfreeze {self.unfreeze} is about an encoder that is fine-tuned: set "
                            "finetune, or leave it out")
        if self.folds < 0 or self.folds == 1:
            raise UserError(f"agent.extractor.folds is 0 or at least 2 blocks, found {self.folds}")


@dataclass(frozen=True)
class CurriculumConfig:
    """What training accounts meet first; all_q steps no account and takes none. Validation knows none."""

    volatility: tuple[float, ...] = ()
    """stages of equal length, each with the calmest share of the training rows that is named, such as 0.3 0.6 1.0"""
    costs: float = 1.0
    """orders cost this share of the config's costs at first. At the full price nearly every trade of a policy that
    knows nothing yet loses, and one that learns too soon to leave it at that never finds out what pays"""
    until: float = 0.3
    """share of the training after which they cost all of it"""

    def __post_init__(self) -> None:
        if not all(0 < stage <= 1 for stage in self.volatility):
            raise UserError("agent.curriculum.volatility are shares of the rows above 0 and up to 1, such as 0.3 0.6 "
                            f"1.0, found {' '.join(f'{stage:g}' for stage in self.volatility)}")
        if not (0 <= self.costs <= 1 and 0 < self.until <= 1):
            raise UserError("agent.curriculum needs costs from 0 to 1 and until above 0 and up to 1, found "
                            f"{self.costs} and {self.until}")


@dataclass(frozen=True)
class WarmConfig:
    """What ppo, a2c and trpo do before they learn by themselves."""

    teacher: str = ""
    """who is learnt from at first. signal: the chosen encoder's, or the ensemble's if that is shown; foresight: who
    knew every training bar beforehand; '': nobody"""
    updates: int = 1_000
    """minibatches of what the teacher does"""
    batch: int = 1024
    """rows of such a minibatch"""
    lr: float = 1e-3
    """learning rate of these"""
    entropy: float = 0.01
    """weight of the entropy in them: a clone that is sure of everything tries nothing else"""
    kl: float = 0.1
    """weight of the divergence from the clone, in scaled rewards, with which the training begins"""
    fade: float = 0.5
    """share of the training over which that weight falls to nothing"""

    def __post_init__(self) -> None:
        if self.teacher:
            check_name("agent.warm.teacher", self.teacher, TEACHERS)
        sizes = min(self.updates, self.batch) >= 1 and 0 < self.lr < inf
        if not (sizes and 0 <= self.entropy < inf and 0 <= self.kl < inf and 0 <= self.fade <= 1):
            raise UserError("agent.warm needs updates and batch >= 1, lr > 0, entropy and kl >= 0, fade from 0 to 1, "
                            f"found {self.updates}, {self.batch}, {self.lr}, {self.entropy}, {self.kl}, {self.fade}")


@dataclass(frozen=True)
class AgentConfig:
    steps: int = 1_000_000
    """steps of all accounts together"""
    accounts: int = 1024
    """accounts that trade side by side"""
    lr: float = 1e-3
    lr_end: float = 0.1
    """share of the learning rate that is left at the end; it falls in a line"""
    weight_decay: float = 0.0
    """how fast weights shrink that nothing speaks for (AdamW's, for 100,000 training rows: fewer rows are read more
    often, are learnt by heart sooner, and so take more of it in proportion, down to 20,000 rows); of trpo the values'
    alone"""
    gamma: float = 0.97
    """discount of a bar; costs of an order are earned back within a few dozen bars or not at all"""
    net: tuple[int, ...] = (64, 64)
    """widths of the policy's layers, and of the value's"""
    activation: str = "tanh"
    """tanh or relu"""
    reward_scale: float = 100.0
    """log growth is multiplied by this for learning"""
    account: tuple[str, ...] = ("weight",)
    """numbers of the account that the policy sees. Under log growth and proportional costs the best action depends on
    the position alone; equity and time left would take other values in a long evaluation than in training episodes"""
    validations: int = 10
    """how often the policy is tried on validation rows; the best one is kept"""
    stay_out: bool = True
    """whether an agent stays in cash whose best weights did not clearly earn something on the validation rows, 1.65
    standard errors or more; False lets them trade whatever they earned there"""
    second_look: bool = True
    """whether such an agent gets another chance, unless it never trades or clearly loses there: two more are trained,
    each on one half of the training rows, and what they earn on the other half decides"""
    patience: int = 0
    """training ends after so many validations in a row without a better one; 0: never"""
    save_every: float = 60.0
    """seconds between two saves of all that a training goes on from after a kill; 0: before every rollout"""
    threads: int = 1
    """torch threads; small networks get slower with more when cores are shared"""
    extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    warm: WarmConfig = field(default_factory=WarmConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    a2c: A2CConfig = field(default_factory=A2CConfig)
    trpo: TRPOConfig = field(default_factory=TRPOConfig)
    lstm: LSTMConfig = field(default_factory=LSTMConfig)
    dqn: DQNConfig = field(default_factory=DQNConfig)
    actor_critic: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    all_q: AllQConfig = field(default_factory=AllQConfig)

    def __post_init__(self) -> None:
        check_name("agent.activation", self.activation, ("tanh", "relu"))
        for number in self.account:
            check_name("agent.account number", number, (*PER_ASSET, *PER_ACCOUNT))
        if min(self.steps, self.accounts, self.validations, self.threads, *self.net) < 1:
            raise UserError("agent.steps, accounts, validations, threads and net must be at least 1, found "
                            f"{self.steps}, {self.accounts}, {self.validations}, {self.threads}, {self.net}")
        if self.patience < 0:
            raise UserError(f"agent.patience must be at least 0 (0: train to the end), found {self.patience}")
        if not 0 <= self.lr_end <= 1:
            raise UserError(f"agent.lr_end is a share of agent.lr, from 0 to 1, found {self.lr_end}")
        if not (0 < self.lr < inf and 0 <= self.gamma <= 1 and 0 < self.reward_scale < inf):
            raise UserError("agent needs lr > 0, 0 <= gamma <= 1 and reward_scale > 0, found "
                            f"{self.lr}, {self.gamma}, {self.reward_scale}")
        if not 0 <= self.weight_decay < inf:
            raise UserError(f"agent.weight_decay must be at least 0 (0: none), found {self.weight_decay:g}")
        if not self.save_every >= 0:
            raise UserError(f"agent.save_every must be at least 0 seconds, found {self.save_every:g}")

    def schedule(self, remaining: float) -> float:
        """Learning rate when `remaining` (1 to 0) of the training is left."""
        return self.lr * (self.lr_end + (1 - self.lr_end) * remaining)
