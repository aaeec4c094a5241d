"""The spaces of an observation, and the names of the account's numbers."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from configs.errors import UserError
from data.market import Market
from envs.account import ACCOUNT_BOUND

FEATURE_BOUND = 100.0  # finite, so that checkers and samplers see a sane range; scaled features stay far inside

PER_ASSET = ("weight", "unrealised", "held")
PER_ACCOUNT = ("drawdown", "log_equity", "turnover", "remaining")


def account_names(assets: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the account's numbers, in their order.

    - `weight:A`      value of the position over equity, at the last close
    - `unrealised:A`  profit of the open position over what it was entered at; positive when a short has gained
    - `held:A`        bars / (bars + 24), of the bars that the position has been held
    - `drawdown`      1 - equity / highest equity
    - `log_equity`    log(equity / starting equity)
    - `turnover`      value traded over equity, in the last step
    - `remaining`     share of the episode that is left

    >>> account_names(("BTC",))
    ('weight:BTC', 'unrealised:BTC', 'held:BTC', 'drawdown', 'log_equity', 'turnover', 'remaining')
    """
    return tuple(f"{name}:{asset}" for name in PER_ASSET for asset in assets) + PER_ACCOUNT


def market_space(market: Market, window: int) -> spaces.Box:
    """(W, F) for one asset, (W, N, F) for several."""
    with np.errstate(invalid="ignore"):
        largest = np.nanmax(np.abs(market.features), initial=0.0)
    if largest > FEATURE_BOUND:
        raise UserError(f"features reach {largest:g}, beyond the {FEATURE_BOUND:g} an observation may hold; scale them "
                        "first (data.scaling.Scaler)")
    assets, width = market.features.shape[1:]
    shape = (window, width) if assets == 1 else (window, assets, width)
    return spaces.Box(-FEATURE_BOUND, FEATURE_BOUND, shape, np.float32)


def account_space(market: Market) -> spaces.Box:
    return spaces.Box(-ACCOUNT_BOUND, ACCOUNT_BOUND, (len(account_names(market.assets)),), np.float32)


def row_space(market: Market) -> spaces.Box:
    """A Box and never Discrete: SB3 would one-hot it. Exact in float32 up to 16.7 million rows."""
    return spaces.Box(0, len(market) - 1, (1,), np.int32)


