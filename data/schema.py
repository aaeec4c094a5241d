"""What each kind of table holds, in which unit, how often, and when a row of it became known.

A stored table has the columns `time` (the end of the period that a row describes) and `known_at`, both UTC, and then
the values declared here, all float64. Its kind is the name of a schema, with a source behind it where there are
several: `spot`, `spot_binance`, `onchain_archive2020`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar
from pandas.tseries.offsets import CustomBusinessDay

from configs.errors import UserError
from configs.registry import check_name, did_you_mean

OHLCV = ("open", "high", "low", "close", "volume")
EVERY_ASSET = "all"  # the asset of a table that speaks of the whole market, such as rates
AT_ONCE = pd.Timedelta(0)
US_BUSINESS_DAY = CustomBusinessDay(calendar=USFederalHolidayCalendar())


@dataclass(frozen=True)
class Column:
    name: str
    unit: str
    low: float = -np.inf  # a value below cannot be true
    high: float = np.inf  # nor one above
    required: bool = False
    counted_by: str = ""  # the column that counts the observations a value rests on
    moves_with: str = ""  # what its changes follow on the same day: 'bars', or a column of the same schema
    against: bool = False  # it moves against that instead


@dataclass(frozen=True)
class Known:
    """When a row is known: `delay` after the start or the end of its period, on the next business day, or as measured.

    A measured moment (seconds since 1970 in the column `measured`) counts if it lies within `believed` of the period's
    end; later ones are recalculations that say nothing of the first publication, and the rule stands in for them.

    >>> day = pd.DataFrame({"time": pd.to_datetime(["2023-05-27"], utc=True)})  # the end of Friday, 26 May
    >>> Known(pd.Timedelta("22h"), business_day=True).moments(day, pd.Timedelta("1D"))[0]  # Monday was a holiday
    Timestamp('2023-05-30 22:00:00+0000', tz='UTC')
    """

    delay: pd.Timedelta = AT_ONCE
    of: Literal["start", "end"] = "end"
    business_day: bool = False  # the delay counts from midnight of the next American business day
    measured: str = ""
    believed: pd.Timedelta = AT_ONCE

    def moments(self, table: pd.DataFrame, period: pd.Timedelta) -> pd.DatetimeIndex:
        """(rows,) of `table`, which has `time` and, where there is one, the measured column."""
        end = pd.DatetimeIndex(table["time"])
        start = end - period
        if self.business_day:
            days = pd.DatetimeIndex([day + US_BUSINESS_DAY for day in start.normalize().tz_convert(None)])
            known = days.tz_localize("UTC") + self.delay
        else:
            known = (start if self.of == "start" else end) + self.delay
        if self.measured and self.measured in table:
            stamp = pd.to_datetime(table[self.measured].to_numpy(float), unit="s", utc=True)
            late = stamp - end
            fits = (late >= AT_ONCE) & (late <= self.believed)
            known = pd.DatetimeIndex(np.where(fits, stamp.as_unit("us").tz_convert(None),
                                              known.as_unit("us").tz_convert(None))).tz_localize("UTC")
        return known.as_unit("us")


@dataclass(frozen=True)
class Schema:
    name: str
    meaning: str
    frequencies: tuple[str, ...]
    columns: tuple[Column, ...]
    known: Known
    max_age: pd.Timedelta  # past this a value joined to a bar is missing

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def is_bars(self) -> bool:
        return self.name in ("spot", "perp")


def many(unit: str, *names: str, low: float = -np.inf) -> tuple[Column, ...]:
    return tuple(Column(name, unit, low) for name in names)


DAY, HOUR = pd.Timedelta("1D"), pd.Timedelta("1h")
BARS = (*(Column(name, "quote currency", 0.0, required=True) for name in OHLCV[:4]),
        Column("volume", "base currency", 0.0, required=True), Column("quote_volume", "quote currency", 0.0))
COUNTS = ("active_addresses", "addresses_with_balance", "tx_count", "transfers", "blocks")
COINS = ("fees", "fee_mean", "fee_median", "exchange_inflow", "exchange_outflow", "exchange_supply", "issuance",
         "issuance_continuous", "supply", "supply_in_10y", "supply_free_float", "transfer_value",
         "transfer_value_adjusted", "transfer_value_mean", "transfer_value_median")
DOLLARS = ("market_cap_estimated", "realised_cap", "fees_usd", "fee_mean_usd", "fee_median_usd", "exchange_inflow_usd",
           "exchange_outflow_usd", "exchange_supply_usd", "issuance_usd", "issuance_continuous_usd",
           "transfer_value_usd", "transfer_value_adjusted_usd", "transfer_value_mean_usd", "transfer_value_median_usd",
           "spot_volume_usd")

SCHEMAS: dict[str, Schema] = {schema.name: schema for schema in (
    Schema("spot", "bars of a spot market", ("1h", "1D"), BARS, Known(), AT_ONCE),
    Schema("perp", "bars of a perpetual future", ("1h", "1D"), BARS, Known(), AT_ONCE),
    Schema("implied", "implied volatility, as bars of an index", ("1h",),
           tuple(Column(f"implied_{name}", "percent a year", 0.0, 1000.0, required=True) for name in OHLCV[:4]),
           Known(), pd.Timedelta("3h")),
    Schema("onchain", "a day of the chain", ("1D",), (
        *many("count", *COUNTS, low=0.0), *many("coins", *COINS, low=0.0), *many("USD", *DOLLARS, low=0.0),
        Column("market_cap", "USD", 0.0, moves_with="bars"), Column("price_usd", "USD", 0.0, moves_with="bars"),
        *many("ratio", "mvrv", "nvt", "nvt_90", low=0.0),
        *many("bytes", "block_bytes", "block_bytes_mean", low=0.0), *many("hashes a second", "hash_rate", low=0.0),
        *many("hashes", "difficulty", low=0.0), *many("BTC", "price_btc", low=0.0),
        *many("percent", "roi_1y", "roi_30d", "issuance_percent_a_year"),
        *many("quote currency", "reference_rate", "reference_rate_eth", "reference_rate_eur", "reference_rate_usd"),
        *many("ratio", "volatility_30d", "volatility_60d", "volatility_180d", low=0.0),
        *many("seconds since 1970", "completed", "day_completed"),
    ), Known(DAY, measured="day_completed", believed=2 * DAY), pd.Timedelta("3D")),
    Schema("rates", "American interest rates and spreads", ("1D",), (
        *(Column(name, "percent a year", -10.0, 50.0) for name in ("us2y", "us10y", "us10y_real", "high_yield_spread")),
    ), Known(22 * HOUR, business_day=True), pd.Timedelta("6D")),
    Schema("markets", "daily closes of the world around", ("1D",), (
        Column("dollar_index", "index", 0.0), Column("vix", "percent a year", 0.0, 300.0),
        Column("sp500", "index", 0.0), Column("gold", "USD an ounce", 0.0),
        Column("eurusd", "USD", 0.0, moves_with="dollar_index", against=True),
        *many("index", "vix_open", "vix_high", "vix_low", "dollar_index_open", "dollar_index_high", "dollar_index_low",
              low=0.0),
    ), Known(), pd.Timedelta("6D")),
    Schema("fear_greed", "fear and greed index, published at the start of its day", ("1D",), (
        Column("fear_greed", "0 fear to 100 greed", 0.0, 100.0, required=True),
    ), Known(HOUR, of="start"), pd.Timedelta("3D")),
    Schema("funding", "funding of a perpetual future, mean of the day's payments", ("1D",), (
        Column("funding_rate", "share of the position for 8 hours", -0.05, 0.05, required=True),
    ), Known(17 * HOUR, of="start"), pd.Timedelta("2D")),
    Schema("sentiment", "what is written and searched", ("1D",), (
        Column("market_cap", "USD", 0.0, moves_with="bars"), Column("crix", "index", 0.0, moves_with="bars"),
        Column("vcrix", "index"), Column("trade_volume", "USD", 0.0),
        Column("search_volume", "0 to 100 of its own highest", 0.0, 100.0),
        Column("stocktwits", "-1 to 1", -1.0, 1.0, counted_by="stocktwits_posts"),
        Column("reddit_posts", "-1 to 1", -1.0, 1.0, counted_by="reddit_posts_count"),
        Column("reddit_comments", "-1 to 1", -1.0, 1.0, counted_by="reddit_comments_count"),
        *many("count", "stocktwits_posts", "reddit_posts_count", "reddit_comments_count", low=0.0),
    ), Known(DAY), pd.Timedelta("3D")),
    # never stored: what the simulator, the known markets and the watched assets bring
    Schema("onchain_hourly", "an hour of the simulated chain", ("1h",), (), Known(), pd.Timedelta("6h")),
    Schema("peer", "closes of an asset that is watched and not traded", ("1h", "1D"), (), Known(), AT_ONCE),
    Schema("state", "what is to be seen in a market whose best policy is known", ("1h",), (), Known(), AT_ONCE),
)}


@dataclass(frozen=True, order=True)
class Key:
    """Which table: `Key("spot_binance", "BTC", "1h")`."""

    kind: str
    asset: str
    frequency: str

    def __post_init__(self) -> None:
        check_name(f"frequency of {self.kind}", self.frequency, self.schema.frequencies)
        if self.kind != self.kind.lower():
            raise UserError(f"kinds are written small: {self.kind.lower()!r}, found {self.kind!r}")
        for part in (self.kind, self.asset):
            if not part.replace("_", "").replace("-", "").isalnum():
                raise UserError(f"{part!r} is to name a folder: letters, digits, - and _ only")

    def __str__(self) -> str:
        return f"{self.kind}/{self.asset}/{self.frequency}"

    @property
    def schema(self) -> Schema:
        return schema_of(self.kind)

    @property
    def period(self) -> pd.Timedelta:
        return pd.Timedelta(self.frequency)


def key_of(name: str) -> Key:
    """The key that is written so.

    >>> key_of("spot_kraken/BTC/1h")
    Key(kind='spot_kraken', asset='BTC', frequency='1h')
    """
    parts = name.split("/")
    if len(parts) != 3:
        raise UserError(f"a table is named kind/asset/frequency, such as spot_kraken/BTC/1h; found {name!r}")
    return Key(*parts)


def schema_of(kind: str) -> Schema:
    """The schema of a kind: of that name, or of the longest name that the kind begins with.

    >>> schema_of("spot_binance").name, schema_of("onchain_archive2020").name
    ('spot', 'onchain')
    """
    fitting = [name for name in SCHEMAS if kind == name or kind.startswith(f"{name}_")]
    if not fitting:
        raise UserError(f"unknown kind {kind!r}: begin it with one of {', '.join(SCHEMAS)}"
                        f"{did_you_mean(kind, SCHEMAS)}")
    return SCHEMAS[max(fitting, key=len)]
