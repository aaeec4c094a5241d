"""The layouts that files come in: by which columns each is told, and what its columns are called here.

A file is taken for the first layout that fits, so the particular ones stand before the plain one. How the text itself
is laid out (a line before the header, a second header, newest first) is found in any file and declared nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from data.schema import EVERY_ASSET, OHLCV, SCHEMAS

DOLLARS = ("usdt", "usdc", "fdusd", "busd", "usd")  # quotes that a symbol may end with and still be a price in dollars
ALIASES = {"dvol": "implied"}  # first words of file names that mean a schema


@dataclass(frozen=True)
class Part:
    """One table of a file. Columns that bear a name of the schema need no entry in `rename`."""

    kind: str = ""  # empty: the file's name or the user says
    rename: Mapping[str, str] = field(default_factory=dict)
    asset: str = ""  # likewise


@dataclass(frozen=True)
class Layout:
    name: str
    columns: tuple[str, ...]  # told by these, capitals aside
    parts: tuple[Part, ...]
    called: str = ""  # and by what the file's name or the user's kind begins with: alternatives divided by |
    time_format: str = ""  # empty: read as ISO, or found by trying
    utc: bool = False  # its times bear no zone and are UTC
    wide: str = ""  # what divides asset and column where several assets stand side by side

    def fits(self, columns: Iterable[str], *names: str) -> bool:
        """Whether a file of these columns (lower case) and names is laid out like this.

        >>> LAYOUTS[0].name, LAYOUTS[0].fits(["time", "adractcnt", "priceusd"], "any.csv")
        ('Coin Metrics', True)
        """
        if self.called and not any(re.match(self.called, name.lower()) for name in names):
            return False
        if self.wide:
            return bool(self.assets(columns))
        return {name.lower() for name in self.columns} <= set(columns)

    def assets(self, columns: Iterable[str]) -> list[str]:
        """The assets, as they are written, for which a wide file has every column."""
        columns = list(columns)
        first = dict.fromkeys(name.split(self.wide)[0] for name in columns if self.wide in name)
        return [asset for asset in first if all(f"{asset}{self.wide}{name}" in columns for name in self.columns)]


def named(stem: str) -> tuple[str, str]:
    """Kind and asset that a file name of the form `<kind>_<source>_<symbol>` gives; '' for what it leaves open.

    The symbol is the word `all`, or the one word that ends with a dollar, else the one in capitals, else the one short
    word.

    >>> named("spot_binance_BTCUSDT"), named("onchain_btc_archive2020"), named("dvol_deribit_BTC"), named("macro")
    (('spot_binance', 'BTC'), ('onchain_archive2020', 'BTC'), ('implied_deribit', 'BTC'), ('', ''))
    """
    words = [word for word in stem.split("_") if word.lower() not in ("1h", "1d")]
    text = "_".join([ALIASES.get(words[0].lower(), words[0]), *words[1:]]) if words else ""
    schemas = [name for name in SCHEMAS if f"{text.lower()}_".startswith(f"{name}_")]
    schema = max(schemas, key=len, default="")
    rest = [word for word in text[len(schema):].split("_") if word]
    quoted = [word for word in rest if without_dollar(word) != word.upper()]
    whole = [word for word in rest if word == EVERY_ASSET]
    capital = [word for word in rest if word.isupper()]
    short = [word for word in rest if word.isalpha() and len(word) <= 5]
    candidates = (whole, quoted, capital, short) if schema else (quoted,)
    told = next((words[0] for words in candidates if len(words) == 1), "")
    asset = told if told == EVERY_ASSET else without_dollar(told)
    if not schema or (rest and not told):
        return "", asset
    return "_".join([schema, *(word.lower() for word in rest if word != told)]), asset


def without_dollar(symbol: str) -> str:
    """The asset of a symbol quoted in dollars.

    >>> without_dollar("ethusdt"), without_dollar("BTC")
    ('ETH', 'BTC')
    """
    quote = next((end for end in DOLLARS if symbol.lower().endswith(end) and len(symbol) > len(end)), "")
    return symbol.upper()[: len(symbol) - len(quote)].rstrip("-")


def bars_of(name: str, close: str = "") -> dict[str, str]:
    """Names for the open, high, low and close of something that is not traded here.

    >>> bars_of("vix", close="vix")["close"]
    'vix'
    """
    return {**{bar: f"{name}_{bar}" for bar in OHLCV[:3]}, "close": close or f"{name}_close"}


COIN_METRICS = {
    "AdrActCnt": "active_addresses", "AdrBalCnt": "addresses_with_balance", "AssetCompletionTime": "completed",
    "AssetEODCompletionTime": "day_completed", "BlkCnt": "blocks", "BlkSizeByte": "block_bytes",
    "BlkSizeMeanByte": "block_bytes_mean", "CapMVRVCur": "mvrv", "CapMrktCurUSD": "market_cap",
    "CapMrktEstUSD": "market_cap_estimated", "CapRealUSD": "realised_cap", "DiffMean": "difficulty",
    "FeeMeanNtv": "fee_mean", "FeeMeanUSD": "fee_mean_usd", "FeeMedNtv": "fee_median", "FeeMedUSD": "fee_median_usd",
    "FeeTotNtv": "fees", "FeeTotUSD": "fees_usd", "FlowInExNtv": "exchange_inflow",
    "FlowInExUSD": "exchange_inflow_usd", "FlowOutExNtv": "exchange_outflow", "FlowOutExUSD": "exchange_outflow_usd",
    "HashRate": "hash_rate", "IssContNtv": "issuance_continuous", "IssContPctAnn": "issuance_percent_a_year",
    "IssContUSD": "issuance_continuous_usd", "IssTotNtv": "issuance", "IssTotUSD": "issuance_usd", "NVTAdj": "nvt",
    "NVTAdj90": "nvt_90", "PriceBTC": "price_btc", "PriceUSD": "price_usd", "ROI1yr": "roi_1y", "ROI30d": "roi_30d",
    "ReferenceRate": "reference_rate", "ReferenceRateETH": "reference_rate_eth",
    "ReferenceRateEUR": "reference_rate_eur", "ReferenceRateUSD": "reference_rate_usd", "SplyCur": "supply",
    "SplyExNtv": "exchange_supply", "SplyExUSD": "exchange_supply_usd", "SplyExpFut10yr": "supply_in_10y",
    "SplyExpFut10yrCMBI": "supply_in_10y", "SplyFF": "supply_free_float", "TxCnt": "tx_count", "TxTfrCnt": "transfers",
    "TxTfrValAdjNtv": "transfer_value_adjusted", "TxTfrValAdjUSD": "transfer_value_adjusted_usd",
    "TxTfrValMeanNtv": "transfer_value_mean", "TxTfrValMeanUSD": "transfer_value_mean_usd",
    "TxTfrValMedNtv": "transfer_value_median", "TxTfrValMedUSD": "transfer_value_median_usd",
    "TxTfrValNtv": "transfer_value", "TxTfrValUSD": "transfer_value_usd", "VtyDayRet180d": "volatility_180d",
    "VtyDayRet30d": "volatility_30d", "VtyDayRet60d": "volatility_60d",
    "volume_reported_spot_usd_1d": "spot_volume_usd",
}
FRED = {"dgs2": "us2y", "dgs10": "us10y", "dfii10": "us10y_real", "hy_oas": "high_yield_spread"}
CLOSES = {"vix_close": "vix", "dxy_close": "dollar_index", "gold_close": "gold", "sp500_close": "sp500",
          "eurusd_close": "eurusd"}
SENTIMENT = {"marketcap": "market_cap", "stocktwits_sent": "stocktwits", "reddit_posts_sent": "reddit_posts",
             "reddit_comments_sent": "reddit_comments", "stocktwits_volume": "stocktwits_posts",
             "posts_volume": "reddit_posts_count", "comments_volume": "reddit_comments_count"}

LAYOUTS: tuple[Layout, ...] = (
    Layout("Coin Metrics", ("AdrActCnt", "PriceUSD"), (Part("onchain", COIN_METRICS),)),
    Layout("rates and closes side by side", ("dgs10", "vix_close"),
           (Part("rates", FRED, EVERY_ASSET), Part("markets", CLOSES, EVERY_ASSET))),
    Layout("alternative.me", ("fng_value",), (Part("fear_greed", {"fng_value": "fear_greed"}, EVERY_ASSET),)),
    Layout("sentiment and searches", ("crix", "stocktwits_sent"), (Part("sentiment", SENTIMENT),)),
    # what it calls volume is in dollars
    Layout("CryptoDataDownload", ("date", "symbol", "open", "high", "low", "close", "volume_btc", "volume"),
           (Part("spot_cryptodatadownload", {"volume": "quote_volume", "volume_btc": "volume"}),),
           time_format="%Y-%m-%d %I-%p", utc=True),
    Layout("Bitstamp, assets side by side", OHLCV, (Part("spot_bitstamp"),), called="bitstamp", wide=":"),
    Layout("assets side by side", OHLCV, (Part(),), wide=":"),
    Layout("VIX of Yahoo", ("vix_close", "open", "high", "low"),
           (Part("markets_vix", bars_of("vix", close="vix") | {"vix_close": "vix"}, EVERY_ASSET),)),
    Layout("dollar index of Yahoo", OHLCV[:4],
           (Part("markets_dxy", bars_of("dollar_index", close="dollar_index"), EVERY_ASSET),),
           called="dxy|markets_dxy"),
    Layout("bars of implied volatility", OHLCV[:4],
           (Part("implied", bars_of("implied")),), called="dvol|implied"),
    Layout("plain", (), (Part("", {"volume_usd": "quote_volume", "quote_asset_volume": "quote_volume"}),)),
)
