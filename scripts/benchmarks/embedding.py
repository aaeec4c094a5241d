"""A whole market through frozen encoders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.timing import WINDOW, Work, show, side_by_side

ROWS, WIDE = 60_000, 77  # of the market that is embedded


def embedding_part(rounds: int, threads: int) -> None:
    """A whole market of 60,000 rows through frozen small encoders, windows and streams."""
    import torch

    from configs.loader import parse, preset
    from data.market import Market
    from data.scaling import Scaler
    from encoders.base import make_encoder
    from encoders.checkpoint import Checkpoint, TrainedSpan
    from encoders.config import EncoderConfig
    from encoders.embed import embed
    from encoders.forecast import LEVELS
    from encoders.model import ForecastModel
    from encoders.scale import TargetScale

    torch.set_num_threads(threads)
    columns = tuple(f"f{i}" for i in range(WIDE))
    market = replace(Market.flat(ROWS), columns=columns,
                     features=np.random.default_rng(0).normal(size=(ROWS, 1, WIDE)).astype(np.float32))
    scaler, scale = Scaler(columns, np.zeros(WIDE), np.ones(WIDE), 8.0), TargetScale(1.0, 1.0)

    def embedding(config: EncoderConfig, context: str) -> Work:
        weights = ForecastModel.build(WIDE, config, scale).state_dict()
        checkpoint = Checkpoint(config, columns, scaler, WINDOW, 24, LEVELS, scale, TrainedSpan(0, 1, "", ""), "",
                                market.assets, weights, context=context)

        def work() -> int:
            embed(checkpoint, market)
            return ROWS

        return work

    lines = {}
    for name in ("transformer", "lstm", "gru", "attention_lstm", "mamba"):
        config = parse(EncoderConfig, [], preset("encoder", f"{name}.small"))
        lines[f"{name}, windows"] = embedding(config, "window")
        if make_encoder(WIDE, config).stateful:
            lines[f"{name}, stream"] = embedding(config, "stream")
    found = side_by_side(lines, min(rounds, 3))
    show(f"rows of a market embedded, small presets, {ROWS:,} rows, windows of {WINDOW} x {WIDE}, {threads} torch "
         "thread(s)", found)
    print("  seconds: " + ", ".join(f"{each.name} {ROWS / each.rate:.1f}" for each in found))
