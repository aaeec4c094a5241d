"""The ensemble whose live decisions are timed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.timing import WINDOW, walk_market

FEATURES, HISTORY, DECISIONS = 77, 3000, 2000
NETS = ("lstm", "gru", "attention_lstm", "transformer", "mamba")
TREES = ("forest", "boosting")


def fresh_ensemble(contexts: dict[str, str], trees: tuple[str, ...]):
    """Nets that have learnt nothing and trees that have, fused by all that follows outcomes, and a market to decide on.
    """
    from configs.loader import parse, preset
    from data.labels import LabelConfig, make_labels
    from data.scaling import Scaler
    from encoders.checkpoint import Checkpoint, TrainedSpan
    from encoders.config import EncoderConfig
    from encoders.ensemble.config import FusionConfig
    from encoders.ensemble.ensemble import Ensemble
    from encoders.ensemble.fusion import fit_fusion
    from encoders.ensemble.nets import Nets
    from encoders.forecast import LEVELS
    from encoders.model import ForecastModel
    from encoders.scale import TargetScale

    rng = np.random.default_rng(0)
    rows = HISTORY + DECISIONS
    market = walk_market().slice(slice(0, rows))
    config = LabelConfig()
    features = rng.normal(size=(rows, 1, FEATURES)).astype(np.float32)
    ahead = make_labels(market.prices, market.segments, config)
    # two features know what comes, or trees would find nothing to grow on
    features[:, :, 0] += np.nan_to_num(ahead.forward / np.nanstd(ahead.forward))
    features[:, :, 1] += np.nan_to_num(ahead.volatility / np.nanstd(ahead.volatility))
    market = replace(market, columns=tuple(f"f{i}" for i in range(FEATURES)), features=features)
    scaler = Scaler(market.columns, np.zeros(FEATURES), np.ones(FEATURES), 8.0)
    scale = TargetScale(5.0, 1.0, (6, 24, 168, 720), (0.1, 0.3, 0.3, 0.3), 2.5e-5)
    members = {}
    for name in NETS:
        size = parse(EncoderConfig, [], preset("encoder", f"{name}.small"))
        weights = ForecastModel.build(FEATURES, size, scale).state_dict()
        members[name] = Nets((Checkpoint(size, market.columns, scaler, WINDOW, config.reach, LEVELS, scale,
                                         TrainedSpan(0, 1, "", ""), "", market.assets, weights,
                                         context=contexts.get(name, "window")),))
    past = market.slice(slice(0, HISTORY))
    members |= {kind: grown(kind, past, scaler, config) for kind in trees}
    labels = make_labels(past.prices, past.segments, config)
    said = {name: member.forecast(past) for name, member in members.items()}
    fusion = fit_fusion(said, labels, np.arange(500, HISTORY - config.reach),
                        FusionConfig(combiner="recent", direction="isotonic", volatility="adaptive",
                                     interval="adaptive"))
    return Ensemble(members, fusion, config, str(market.time[500])), market


def grown(kind: str, past, scaler, config):
    """Trees of the small preset."""
    from configs.loader import parse, preset
    from data.labels import make_labels
    from data.splits import SplitConfig, chronological
    from encoders.trees.config import TreeConfig
    from encoders.trees.fit import fit_trees

    split = chronological(len(past), config.reach, WINDOW, SplitConfig())
    return fit_trees(past, make_labels(past.prices, past.segments, config), split, scaler, WINDOW,
                     parse(TreeConfig, [], preset("trees", f"{kind}.small")), progress=False)
