"""Encoders trained and embedding, windows gathered against windows copied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.timing import FEATURES, WINDOW, Work, show, side_by_side, walk_market


def encoders_part(rounds: int, threads: int) -> None:
    """Windows embedded and trained on, gathered on the device, against a DataLoader over copied windows."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from configs.loader import parse, preset
    from encoders import ENCODERS
    from encoders.base import make_encoder
    from encoders.batches import Windows
    from encoders.config import EncoderConfig

    torch.set_num_threads(threads)
    market, count, batch = walk_market(), 4096, 256
    rows = np.arange(WINDOW, WINDOW + count)
    windows = Windows(market, WINDOW, "cpu")
    copied = DataLoader(TensorDataset(windows(rows).clone()), batch_size=batch)

    def embedding(model, batches: Callable) -> Work:
        def work() -> int:
            with torch.no_grad():
                for x in batches():
                    model.encode(x)
            return count

        return work

    def training(model, batches: Callable) -> Work:
        optimiser = torch.optim.AdamW(model.parameters())

        def work() -> int:
            for x in batches():
                optimiser.zero_grad()
                model.encode(x).square().mean().backward()
                optimiser.step()
            return count

        return work

    def gathered():
        return (windows(part) for part in np.split(rows, range(batch, count, batch)))

    def loaded():
        return (x for (x,) in copied)

    for name in ENCODERS:
        model = make_encoder(FEATURES, parse(EncoderConfig, [], preset("encoder", f"{name}.small")))
        show(f"{name}, small preset, windows of {WINDOW} x {FEATURES}, {threads} torch thread(s)", side_by_side({
            "trained on, DataLoader over copied windows": training(model.train(), loaded),
            "trained on, gathered from the resident market": training(model.train(), gathered),
            "embedded, gathered": embedding(model.eval(), gathered),
        }, min(rounds, 3)))
