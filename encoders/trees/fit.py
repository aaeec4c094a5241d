"""Growing the trees: training rows teach, validation rows say how many and how far to believe them."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from configs.errors import UserError
from configs.registry import lookup
from data.labels import Labels
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from encoders.batches import in_units, labelled_rows, spread_rows
from encoders.checkpoint import TrainedSpan, ingredients_digest
from encoders.forecast import LEVELS
from encoders.scale import TargetScale
from encoders.trees import TREES
from encoders.trees.config import TreeConfig
from encoders.trees.model import TreeForecaster
from encoders.trees.part import Part
from encoders.trees.scores import scores
from encoders.trees.store import FORMAT, SETTINGS, load_trees, save_trees
from encoders.trees.summaries import summaries
from encoders.trees.targets import TARGETS, Examples


def fit_trees(market: Market, labels: Labels, split: Split, scaler: Scaler, window: int, config: TreeConfig,
              seed: int = 0, progress: bool = True) -> TreeForecaster:
    """Trees of the kind that `config` names. The same seed gives the same trees, to the bit.

    >>> from data.dataset import DataConfig, KnownConfig, load_dataset
    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000)))
    >>> trees = fit_trees(data.market, data.labels, data.split, data.scaler, 8, TreeConfig(trees=5), progress=False)
    >>> trees.forecast(data.market).known.sum() == len(data.market.decision_rows(8))
    np.True_
    """
    kind = lookup("kind of trees", config.name, TREES)
    every = labelled_rows(market, labels, window, split.train)
    train_rows = spread_rows(every, config.rows, np.random.default_rng(seed))
    valid_rows = spread_rows(labelled_rows(market, labels, window, split.valid), config.rows)
    scale = TargetScale.fit(market, labels, every)
    values, _ = summaries(market, window)  # (T, N, S)
    targets = in_units(market, labels, scale)
    train, valid = (Examples.of(values, targets, rows) for rows in (train_rows, valid_rows))
    least = config.least_rows(labels.reach, len(market.assets), len(train_rows) / len(every))
    grow = kind.grower(train, valid, config, least, seed)
    bar = tqdm(TARGETS, desc=config.name, unit="target", disable=None if progress else True)
    parts = tuple(Part.fit(target, grow, train, valid, config.cores) for target in bar)
    start, stop, _ = split.train.indices(len(market))
    found = TreeForecaster(
        config=config, columns=market.columns, scaler=scaler, window=window, reach=labels.reach, levels=LEVELS,
        scale=scale, trained=TrainedSpan(start, stop, str(market.time[start]), str(market.time[stop - 1])),
        market=market.fingerprint, parts=parts,
    )
    base = replace(found, parts=tuple(Part(target, target.start(target.labels(train)), 0.0, None)
                                      for target in TARGETS))
    losses, base_losses = (scores(each.in_units(valid.x), valid) for each in (found, base))
    return replace(found, scores={**losses, **{f"base_{name}": loss for name, loss in base_losses.items()}})


def trees_key(market: Market, labels: Labels, split: Split, window: int, config: TreeConfig, seed: int = 0) -> str:
    """`<kind>-<16 hex digits>` of everything the trees depend on; the folder's name in the cache."""
    return f"{config.name}-{ingredients_digest(market, labels, split, FORMAT, window, config, seed)}"


def fitted_trees(market: Market, labels: Labels, split: Split, scaler: Scaler, window: int, config: TreeConfig,
                 cache: Path, seed: int = 0, progress: bool = True) -> TreeForecaster:
    """The fitting trees in `cache`, or new ones that are saved there."""
    folder = cache / trees_key(market, labels, split, window, config, seed)
    if (folder / SETTINGS).exists():
        try:
            found = load_trees(folder)
            found.check_fits(market, scaler, window)
            if progress:
                print(f"{config.name}, seed {seed}: found in {folder}", file=sys.stderr)
            return found
        except UserError as error:  # a cache is no more than a shortcut
            print(f"growing {config.name} anew: {error}", file=sys.stderr)
    started = time.perf_counter()
    found = fit_trees(market, labels, split, scaler, window, config, seed, progress)
    save_trees(found, folder)
    if progress:
        print(f"{config.name}, seed {seed}: grown in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found
