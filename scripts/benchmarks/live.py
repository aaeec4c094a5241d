"""How long one live decision takes: from a bar's features to the fused forecast of five nets, and of trees beside."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.live_ensemble import DECISIONS, FEATURES, HISTORY, NETS, TREES, fresh_ensemble
from benchmarks.timing import WINDOW

TAIL = 721  # bars that a batch would have to look at for one row: those of the longest trailing variance


def live_part(rounds: int, threads: int) -> None:
    """2,000 decisions in a row, whatever the rounds, beside a batch over the last bars; the fusion follows outcomes."""
    import torch

    torch.set_num_threads(threads)
    streamed = dict.fromkeys(("lstm", "gru", "mamba"), "stream")
    for title, contexts, trees in (("windows", {}, ()), ("lstm, gru and mamba streamed", streamed, ()),
                                   (f"lstm, gru and mamba streamed, with {' and '.join(TREES)}", streamed, TREES)):
        ensemble, market = fresh_ensemble(contexts, trees)
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
