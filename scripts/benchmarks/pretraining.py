"""Pretraining against the loop that everybody writes: rows per second, and time to the same validation loss."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.lessons import PASSES, Lesson, lessons
from benchmarks.timing import WINDOW, show, side_by_side

NETS = ("lstm", "attention_lstm", "transformer", "mamba")
BARS = 20_000  # of the simulated market


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
