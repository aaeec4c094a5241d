"""What is shown: the spaces of an observation, and the numbers of the account with their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from configs.errors import UserError
from configs.registry import check_name
from data.market import Market
from envs import layout as at
from envs.compiled import loop, rule
from envs.memory import arrays_of, plan_at

if TYPE_CHECKING:
    from envs.engine import Engine

OBSERVATIONS = ("window", "row")
ACCOUNT_BOUND = 20.0  # what an account shows of itself is cut here
FEATURE_BOUND = 100.0  # finite, so that checkers and samplers see a sane range; scaled features stay far inside

PER_ASSET = ("weight", "unrealised", "held", "tradeable")
PER_ACCOUNT = ("drawdown", "log_equity", "turnover", "remaining")


def account_names(assets: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the account's numbers, in their order.

    - `weight:A`      value of the position over equity, at the last close
    - `unrealised:A`  profit of the open position over what it was entered at; positive when a short has gained
    - `held:A`        bars / (bars + 24), of the bars that the position has been held
    - `tradeable:A`   1 if the asset has a bar and features on this row, else 0
    - `drawdown`      1 - equity / highest equity
    - `log_equity`    log(equity / starting equity)
    - `turnover`      value traded over equity, in the last step
    - `remaining`     share of the episode that is left

    >>> account_names(("BTC",))
    ('weight:BTC', 'unrealised:BTC', 'held:BTC', 'tradeable:BTC', 'drawdown', 'log_equity', 'turnover', 'remaining')
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


def observation_space(engine: Engine, observation: str) -> spaces.Dict:
    """`Dict(market, account)` or `Dict(row, account)`."""
    check_name("observation", observation, OBSERVATIONS)
    account = account_space(engine.market)
    if observation == "row":
        return spaces.Dict({"row": row_space(engine.market), "account": account})
    return spaces.Dict({"market": market_space(engine.market, engine.window), "account": account})


def windows_of(features: np.ndarray, window: int) -> np.ndarray:
    """(T - W + 1, W, N, F), or without N where it is 1: every window of `features`, as a view and read-only."""
    rows, assets, width = features.shape
    features = np.ascontiguousarray(features)
    shape = (max(rows - window + 1, 0), window, assets, width)
    a_row = features.strides[0]
    views = np.lib.stride_tricks.as_strided(features, shape, (a_row, *features.strides), writeable=False)
    return views[:, :, 0] if assets == 1 else views


def observe(engine: Engine, observation: str, rows: np.ndarray, account: np.ndarray) -> dict[str, np.ndarray]:
    """Fresh arrays with a leading axis of accounts; never views of the engine's own, which the next step overwrites."""
    if observation == "row":
        return {"row": rows.astype(np.int32)[:, None], "account": account.copy()}
    return {"market": engine.windows[rows - (engine.window - 1)], "account": account.copy()}


@rule
def clip(x, low, high):
    return min(max(x, low), high)


@rule
def show_account(account, bar, out):
    """Fill `out` (4 N + 4,) float32 in the order of `account_names`."""
    assets = len(bar)
    equity = account[at.EQUITY]
    for n in range(assets):
        h = at.HOLDINGS + at.PER_ASSET * n
        units, close = account[h + at.UNITS], bar[n, at.CLOSE]
        weight = gain = 0.0
        if units != 0.0:
            weight = units * close / equity if equity > 0.0 else 0.0
            gain = close / account[h + at.ENTRY] - 1.0
            gain = gain if units > 0.0 else -gain
        out[n] = clip(weight, -ACCOUNT_BOUND, ACCOUNT_BOUND)
        out[assets + n] = clip(gain, -ACCOUNT_BOUND, ACCOUNT_BOUND)
        out[2 * assets + n] = account[h + at.HELD] / (account[h + at.HELD] + 24.0)
        out[3 * assets + n] = bar[n, at.TRADEABLE]
    out[4 * assets] = clip(1.0 - equity / account[at.PEAK], 0.0, 1.0)
    out[4 * assets + 1] = account[at.LOG_EQUITY]
    out[4 * assets + 2] = clip(account[at.TURNOVER], 0.0, ACCOUNT_BOUND)
    out[4 * assets + 3] = 1.0 - account[at.AGE] / account[at.LENGTH]


@loop
def show_accounts(address):
    """Show every account as it stands, after something else than a step has changed it."""
    plan = plan_at(address)
    state, _, outcome, observed, _, _, bars, _, _, _ = arrays_of(plan, plan[at.ASSETS])
    for b in range(len(state)):
        show_account(state[b], bars[int(outcome[at.ROW, b])], observed[b])
