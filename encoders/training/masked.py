"""A warm start without labels: bars are hidden from the window, and the embedding has to tell what was there.

As in masked language models (Devlin et al. 2019, section 3.1), but whole runs of bars are hidden, since a bar is nearly
told by its neighbours, and one embedding has to tell them all, since one embedding is what agents will see.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from encoders.base import Encoder
from encoders.batches import Windows, spread_rows
from encoders.layers import sines_of_age
from encoders.training.averaging import Average
from encoders.training.config import PretrainConfig
from encoders.training.hardware import Ranks
from encoders.training.schedules import rate
from encoders.training.state import MASKED, Progress, load_training, save_training

RUN = 4  # bars hidden together
PLACES = 32  # numbers that say how old a bar is


class Reconstruction(nn.Module):
    """The encoder, and a small decoder from an embedding and an age to the features of that bar."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Sequential(nn.Linear(encoder.dim + PLACES, 2 * encoder.dim), nn.GELU(),
                                     nn.Linear(2 * encoder.dim, encoder.features))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared error over the bars where `hidden` (B, W) is true; x is (B, N, W, F)."""
        embedding = self.encoder.encode(x.masked_fill(hidden[:, None, :, None], 0.0))  # (B, N, D)
        batch, assets, window, _ = x.shape
        places = sines_of_age(window, PLACES, x.device, embedding.dtype)  # (W, P)
        asked = torch.cat([embedding.unsqueeze(2).expand(-1, -1, window, -1),
                           places.expand(batch, assets, -1, -1)], dim=-1)  # (B, N, W, D + P)
        return (self.decoder(asked) - x).square().mean(dim=(1, 3))[hidden].mean()


def hidden_bars(count: int, window: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """(B, W) bool: runs of `RUN` bars at random places, about `share` of the window and at least one run.

    >>> hidden_bars(3, 8, 0.5, np.random.default_rng(0)).sum(axis=1).tolist()
    [4, 4, 4]
    """
    runs = max(round(share * window / RUN), 1)
    blocks = -(-window // RUN)
    chosen = rng.random((count, blocks)).argsort(axis=1) < min(runs, blocks)
    return np.repeat(chosen, RUN, axis=1)[:, -window:]


def warm_start(encoder: Encoder, windows: Windows, rows: np.ndarray, config: PretrainConfig, batch: int, seed: int,
               ranks: Ranks, progress: bool, state: Path | None) -> list[float]:
    """Train `encoder` in place on windows of the training `rows`; the mean error of each pass.

    A kill costs one pass here too.
    """
    device = windows.table.device
    task = Reconstruction(encoder).to(device)
    learner = ranks.spread(task)
    optimiser = torch.optim.AdamW(task.parameters(), lr=config.lr, weight_decay=0.0)
    average, folder = Average(task, 0.0), state and state / MASKED
    resumed = folder and load_training(folder, task, average, optimiser)
    done = resumed[0] if resumed else Progress(batch=batch)
    errors = []
    for epoch in tqdm(range(done.epoch + 1, config.masked_epochs + 1), desc="masked bars", unit="epoch",
                      disable=None if progress and ranks.first else True):
        torch.manual_seed(int(np.random.SeedSequence((seed, epoch, ranks.rank, 1)).generate_state(1)[0]))
        rng = np.random.default_rng((seed, epoch, 1))
        drawn = rng.permutation(spread_rows(rows, config.rows_per_epoch, rng))
        parts = np.array_split(drawn, -(-len(drawn) // batch))
        task.train()
        total = 0.0
        for index, part in enumerate(parts):
            for group in optimiser.param_groups:
                group["lr"] = config.lr * rate("cosine", (epoch - 1 + index / len(parts)) / config.masked_epochs,
                                               config.warmup)
            hidden = hidden_bars(len(part), len(windows.back), config.masked_share, rng)
            mine = slice(ranks.rank, None, ranks.world)
            error = learner(windows(part[mine]), torch.from_numpy(hidden[mine]).to(device))
            error.backward()
            nn.utils.clip_grad_norm_(task.parameters(), config.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)  # nothing is left to the first step with labels
            total += float(error.detach())
        errors.append(total / len(parts))
        done.epoch = epoch
        if folder and ranks.first:
            save_training(folder, done, task, average, optimiser, {})
    return errors
