"""Named sets of features, picked from the whole table so that each says something the others do not."""

from __future__ import annotations

MINIMAL = (
    "return_1", "return_24", "move_6", "volatility_24", "volatility_168", "close_place", "volume_ratio_24",
    "sma_24", "sma_168", "rsi", "macd", "atr", "bollinger_place", "hour", "weekday",
)

CHAIN = (
    "addresses_z", "transactions_28", "fees_over_issuance", "block_time", "hash_ribbon", "puell_multiple",
    "exchange_netflow", "exchange_netflow_z", "exchange_share_30", "mvrv_log", "mvrv_z_score", "nupl", "pi_cycle",
    "mayer_multiple",
)
WORLD = ("dollar_index_week", "sp500_week", "gold_week", "us10y_week", "term_spread", "vix_level", "vix_z")
MOOD = ("fear_greed_level", "fear_greed_7", "funding_bps", "funding_7", "funding_z")
COMPANY = ("versus_leader_24", "versus_mean_24", "others_correlation", "alt_season_168", "dominance",
           "dispersion_24", "rank_24", "mean_correlation")

HOURLY = (
    # returns, and how large they are
    "return_1", "return_4", "return_24", "return_72", "move_1", "move_6", "move_24", "volatility_24",
    "volatility_168", "garman_klass_24", "yang_zhang_168", "skewness_168", "autocorrelation_1",
    "drawdown_168", "candle_body", "close_place", "volume_ratio_24", "volume_z_168",
    # indicators
    "sma_24", "sma_168", "ema_12", "macd", "adx", "aroon", "cci", "cloud", "kst", "psar", "supertrend", "rsi", "stoch",
    "tsi", "atr", "bollinger_place", "donchian_place", "mfi", "cmf", "vwap", "obv_24",
    "profile",
    # spectrum and fractals
    "wavelet", "fourier", "hurst_diffusion", "higuchi", "correlation_dimension", "lyapunov",
    *CHAIN[:7], *CHAIN[8:11], *WORLD, *MOOD, *COMPANY, "hour", "weekday",
)

LONG_HORIZON = (
    # on daily bars: a bar is a day, and the longest window a year
    "return_1", "return_8", "return_24", "return_72", "move_6", "move_24", "volatility_24", "volatility_72",
    "volatility_168", "volatility_ratio", "yang_zhang_24", "skewness_48", "drawdown_168", "below_high_168",
    "efficiency_24", "volume_ratio_24", "sma_24", "sma_50", "sma_200", "sma_cross", "macd", "rsi", "adx", "atr",
    "bollinger_place", "donchian_55", "obv_24", "hurst_diffusion",
    *CHAIN, "supply_growth", "realised_365", "above_realised", "holders_28", "velocity", *WORLD,
    "us10y_real_level", "high_yield_spread_level", "high_yield_spread_z", "dollar_index_mean_250", "sp500_mean_250",
    "gold_mean_250", "vix_rank_250", "fear_greed_level", "fear_greed_30", "fear_greed_extremes", "funding_7",
    "funding_30", "month",
)

PRESETS: dict[str, tuple[str, ...]] = {"minimal": MINIMAL, "hourly": HOURLY, "long_horizon": LONG_HORIZON}
