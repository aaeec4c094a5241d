"""The loop that everybody writes: a dataset that copies one window at a time, a DataLoader, and AdamW as it comes."""

from __future__ import annotations

from benchmarks.lessons import BATCH, PASS, Lesson, begun
from benchmarks.timing import WINDOW


def copied(dataset, config, seed: int) -> Lesson:
    """One window copied at a time, collated, and AdamW as it comes."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, RandomSampler

    from encoders.batches import in_units
    from encoders.heads import Targets

    objective, _, exam, rows, settings = begun(dataset, config, "window", seed)
    features = dataset.market.features
    direction, forward, volatility = in_units(dataset.market, dataset.labels, objective.model.scale)

    class Copies(Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int):
            row = rows[index]
            window = torch.tensor(features[row - WINDOW + 1 : row + 1]).transpose(0, 1)  # (N, W, F)
            return window, torch.tensor(direction[row]), torch.tensor(forward[row]), torch.tensor(volatility[row])

    optimiser = torch.optim.AdamW(objective.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    copies = Copies()
    drawn = RandomSampler(copies, num_samples=PASS)  # shuffled, a pass as long as ours
    loader: DataLoader = DataLoader(copies, batch_size=BATCH, sampler=drawn, num_workers=0)

    def once(number: int) -> int:
        objective.train()
        for x, *truth in loader:
            optimiser.zero_grad()
            objective(x, Targets(*truth))[0].backward()
            nn.utils.clip_grad_norm_(objective.parameters(), settings.clip)
            optimiser.step()
        return PASS

    return Lesson(once, lambda: exam(objective.model))
