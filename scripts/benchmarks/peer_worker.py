"""Steps a peer's environment on request, in a Python of its own.

    cd scripts; ../.peers/bin/python -m benchmarks.peer_worker gym-trading-env market.npz

It says {"version": ...} or, where the peer cannot be imported, {"absent": ...}; then it answers each line
{"accounts": 64, "steps": 300} with {"done": 19200}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import cache
from importlib.metadata import version

from benchmarks.peer_gymnasium import gym_anytrading, gym_trading_env
from benchmarks.peer_market import Walk
from benchmarks.peer_torchtrade import torchtrade

# name of the distribution: what it is imported as, and what sets it up
PEERS = {
    "gym-trading-env": ("gym_trading_env.environments", gym_trading_env),
    "gym-anytrading": ("gym_anytrading.envs", gym_anytrading),
    "torchtrade": ("torchtrade.envs.offline", torchtrade),
}


def main() -> None:
    name, market = sys.argv[1:]
    replies = os.fdopen(os.dup(1), "w", buffering=1)  # what a peer prints must not come between the answers
    sys.stdout = sys.stderr
    module, peer = PEERS[name]
    try:
        importlib.import_module(module)
        print(json.dumps({"version": version(name)}), file=replies)
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=replies)
        return

    @cache
    def walk_of(accounts: int) -> Walk:
        return peer(market, accounts)

    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"done": walk_of(asked["accounts"])(asked["steps"])}), file=replies)


if __name__ == "__main__":
    main()
