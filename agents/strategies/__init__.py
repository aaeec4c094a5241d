"""What an agent has to beat: plain baselines and the supervised encoders' own signals."""

from __future__ import annotations

STRATEGIES: dict[str, str] = {
    "cash": "agents.strategies.baselines:cash",
    "buy_and_hold": "agents.strategies.baselines:buy_and_hold",
    "random": "agents.strategies.baselines:random",
    "momentum": "agents.strategies.baselines:momentum",
}
