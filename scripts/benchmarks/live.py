"""How long one live decision takes: from a bar's features to the fused forecast of five nets."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from benchmarks.timing import WINDOW, walk_market

FEATURES, HISTORY, DECISIONS = 77, 3000, 2000
NETS = ("lstm", "gru", "attention_lstm", "transformer", "mamba")
TAIL = 721  # bars that a batch would have to look at for one row: those of the longest trailing variance


def live_part(rounds: int, threads: int) -> None:
    """2,000 decisions in a row, whatever the rounds, beside a batch over the last bars; the fusion follows outcomes."""
    import torch

    torch.set_num_threads(threads)
    streamed = dict.fromkeys(("lstm", "gru", "mamba"), "stream")
    for title, contexts in (("windows", {}), ("lstm, gru and mamba streamed", streamed)):
        ensemble, market = fresh_ensemble(contexts)
        print(f"\none decision of {', '.join(NETS)}, small presets, {title}, {WINDOW} x {FEATURES}, {threads} torch "
              f"thread(s), {DECISIONS:,} decisions; ratios of the medians to the first line")
        baseline = None
        for name, seconds in {"a batch over the last bars (20 decisions)": batches(ensemble, market, 20),
                              "eager calls of the layers": decisions(ensemble, market, eager=True),
                              "as it is": decisions(ensemble, market)}.items():
            baseline = baseline or float(np.median(seconds))
            p50, p99, p999 = np.percentile(np.array(seconds) * 1e3, [50, 99, 99.9])
            print(f"  {name:<44} p50 {p50:7.2f}  p99 {p99:7.2f}  p99.9 {p999:7.2f} ms  "
                  f"{baseline / np.median(seconds):6.1f}x", flush=True)


def fresh_ensemble(contexts: dict[str, str]):
    """Nets that have learnt nothing, fused by everything that follows outcomes, and a random walk to decide on."""
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
    market = replace(walk_market().slice(slice(0, rows)), columns=tuple(f"f{i}" for i in range(FEATURES)),
                     features=rng.normal(size=(rows, 1, FEATURES)).astype(np.float32))
    scaler = Scaler(market.columns, np.zeros(FEATURES), np.ones(FEATURES), 8.0)
    config, scale = LabelConfig(), TargetScale(5.0, 1.0, (6, 24, 168, 720), (0.1, 0.3, 0.3, 0.3), 2.5e-5)
    members = {}
    for name in NETS:
        size = parse(EncoderConfig, [], preset("encoder", f"{name}.small"))
        weights = ForecastModel.build(FEATURES, size, scale).state_dict()
        members[name] = Nets((Checkpoint(size, market.columns, scaler, WINDOW, config.reach, LEVELS, scale,
                                         TrainedSpan(0, 1, "", ""), "", market.assets, weights,
                                         context=contexts.get(name, "window")),))
    past = market.slice(slice(0, HISTORY))
    labels = make_labels(past.prices, past.segments, config)
    said = {name: member.forecast(past) for name, member in members.items()}
    fusion = fit_fusion(said, labels, np.arange(500, HISTORY - config.reach),
                        FusionConfig(combiner="recent", direction="isotonic", volatility="adaptive",
                                     interval="adaptive"))
    return Ensemble(members, fusion, config, str(market.time[500])), market


def decisions(ensemble, market, eager: bool = False) -> list[float]:
    """Seconds of each."""
    from encoders.live import nets
    from encoders.live.ensemble import LiveEnsemble

    tracing, nets.traced = nets.traced, (lambda module, *example: module) if eager else nets.traced
    live = LiveEnsemble(ensemble, market.slice(slice(0, HISTORY)))
    nets.traced = tracing
    found = []
    for row in range(HISTORY, HISTORY + DECISIONS):
        started = time.perf_counter()
        live.after(market.time[row], market.features[row], market.prices[row])
        found.append(time.perf_counter() - started)
    return found


def batches(ensemble, market, count: int) -> list[float]:
    """Seconds of each; what followed the market would have forgotten all but the tail."""
    found = []
    for row in range(HISTORY, HISTORY + count):
        started = time.perf_counter()
        ensemble.forecast(market.slice(slice(row + 1 - TAIL, row + 1)))
        found.append(time.perf_counter() - started)
    return found
