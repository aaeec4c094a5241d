"""TorchTrade as its documentation sets it up, as fast as that allows; run by `peer_worker`.

Chosen in its favour: spot, which spares it liquidation; the scalar env for one account and the vectorised one for many,
each the faster of the two there.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.peer_market import FEE, Walk, read_market
from benchmarks.timing import WINDOW


def torchtrade(path: str, accounts: int) -> Walk:
    import torch
    from torchtrade.envs import offline

    torch.set_num_threads(1)
    bars, features = read_market(path)
    frame = pd.concat([bars, features], axis=1).reset_index()
    settings: dict[str, Any] = {"time_frames": "1Hour", "execute_on": "1Hour", "window_sizes": WINDOW,
                                "action_levels": [0, 1], "transaction_fee": FEE}

    def named(resampled: pd.DataFrame) -> pd.DataFrame:
        return resampled.rename(columns=lambda name: name.replace("feature_", "features_")).reset_index()

    if accounts == 1:
        env = offline.SequentialTradingEnv(frame, offline.SequentialTradingEnvConfig(**settings), named)
    else:
        config = offline.VectorizedSequentialTradingEnvConfig(num_envs=accounts, **settings)
        env = offline.VectorizedSequentialTradingEnv(frame, config, named)
    actions = torch.randint(0, 2, (64, *env.batch_size), generator=torch.Generator().manual_seed(0))
    now = env.reset()

    @torch.no_grad()
    def walk(steps: int) -> int:
        nonlocal now
        for k in range(steps):
            now["action"] = actions[k % 64]
            _, now = env.step_and_maybe_reset(now)
        return steps * accounts

    return walk
