"""The numbers of one bar and one asset from raw prices and plain settings, for checking the engine's tables.

Rounding to a tick is done in decimals, because that is how an exchange counts: 100.03 lies on a tick of 0.01, whatever
the binary fraction nearest to it says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise

from tests.envs.ledger_terms import HAIR

Raw = tuple[float, float, float, float, float]  # open, high, low, close, volume
NOTHING: Raw = (math.nan,) * 5


def numbers_of(last: float | None, raw: Raw, costs: dict, before: Raw = NOTHING, volatility: float = 0.0,
               spread: float | None = None, volumes: Sequence[float] = (1.0,)) -> dict[str, float]:
    """What a bar with prices `raw` (NaN: no bar) after a close of `last` (None: no bar so far) means for money.

    `costs` holds spread_bps, slippage_bps, tick, impact, max_share and fill, all but the first two optional; `before`
    is the bar before, `volatility` a day's and `spread` a share that takes the place of spread_bps, both as the row of
    the decision shows them; `volumes` are those of all bars before, because who never had any needs none to trade.

    >>> bar = numbers_of(99.0, (100.0, 103.0, 98.0, 102.0, 5.0), {"spread_bps": 20, "slippage_bps": 1})
    >>> bar["fill"], round(bar["buy"], 6), bar["capacity"]
    (100.0, 0.0011, inf)
    """
    stale = 1.0 if last is None else last
    early = costs.get("fill") == "same_close"
    o, high, low, close, _ = (stale,) * 5 if math.isnan(raw[3]) else raw
    fill = stale if early else o
    worse = (costs["spread_bps"] * 1e-4 if spread is None else spread) / 2 + costs["slippage_bps"] * 1e-4
    above, below = (high / o - 1, 1 - low / o) if costs.get("fill") == "worst" else (0.0, 0.0)
    buy, _ = quotes(fill, worse + above, costs.get("tick", 0.0))
    _, sell = quotes(fill, worse + below, costs.get("tick", 0.0))
    open_ = _trades(raw, volumes) and (not early or _trades(before, volumes[:-1]))
    value = math.prod((before if early else raw)[3:])
    share = costs.get("max_share", 0.0)
    capacity = (share * value if share else math.inf) if open_ else 0.0
    impact = costs.get("impact", 0.0) * volatility / math.sqrt(value) if open_ and value else 0.0
    if impact:
        impact = min(impact, 0.5 / math.sqrt(capacity))
    return {"fill": fill, "open": o, "high": high, "low": low, "close": close, "buy": buy, "sell": sell,
            "impact": impact, "capacity": capacity}


def _trades(bar: Raw, volumes: Sequence[float]) -> bool:
    return not math.isnan(bar[3]) and (bar[4] > 0 or not any(volumes))


def volatility_of(closes: Sequence[float | None], bars: int) -> float:
    """Root mean square of the last `bars` log returns of closes (None before the first); NaN before there are two.

    >>> round(volatility_of([None, 100.0, 101.0, 100.0], bars=168), 6)
    0.00995
    """
    moves = [math.log(now / last) for last, now in pairwise(close for close in closes if close)][-bars:]
    return math.sqrt(sum(move * move for move in moves) / len(moves)) if len(moves) >= 2 else math.nan


def largest_weight(risk: dict, closes: Sequence[float | None], bars_per_year: float, mean: float, volatility: float,
                   confidence: float) -> float:
    """The least of the sizes that `risk` asks for, from closes up to the decision and a forecast made there.

    >>> largest_weight({"fixed": 0.5, "kelly": 0.25}, [100.0], 365.0, mean=-0.5, volatility=1.0, confidence=0.0)
    0.125
    """
    sizes = [math.inf]
    measured = volatility_of(closes, risk.get("volatility_bars", 168))
    away = risk.get("stop_loss") or 2 * measured * math.sqrt(bars_per_year / 365)
    for amount, per_weight in ((risk.get("volatility_target", 0.0), measured * math.sqrt(bars_per_year)),
                               (risk.get("risk_per_trade", 0.0), away)):
        if amount:
            sizes.append(0.0 if math.isnan(per_weight) else amount / per_weight if per_weight else math.inf)
    if risk.get("fixed"):
        sizes.append(risk["fixed"])
    if risk.get("kelly"):
        sizes.append(min(0.25, risk["kelly"] * abs(mean) / volatility**2))
    if risk.get("confidence"):
        sizes.append(confidence)
    return min(sizes)


def quotes(fill: float, worse: float, tick: float) -> tuple[float, float]:
    """How much more a buyer and how much less a seller is quoted than `fill`, as shares of it.

    >>> quotes(100.03, 0.0, 0.01)
    (0.0, 0.0)
    >>> buy, sell = quotes(10.0, 0.001, 0.25)
    >>> round(buy, 12), round(sell, 12)
    (0.025, 0.025)
    >>> quotes(0.1 + 0.2, 0.0, 0.1)[0] < 1e-15  # a price may be off its tick by the rounding of a calculation
    True
    """
    if not tick:
        return worse, worse
    price, share, step, hair = (Decimal(repr(number)) for number in (fill, worse, tick, HAIR))
    asked = (price * (1 + share) / step - hair).to_integral_value(ROUND_CEILING) * step
    bid = (price * (1 - share) / step + hair).to_integral_value(ROUND_FLOOR) * step
    return float(asked / price - 1), float(1 - bid / price)
