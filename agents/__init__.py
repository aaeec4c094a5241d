"""Agents: learn to trade on what the encoders see, and meet the supervised signals in the arena.

Adding an algorithm is a new function in `agents/algos.py` and a new line here.
"""

from __future__ import annotations

ALGOS: dict[str, str] = {
    "ppo": "agents.algos:ppo",
    "a2c": "agents.algos:a2c",
    "dqn": "agents.algos:dqn",
}
