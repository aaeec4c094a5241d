"""Features of what is not in an asset's own bars: in their reach, blind to what comes, and equal to plain formulas."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from data.features.base import BARS, values_in
from data.features.calendar import CALENDAR, CALENDAR_MORE
from data.features.cross_asset import CROSS_ASSET
from data.features.derivatives import FUNDING, IMPLIED_VOLATILITY
from data.features.macro import MACRO, MACRO_LONG, MACRO_REAL
from data.features.onchain import ONCHAIN, ONCHAIN_HOURLY, ONCHAIN_VALUE
from data.features.sentiment import SENTIMENT, SOCIAL
from data.schema import SCHEMAS
from tests.data.real import real

FEATURES = [*ONCHAIN_HOURLY, *ONCHAIN, *ONCHAIN_VALUE, *MACRO, *MACRO_REAL, *MACRO_LONG, *SENTIMENT, *SOCIAL, *FUNDING,
            *IMPLIED_VOLATILITY, *CROSS_ASSET, *CALENDAR, *CALENDAR_MORE]
BY_NAME = {feature.name: feature for feature in FEATURES}
CHAIN = {"AdrActCnt": "active_addresses", "AdrBalCnt": "addresses_with_balance", "BlkCnt": "blocks",
         "CapMVRVCur": "mvrv", "CapMrktCurUSD": "market_cap", "FeeTotNtv": "fees", "FlowInExNtv": "exchange_inflow",
         "FlowOutExNtv": "exchange_outflow", "HashRate": "hash_rate", "IssTotNtv": "issuance",
         "IssTotUSD": "issuance_usd", "PriceUSD": "price_usd", "SplyCur": "supply", "SplyExNtv": "exchange_supply",
         "TxCnt": "tx_count", "TxTfrCnt": "transfers", "volume_reported_spot_usd_1d": "spot_volume_usd"}
ARCHIVE = {"NVTAdj": "nvt", "TxTfrValAdjUSD": "transfer_value_adjusted_usd", "DiffMean": "difficulty",
           "CapRealUSD": "realised_cap", "FeeTotUSD": "fees_usd", "CapMrktCurUSD": "market_cap"}
WORLD = {"dgs2": "us2y", "dgs10": "us10y", "dfii10": "us10y_real", "hy_oas": "high_yield_spread", "vix_close": "vix",
         "dxy_close": "dollar_index", "gold_close": "gold", "sp500_close": "sp500"}
CROWD = {"stocktwits_sent": "stocktwits", "stocktwits_volume": "stocktwits_posts", "reddit_posts_sent": "reddit_posts",
         "posts_volume": "reddit_posts_count", "reddit_comments_sent": "reddit_comments",
         "comments_volume": "reddit_comments_count"}
WRITTEN = dict(zip(list(CROWD.values())[::2], list(CROWD.values())[1::2]))  # score -> posts it rests on
ASSETS = ("BTC", "ETH", "LTC", "SOL")


def daily(name, names, since="2013"):
    table = pd.read_parquet(real(f"daily/{name}.parquet")).loc[since:].rename(columns=names)[list(names.values())]
    return table.assign(time=table.index + pd.Timedelta("1D")).reset_index(drop=True)


def company(closes, volumes, own="ETH"):
    """The frame of `own` in a market of several, from {asset: series}."""
    columns = {"close": closes[own], "volume": volumes[own], "company": float(len(closes))}
    columns |= {f"close:{asset}": closes[asset] for asset in closes}
    return pd.DataFrame(columns | {f"volume:{asset}": volumes[asset] for asset in closes})


def perps(own="ETH"):
    bars = {asset: pd.read_parquet(real(f"hourly/perp_binance_{asset}USDT.parquet")).iloc[-3_000:] for asset in ASSETS}
    closes, volumes = ({a: b[c].reset_index(drop=True) for a, b in bars.items()} for c in ("close", "volume"))
    return company(closes, volumes, own).assign(time=bars["BTC"].index + pd.Timedelta("1h"))


def dvol():
    implied = pd.read_parquet(real("hourly/dvol_deribit_BTC.parquet"))["close"].rename("implied_close")
    close = pd.read_parquet(real("hourly/spot_binance_BTCUSDT.parquet"))["close"]
    hours = pd.concat([implied, close], axis=1, join="inner").iloc[-3_000:]
    return hours.assign(time=hours.index + pd.Timedelta("1h")).reset_index(drop=True)


REAL = {"onchain": lambda: daily("onchain_btc", CHAIN),
        "onchain_value": lambda: daily("onchain_btc_archive2020", ARCHIVE),
        **dict.fromkeys(("macro", "macro_real", "macro_long"), lambda: daily("macro", WORLD)),
        "sentiment": lambda: daily("fear_greed", {"fng_value": "fear_greed"}),
        "social": lambda: daily("sentiment_btc", CROWD),
        "funding": lambda: daily("funding_btcusdt", {"funding_rate": "funding_rate"}), "implied": dvol,
        **dict.fromkeys(("cross_asset", "calendar", "calendar_more"), perps)}


def invented(group):
    """Rows of every column that features of `group` read, wandering and positive."""
    rng, rows = np.random.default_rng(7), 2_500
    times = pd.Series(pd.date_range("2023-01-30 05:00", periods=rows, freq="1h", tz="UTC"))

    def walk(size):
        return pd.Series(np.exp(size * rng.standard_normal(rows).cumsum() + 0.1 * rng.standard_normal(rows)))

    if group == "cross_asset":
        market = walk(0.01)
        closes, volumes = {a: market * walk(0.01) for a in ASSETS}, {a: 100 * walk(0.1) for a in ASSETS}
        return company(closes, volumes).assign(time=times)
    needs = {need for f in FEATURES if f.group == group for need in f.needs} - {"time"}
    frame = pd.DataFrame({need: 50 * walk(0.02) for need in sorted(needs)}, index=range(rows))
    if "mvrv" in frame:
        frame["mvrv"] /= frame["mvrv"].median()
    if "fear_greed" in frame:
        frame["fear_greed"] = (50 + 45 * np.sin(np.arange(rows) / 40)).round()
    return frame.assign(time=times)


@cache
def table(group, origin):
    return invented(group) if origin == "invented" else REAL[group]()


def rows_of(feature, origin):
    """As features are given them: nothing that they need is missing."""
    whole = table(feature.group, origin)
    return whole[whole[list(feature.needs)].notna().all(axis=1)].reset_index(drop=True)


def change(x):
    return np.log(x[-1] / x[0])


def z(x):
    return 0.0 if np.ptp(x) == 0 else (x[-1] - x.mean()) / x.std()


def over(x, days=None):
    return np.log(x[-1] / x[-(days or len(x)) :].mean())


def netflow(r):
    return (r["exchange_outflow"] - r["exchange_inflow"]) / (r["exchange_outflow"] + r["exchange_inflow"])


def closes(r):
    return np.stack([r[column] for column in r if column.startswith("close:")])  # (N, L)


def steps(r):
    return np.diff(np.log(closes(r)), axis=1)


def turnovers(r):
    return np.array([(r[f"close:{a}"] * r[f"volume:{a}"]).sum() for a in ASSETS])


def moves(r):
    return closes(r)[:, -1] / closes(r)[:, 0]  # (N,)


def tie(x, y):
    return np.corrcoef(x, y)[0, 1], np.cov(x, y)[0, 1] / y.var(ddof=1)


def pairs(r):
    c = np.cov(steps(r))
    upper = np.triu_indices(len(c), 1)
    return c[upper].sum() / np.outer(*[np.sqrt(np.diag(c))] * 2)[upper].sum()


# name -> the definition once more, on the last `lookback` rows as arrays; the calendar has a test of its own
FORMULAS = {
    **{f"{c}_z": lambda r, c=c: z(np.log(r[c]))
       for c in ("active_addresses", "tx_count", "exchange_inflow", "exchange_outflow", "nvt", "vix")},
    "active_addresses_6": lambda r: np.log(r["active_addresses"].mean() / r["active_addresses"][-1]),
    **{name: lambda r, of=of: of(np.log(r["exchange_outflow"] / r["exchange_inflow"]))
       for name, of in (("netflow", np.mean), ("netflow_6", np.mean), ("netflow_z", z))},
    **{name: lambda r: z(np.log(r["fees"] / r["tx_count"])) for name in ("fee_z", "fee_each_z")},
    "hash_rate_168": lambda r: change(r["hash_rate"]), "mvrv_24": lambda r: change(r["mvrv"]),
    **{name: lambda r: np.log(r["mvrv"][0]) for name in ("mvrv", "mvrv_log")},
    "addresses_z": lambda r: z(np.log(r["active_addresses"])), "transactions_z": lambda r: z(np.log(r["tx_count"])),
    **{name: lambda r, c=c: np.log(r[c][28:].sum() / r[c][:28].sum())
       for name, c in (("addresses_28", "active_addresses"), ("transactions_28", "tx_count"))},
    "holders_28": lambda r: change(r["addresses_with_balance"]), "supply_growth": lambda r: change(r["supply"]),
    "fees_over_issuance": lambda r: np.log1p(r["fees"].sum() / r["issuance"].sum()),
    "block_time": lambda r: np.log(7 * 24 * 60 / r["blocks"].sum()),
    "hash_ribbon": lambda r: np.log(r["hash_rate"][30:].mean() / r["hash_rate"].mean()),
    "puell_multiple": lambda r: over(r["issuance_usd"]), "mayer_multiple": lambda r: over(r["price_usd"]),
    "exchange_netflow": lambda r: netflow(r)[0], "exchange_netflow_z": lambda r: z(netflow(r)),
    "exchange_netflow_7": lambda r: netflow({c: v.sum() for c, v in r.items()}),
    "exchange_share": lambda r: r["exchange_supply"][0] / r["supply"][0],
    "exchange_share_30": lambda r: np.diff((r["exchange_supply"] / r["supply"])[[0, -1]])[0],
    "mvrv_z_score": lambda r: r["market_cap"][-1] * (1 - 1 / r["mvrv"][-1]) / r["market_cap"].std(),
    "nupl": lambda r: 1 - 1 / r["mvrv"][0], "above_realised": lambda r: (r["mvrv"] > 1).mean(),
    **{f"realised_{days}": lambda r: change(r["market_cap"] / r["mvrv"]) for days in (30, 365)},
    "pi_cycle": lambda r: np.log(r["price_usd"][-111:].mean() / 2 / r["price_usd"].mean()),
    "nvt_log": lambda r: np.log(r["nvt"][0]), "nvt_log_z": lambda r: z(np.log(r["nvt"])),
    "nvt_signal": lambda r: np.log(r["market_cap"][-1] / r["transfer_value_adjusted_usd"].mean()),
    "difficulty_ribbon": lambda r: np.std([over(r["difficulty"], n) for n in (9, 14, 25, 40, 60, 90, 128, 200)]),
    "difficulty_slope": lambda r: np.log(r["difficulty"][-9:].mean() / r["difficulty"].mean()),
    **{name: lambda r, a=a, b=b: np.log(r[a].sum() / r[b].sum())
       for name, a, b in (("transfers_each", "transfers", "tx_count"),
                          ("velocity", "spot_volume_usd", "market_cap"),
                          ("fees_over_value", "fees_usd", "transfer_value_adjusted_usd"),
                          ("value_velocity", "transfer_value_adjusted_usd", "realised_cap"))},
    **{f"{c}_week": lambda r, c=c: change(r[c]) for c in ("dollar_index", "sp500", "gold")},
    **{f"{c}_week": lambda r, c=c: r[c][-1] - r[c][0] for c in ("us10y", "us2y", "us10y_real", "high_yield_spread")},
    "term_spread": lambda r: r["us10y"][0] - r["us2y"][0], "vix_level": lambda r: np.log(r["vix"][0]),
    **{f"{c}_level": lambda r, c=c: r[c][0] for c in ("us10y_real", "high_yield_spread")},
    **{f"{c}_z": lambda r, c=c: z(r[c]) for c in ("us10y_real", "high_yield_spread")},
    **{f"{c}_mean_{n}": lambda r, c=c: over(r[c]) for c in ("dollar_index", "sp500", "gold") for n in (60, 250)},
    **{f"vix_rank_{n}": lambda r: np.sign(r["vix"][-1] - r["vix"]).mean() for n in (60, 250)},
    **{f"sp500_volatility_{n}": lambda r: np.sqrt(250 * np.mean(np.diff(np.log(r["sp500"])) ** 2)) for n in (60, 250)},
    **{name: lambda r: (r["fear_greed"].mean() - 50) / 50 for name in ("fear_greed_level", "fear_greed_30")},
    "fear_greed_7": lambda r: (r["fear_greed"][-1] - r["fear_greed"][0]) / 50,
    "fear_greed_extremes": lambda r: (r["fear_greed"] > 75).mean() - (r["fear_greed"] < 26).mean(),
    **{f"{s}_score": lambda r, s=s, c=c: np.average(r[s], weights=r[c]) for s, c in WRITTEN.items()},
    **{f"{s}_score_z": lambda r, s=s: z(r[s]) for s in WRITTEN},
    **{f"{c}_z": lambda r, c=c: z(np.log1p(r[c])) for c in WRITTEN.values()},
    **{name: lambda r: r["funding_rate"].mean() * 1e4 for name in ("funding_bps", "funding_7")},
    "funding_z": lambda r: z(r["funding_rate"]), "funding_30": lambda r: 100 * 3 * r["funding_rate"].sum(),
    "implied_level": lambda r: np.log(r["implied_close"][0] / 100), "implied_24": lambda r: change(r["implied_close"]),
    "implied_z": lambda r: z(np.log(r["implied_close"])),
    "variance_premium": lambda r: r["implied_close"][-1] / 100
    - np.sqrt(8_760 * np.mean(np.diff(np.log(r["close"])) ** 2)),
    **{f"versus_leader_{n}": lambda r: change(r["close"]) - change(r["close:BTC"]) for n in (1, 24, 168)},
    **{f"versus_mean_{n}": lambda r: change(r["close"]) - steps(r).sum(axis=1).mean() for n in (1, 24, 168)},
    "leader_correlation": lambda r: tie(steps(r)[1], steps(r)[0]),
    "others_correlation": lambda r: tie(steps(r)[1], np.delete(steps(r), 1, axis=0).mean(axis=0)),
    **{f"alt_season_{n}": lambda r: np.mean(moves(r)[1:] > moves(r)[0]) for n in (168, 720)},
    **{f"rank_{n}": lambda r: 2 * np.mean(np.delete(moves(r), 1) < moves(r)[1]) - 1 for n in (24, 168)},
    "dominance": lambda r: turnovers(r)[1::-1] / turnovers(r).sum(),
    "dispersion_24": lambda r: steps(r).sum(axis=1).std(), "mean_correlation": pairs,
}
CASES = [(name, origin) for name in BY_NAME for origin in ("invented", "real")
         if origin == "invented" or BY_NAME[name].group in REAL]


def test_the_table_is_sound():
    assert set(FORMULAS) == {f.name for f in FEATURES if f not in (*CALENDAR, *CALENDAR_MORE)}
    assert len(BY_NAME) == len(FEATURES) == len({c for f in FEATURES for c in f.columns}) - 7
    for feature in FEATURES:
        assert feature.on == BARS or set(feature.needs) <= set(SCHEMAS[feature.on].names) - {"search_volume"}
    assert {need for f in ONCHAIN for need in f.needs} <= set(CHAIN.values())
    assert max(f.lookback for f in MACRO) <= 20  # what the simulator has before its first bar
    assert max(f.lookback for f in CROSS_ASSET) <= 1_024


@pytest.mark.parametrize(("name", "origin"), CASES)
def test_values_rest_on_their_lookback_and_a_plain_formula(name, origin):
    feature, rows = BY_NAME[name], rows_of(BY_NAME[name], origin)
    values = values_in(rows, feature)
    assert values.iloc[: feature.lookback - 1].isna().all().all()
    assert np.isfinite(values.iloc[feature.lookback - 1 :]).all().all()
    for end in np.linspace(feature.lookback, len(rows), 7).astype(int):
        last = rows.iloc[end - feature.lookback : end].reset_index(drop=True)
        alone = values_in(last, feature).iloc[-1]
        np.testing.assert_allclose(values.iloc[end - 1], alone, rtol=1e-6, atol=1e-6 * values.std().min())
        if name in FORMULAS:
            arrays = {column: last[column].to_numpy(float) for column in last if column != "time"}
            np.testing.assert_allclose(alone, np.atleast_1d(FORMULAS[name](arrays)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("name", "origin"), CASES)
def test_what_comes_later_changes_no_bit(name, origin):
    feature, rows = BY_NAME[name], rows_of(BY_NAME[name], origin)
    whole = values_in(rows, feature)
    for end in (feature.lookback, (feature.lookback + len(rows)) // 2, len(rows) - 3):
        changed, numbers = rows.copy(), rows.columns.drop("time")
        changed.loc[end:, numbers] = rows[numbers].to_numpy()[::-1][end:]
        changed.loc[end:, "time"] += pd.Timedelta("77h")
        for other in (rows.iloc[:end].copy(), changed):
            pd.testing.assert_frame_equal(values_in(other, feature).iloc[:end], whole.iloc[:end], check_exact=True)


@pytest.mark.parametrize("name", [f.name for f in FEATURES if "calendar" not in f.group])
def test_where_nothing_moves_there_is_still_an_answer(name):
    feature = BY_NAME[name]
    rows = rows_of(feature, "invented").iloc[:400]
    pause = pd.DataFrame({c: rows[c].iloc[-1] for c in rows}, index=range(feature.lookback + 50))
    pause["time"] = rows["time"].iloc[-1] + pd.to_timedelta(np.arange(1, len(pause) + 1), unit="h")
    values = values_in(pd.concat([rows, pause], ignore_index=True), feature)
    alone = values_in(pause, feature)
    assert np.isfinite(values.iloc[feature.lookback - 1 :]).all().all()
    np.testing.assert_allclose(values.iloc[-1], alone.iloc[-1], atol=1e-6)  # the past is forgotten


def last(name, **columns):
    return values_in(pd.DataFrame(columns), BY_NAME[name]).iloc[-1].to_numpy()


def test_measures_of_the_chain_by_hand():
    assert last("puell_multiple", issuance_usd=[1.0] * 364 + [367.0])[0] == pytest.approx(np.log(367 * 365 / 731))
    price = [1.0] * 239 + [3.0] * 111  # means 3 and 572 / 350
    assert last("pi_cycle", price_usd=price)[0] == pytest.approx(np.log(3 / (2 * 572 / 350)))
    moved = [10.0] * 45 + [30.0] * 45
    nvt = last("nvt_signal", market_cap=[500.0] * 90, transfer_value_adjusted_usd=moved)
    assert nvt[0] == pytest.approx(np.log(25))
    # caps of 2 and 4 deviate by 1 from 3; realised is 4 / 1.6 = 2.5
    assert last("mvrv_z_score", market_cap=[2.0, 4.0] * 730, mvrv=[1.6] * 1_460)[0] == pytest.approx(1.5)
    assert last("above_realised", mvrv=[0.5] * 73 + [2.0] * 292)[0] == pytest.approx(0.8)
    nothing = np.zeros(7)  # is neutral
    assert last("exchange_netflow_7", exchange_inflow=nothing, exchange_outflow=nothing)[0] == 0.0
    assert last("stocktwits_score", stocktwits=nothing + 0.7, stocktwits_posts=nothing)[0] == 0.0
    assert last("fees_over_issuance", fees=nothing, issuance=nothing)[0] == 0.0


def test_a_company_by_hand():
    rows = 169
    prices = {a: pd.Series([10.0] * (rows - 1) + [end]) for a, end in zip(ASSETS, (11.0, 12.0, 11.0, 9.0))}
    volumes = {a: pd.Series([share] * rows) for a, share in zip(ASSETS, (4.0, 3.0, 2.0, 1.0))}
    eth, btc = company(prices, volumes), company(prices, volumes, "BTC")
    idle = company(prices, {a: 0 * volumes[a] for a in ASSETS})
    assert last("alt_season_168", **btc)[0] == pytest.approx((1 + 0.5 + 0) / 3)  # won, drawn, lost
    assert last("rank_168", **eth)[0] == 1.0
    assert last("rank_168", **btc)[0] == 0.0  # one better, one level, one worse
    np.testing.assert_allclose(last("dominance", **eth.iloc[:-1]), [0.3, 0.4])
    np.testing.assert_array_equal(last("dominance", **idle), [0.25, 0.25])
    assert last("versus_leader_168", **btc)[0] == 0.0


def test_the_leader_is_held_against_the_others():
    btc = invented("cross_asset").assign(**{c: invented("cross_asset")[f"{c}:BTC"] for c in ("close", "volume")})
    values = values_in(btc, BY_NAME["leader_correlation"])
    others = values_in(btc, BY_NAME["others_correlation"])
    np.testing.assert_array_equal(values, others)
    r = steps({column: btc[column].to_numpy()[-169:] for column in btc})
    np.testing.assert_allclose(values.iloc[-1], tie(r[0], r[1:].mean(axis=0)), rtol=1e-6)


def test_clock_and_calendar():
    rows = pd.DataFrame({"time": pd.date_range("2019-01-01", "2026-01-01", freq="30min", tz="UTC")})
    time = rows["time"].dt.tz_localize(None)
    month, day = time.dt.to_period("M"), time.dt.day_of_week
    share = (time - month.dt.start_time) / ((month + 1).dt.start_time - month.dt.start_time)
    for name, turn in {"hour": time.dt.hour / 24, "weekday": (day + time.dt.hour / 24) / 7, "month_day": share,
                       "month": (time.dt.month - 1 + share) / 12}.items():
        circle = np.exp(2j * np.pi * turn.to_numpy())
        np.testing.assert_allclose(values_in(rows, BY_NAME[name]), np.stack([circle.imag, circle.real], 1), atol=1e-9)
    clock = rows["time"].dt.tz_convert("America/New_York").dt.strftime("%H:%M")
    flags = {"us_session": (clock >= "09:30") & (clock < "16:00") & (day < 5), "weekend": day.isin([5, 6]),
             "to_funding": (time.dt.floor("8h") + pd.Timedelta("8h") - time) / pd.Timedelta("8h")}
    for name, flag in flags.items():
        np.testing.assert_array_equal(values_in(rows, BY_NAME[name])[name], flag)
