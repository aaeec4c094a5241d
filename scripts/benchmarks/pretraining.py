"""Pretraining against the loop that everybody writes: rows per second, and time to the same validation loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from benchmarks.timing import WINDOW, Work, show, side_by_side

Context = Literal["window", "stream"]
NETS = ("lstm", "attention_lstm", "transformer", "mamba")
BATCH, PASS = 128, 2048
BARS, PASSES = 20_000, 8  # of the simulated market, and through it until the losses are compared


@dataclass
class Lesson:
    """One way to train one net: `once` goes through the rows and says how many labels taught."""

    once: Callable[[int], int]
    exam: Callable[[], dict[str, float]]

    def work(self) -> Work:
        return lambda: self.once(1)


def pretraining_part(rounds: int, threads: int) -> None:
    """Windows and streams against a DataLoader whose dataset copies one window at a time."""
    import torch

    from data.dataset import DataConfig, load_dataset
    from data.simulator.config import SimulatorConfig

    torch.set_num_threads(threads)
    dataset = load_dataset(DataConfig(window=WINDOW, simulator=SimulatorConfig(bars=BARS)))
    for name in NETS:
        show(f"labelled rows of {name}, small preset, windows of {WINDOW} x {len(dataset.market.columns)}, {threads} "
             "torch thread(s); a stream reads each bar once and is another way to train",
             side_by_side({way: lesson.work() for way, lesson in lessons(dataset, name).items()}, min(rounds, 3)))
    race(dataset, min(rounds, 3))


def lessons(dataset, name: str, seed: int = 0) -> dict[str, Lesson]:
    from configs.loader import parse, preset
    from encoders.base import make_encoder
    from encoders.config import EncoderConfig

    config = parse(EncoderConfig, [], preset("encoder", f"{name}.small"))
    stateful = make_encoder(1, config).stateful
    found = {"a DataLoader that copies windows": plain(dataset, config, seed),
             "windows, ours": ours(dataset, config, "window", seed)}
    if stateful:
        found["stream, ours"] = ours(dataset, config, "stream", seed)
    return found


def begun(dataset, config, context: Context, seed: int):
    """A net that says the base rates, with its loss, feed and exam: what `pretrain` begins with."""
    import torch

    from encoders.batches import LabelTable, Windows, labelled_rows
    from encoders.losses import ForecastLoss
    from encoders.model import ForecastModel
    from encoders.pretrain import make_feed
    from encoders.scale import TargetScale
    from encoders.training.config import PretrainConfig
    from encoders.training.exam import Exam
    from encoders.training.hardware import Ranks
    from encoders.training.objective import Objective

    torch.manual_seed(seed)
    device, settings = torch.device("cpu"), PretrainConfig(context=context, rows_per_epoch=PASS, epochs=PASSES,
                                                              schedule="constant")  # as the plain loop's
    market, labels = dataset.market, dataset.labels
    rows, unseen = (labelled_rows(market, labels, WINDOW, span) for span in (dataset.split.train, dataset.split.valid))
    scale = TargetScale.fit(market, labels, rows)
    windows, targets = Windows(market, WINDOW, device), LabelTable(market, labels, scale, device)
    model = ForecastModel.build(len(market.columns), config, scale)
    model.heads.start_at(targets(rows))
    objective = Objective(model, ForecastLoss(), bf16=False, stream=context == "stream")
    feed = make_feed(objective, market, windows, targets, rows, WINDOW, settings, device, Ranks())
    return objective, feed, Exam(objective, feed, windows, targets, market, unseen, BATCH), rows, settings


def plain(dataset, config, seed: int) -> Lesson:
    """One window copied at a time, collated, and AdamW as it comes."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, RandomSampler

    from encoders.batches import in_units
    from encoders.losses import Targets

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


def ours(dataset, config, context: Context, seed: int) -> Lesson:
    """A pass as `pretrain` makes it."""
    from encoders.pretrain import learn, make_optimiser, reseed
    from encoders.training.averaging import Average
    from encoders.training.hardware import Ranks

    objective, feed, exam, rows, settings = begun(dataset, config, context, seed)
    settings = replace(settings, batch=BATCH if context == "window" else 8)  # a stream has so many pieces side by side
    optimiser, average = make_optimiser(objective, settings), Average(objective.model, 0.0)

    def once(number: int) -> int:
        batches = list(feed.passes(rows, reseed(seed, number, 0), settings.batch))
        learn(objective, feed, batches, optimiser, average, settings, number, Ranks())
        return sum(int(batch.teaches.sum()) for batch in batches)

    return Lesson(once, lambda: exam(objective.model))


def race(dataset, seeds: int) -> None:
    """Seconds of training, exams aside, until the validation loss is one that all ways come to."""
    runs = [{way: path_of(lesson) for way, lesson in lessons(dataset, "lstm", seed).items()} for seed in range(seeds)]
    print(f"\nlstm on a simulated market of {BARS:,} bars, {PASSES} passes, {seeds} seed(s): seconds to the best "
          "validation loss of the way whose best is worst; medians")
    first = 0.0
    for way in runs[0]:
        needed, best = [], []
        for run in runs:
            goal = max(min(loss for _, loss in path) for path in run.values())
            needed.append(next(seconds for seconds, loss in run[way] if loss <= goal))
            best.append(min(loss for _, loss in run[way]))
        first = first or median(needed)
        print(f"  {way:<40} {median(needed):8.1f} s  ({min(needed):.1f} to {max(needed):.1f})  "
              f"{first / median(needed):6.1f}x  best loss {median(best):.4f} ({min(best):.4f} to {max(best):.4f})")


def path_of(lesson: Lesson) -> list[tuple[float, float]]:
    """Seconds so far and validation loss after each pass."""
    seconds, path = 0.0, []
    for number in range(1, PASSES + 1):
        started = time.perf_counter()
        lesson.once(number)
        seconds += time.perf_counter() - started
        path.append((seconds, lesson.exam()["loss"]))
    return path
