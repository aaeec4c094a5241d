"""Agents: learn to trade on what the encoders see, and meet the supervised signals in the arena.

Adding an algorithm is a function in `agents/algos/` and a new line here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.errors import UserError
from configs.registry import check_name

CLONED = ("ppo", "a2c", "trpo")  # what can start from a teacher, see agents/warm.py
SHARED = (*CLONED, "maskable_ppo", "sac", "td3", "tqc")  # what assets can share a network of, see agents/portfolios.py
SEEDS = 2**32  # as many as NumPy's older generator knows, which Stable-Baselines3 seeds
LEVEL, LEVELS, WEIGHTS = "one level of one asset", "a level of each asset", "weights"


@dataclass(frozen=True)
class Algo:
    recipe: str  # "module:function" that says how it is built
    chooses: tuple[str, ...]  # the kinds of action that it can learn
    settings: tuple[str, ...]  # the parts of AgentConfig that it alone reads, or with its kin


ALGOS: dict[str, Algo] = {
    "ppo": Algo("agents.algos.on_policy:ppo", (LEVEL, LEVELS, WEIGHTS), ("ppo",)),
    "a2c": Algo("agents.algos.on_policy:a2c", (LEVEL, LEVELS, WEIGHTS), ("a2c",)),
    "dqn": Algo("agents.algos.off_policy:dqn", (LEVEL,), ("dqn",)),
    "all_q": Algo("agents.algos.all_q:all_q", (LEVEL,), ("all_q",)),
    "qrdqn": Algo("agents.algos.off_policy:qrdqn", (LEVEL,), ("dqn",)),
    "trpo": Algo("agents.algos.on_policy:trpo", (LEVEL, LEVELS, WEIGHTS), ("trpo",)),
    "maskable_ppo": Algo("agents.algos.on_policy:maskable_ppo", (LEVEL, LEVELS), ("ppo",)),
    "recurrent_ppo": Algo("agents.algos.on_policy:recurrent_ppo", (LEVEL, LEVELS, WEIGHTS), ("ppo", "lstm")),
    "sac": Algo("agents.algos.off_policy:sac", (WEIGHTS,), ("actor_critic",)),
    "td3": Algo("agents.algos.off_policy:td3", (WEIGHTS,), ("actor_critic",)),
    "tqc": Algo("agents.algos.off_policy:tqc", (WEIGHTS,), ("actor_critic",)),
}


def check_actions(algo: str, action: str, assets: int = 1) -> None:
    """Refuse an algorithm that cannot learn an environment's actions, naming those that can.

    >>> check_actions("sac", "levels")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    configs.errors.UserError: sac does not choose one level of one asset, which env.action 'levels' asks for: ...
    """
    kind = WEIGHTS if action == "weights" else LEVEL if assets == 1 else LEVELS
    if kind not in ALGOS[check_name("algo", algo, ALGOS)].chooses:
        *most, last = (name for name, one in ALGOS.items() if kind in one.chooses)
        helps = kind != LEVELS or WEIGHTS in ALGOS[algo].chooses  # else it chooses for one asset alone
        raise UserError(f"{algo} does not choose {kind}, which env.action {action!r} asks for: take {', '.join(most)} "
                        f"or {last}{', or change env.action' if helps else ''}")


def check_clone(algo: str) -> None:
    """Refuse a teacher for an algorithm whose policy is no chance of each action, which could be made likelier."""
    if algo not in CLONED:
        raise UserError(f"{algo} cannot begin as a clone: take {', '.join(CLONED)}, or leave agent.warm.teacher out")


def check_teacher(teacher: str, action: str, forecast: bool) -> None:
    """Refuse a teacher who has no say: of weights where none are chosen, or with no `forecast` to trade.

    >>> check_teacher("foresight", "steps", forecast=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    configs.errors.UserError: a teacher names weights, and env.action 'steps' does not choose them: take levels or ...
    """
    if action not in ("levels", "weights"):
        raise UserError(f"a teacher names weights, and env.action {action!r} does not choose them: take levels or "
                        "weights, or leave agent.warm.teacher out")
    if teacher == "signal" and not forecast:
        raise UserError("agent.warm.teacher signal trades a forecast, and there is none: choose an encoder with "
                        "--encoder, show the ensemble's (agent.extractor.ensemble), or learn from foresight")


def check_shared(algo: str, assets: Sequence[str] = ()) -> None:
    """Refuse one network for all assets where an algorithm has none that they could share, or one asset is alone."""
    if len(assets) == 1:
        raise UserError(f"agent.extractor.shared is for several assets, and {assets[0]} is alone: leave it out")
    if algo not in SHARED:
        *most, last = SHARED
        raise UserError(f"{algo} has no network that assets could share (agent.extractor.shared): leave it out, or "
                        f"take {', '.join(most)} or {last}")


def check_seeds(first: int, count: int) -> None:
    """Refuse seeds beyond the last.

    >>> check_seeds(7, 3)
    """
    if first + count > SEEDS:
        raise UserError(f"seeds end at {SEEDS - 1}, found --seed {first} and --seeds {count}")
