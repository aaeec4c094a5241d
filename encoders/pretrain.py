"""Pretraining: training rows teach, validation rows say when to stop, test rows are never touched."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from configs.errors import UserError
from data.labels import Labels
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from encoders.batches import LabelTable, Windows, labelled_rows, spread_rows
from encoders.checkpoint import Checkpoint, TrainedSpan
from encoders.config import EncoderConfig, PretrainConfig
from encoders.forecast import LEVELS
from encoders.heads import TargetScale
from encoders.losses import ForecastLoss
from encoders.model import ForecastModel


def pretrain(market: Market, labels: Labels, split: Split, scaler: Scaler, window: int, encoder_config: EncoderConfig,
             config: PretrainConfig, device: torch.device | str = "cpu", log_dir: Path | None = None, seed: int = 0,
             progress: bool = True) -> Checkpoint:
    """The weights with the lowest validation loss. The same seed gives the same weights, bit for bit on a CPU."""
    device = torch.device(device)
    train_rows = labelled_rows(market, labels, window, split.train)
    valid_rows = spread_rows(labelled_rows(market, labels, window, split.valid), config.rows_per_epoch)
    scale = TargetScale.fit(labels, train_rows)
    windows, targets = Windows(market, window, device), LabelTable(labels, scale, device)

    with _own_randomness(device, seed), _threads(config.threads), _log(log_dir) as log:
        model = ForecastModel.build(len(market.columns), encoder_config, scale, assets=len(market.assets))
        model.encoder.prepare(market, train_rows)
        model.heads.start_at(labels.direction[train_rows], labels.forward[train_rows] / scale.forward,
                             labels.volatility[train_rows] / scale.volatility)
        model = model.to(device)
        loss = ForecastLoss(config.label_smoothing).to(device)
        optimiser = _optimiser(model, loss, config)
        rng = np.random.default_rng(seed)

        base = best = evaluate(model, loss, windows, targets, valid_rows)  # the heads still say the base rates
        best_weights, best_epoch = copy.deepcopy(model.state_dict()), 0
        per_epoch = math.ceil(len(spread_rows(train_rows, config.rows_per_epoch)) / config.batch)
        bar = tqdm(range(1, config.epochs + 1), desc=f"pretrain {encoder_config.name}", unit="epoch",
                   disable=None if progress else True)
        for epoch in bar:
            started = time.perf_counter()
            rows = rng.permutation(spread_rows(train_rows, config.rows_per_epoch, rng))
            model.train()
            total: dict[str, Tensor] = {}
            for index, part in enumerate(np.array_split(rows, per_epoch)):
                step = (epoch - 1) * per_epoch + index
                for group in optimiser.param_groups:
                    group["lr"] = config.lr * schedule(step, config.epochs * per_epoch, config.warmup)
                parts = _step(model, loss, optimiser, windows(part), targets(part), config.clip, step)
                total = {name: total.get(name, 0) + value.detach() for name, value in parts.items()}
            seconds = time.perf_counter() - started
            found = evaluate(model, loss, windows, targets, valid_rows)
            if found["loss"] < best["loss"]:
                best, best_epoch = found, epoch
                best_weights = copy.deepcopy(model.state_dict())
            for name, value in total.items():
                log(f"train/{name}", float(value) / per_epoch, epoch)
            for name, score in found.items():
                log(f"valid/{name}", score, epoch)
            log("lr", optimiser.param_groups[0]["lr"], epoch)
            log("windows_per_second", len(rows) / seconds, epoch)
            bar.set_postfix(valid=f"{found['loss']:.4f}", best=f"{best['loss']:.4f}", base=f"{base['loss']:.4f}")
            if epoch - best_epoch >= config.patience:
                break

    start, stop, _ = split.train.indices(len(market))
    return Checkpoint(
        encoder=encoder_config, columns=market.columns, scaler=scaler, window=window, reach=labels.reach,
        levels=LEVELS, scale=scale,
        trained=TrainedSpan(start, stop, str(market.time[start]), str(market.time[stop - 1])),
        market=market.fingerprint, assets=market.assets,
        weights={name: value.detach().cpu().contiguous() for name, value in best_weights.items()},
        scores={**best, **{f"base_{name}": score for name, score in base.items()}, "epoch": best_epoch},
    )


def schedule(step: int, steps: int, warmup: float, floor: float = 1e-4) -> float:
    """Share of the highest learning rate: a straight rise, then half a cosine down to `floor`.

    >>> [round(schedule(step, 100, 0.1), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rise = round(steps * warmup)
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(steps - rise, 1)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def evaluate(model: ForecastModel, loss: ForecastLoss, windows: Windows, targets: LabelTable, rows: np.ndarray,
             batch: int = 512) -> dict[str, float]:
    """Losses without smoothing or learned weights, their sum `loss`, and the accuracy of the direction."""
    model.eval()
    total: dict[str, float] = {"direction": 0.0, "quantiles": 0.0, "volatility": 0.0, "accuracy": 0.0}
    for part in np.split(rows, range(batch, len(rows), batch)):
        outputs, truth = model(windows(part)), targets(part)
        found = loss.parts(outputs, truth)
        found["accuracy"] = (outputs.direction.argmax(-1) == truth.direction).float().mean()
        for name, value in found.items():
            total[name] += float(value) * len(part) / len(rows)
    return {"loss": total["direction"] + total["quantiles"] + total["volatility"], **total}


def _step(model: ForecastModel, loss: ForecastLoss, optimiser: torch.optim.Optimizer, x: Tensor, truth,
          clip: float, step: int) -> dict[str, Tensor]:
    # bfloat16 has the range of float32, so no gradient scaling; on a CPU it is slower, and not the same to the bit
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=x.device.type == "cuda"):
        outputs = model(x)
    total, parts = loss(outputs, truth)
    if not torch.isfinite(total):
        bad = [name for name, value in parts.items() if not torch.isfinite(value)] or ["weighted sum"]
        raise UserError(f"pretraining stopped at step {step}: the {' and '.join(bad)} loss is {total.item()}; lower "
                        "--pretrain.lr or look for extreme features in the data report")
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    return {"loss": total, **parts}


def _optimiser(model: ForecastModel, loss: ForecastLoss, config: PretrainConfig) -> torch.optim.AdamW:
    # decay pulls matrices to zero; gains, biases, decay rates and log variances have no reason to be there
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2] + list(loss.parameters())
    return torch.optim.AdamW([{"params": matrices, "weight_decay": config.weight_decay},
                              {"params": others, "weight_decay": 0.0}], lr=config.lr)


@contextlib.contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Seeded inside, and the caller's random state as it was afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _log(folder: Path | None) -> Iterator:
    """A function (name, value, epoch) that writes to TensorBoard, or nowhere without a folder."""
    if folder is None:
        yield lambda *_: None
        return
    from torch.utils.tensorboard import SummaryWriter  # a second of import that only logging needs

    writer = SummaryWriter(str(folder))
    try:
        yield writer.add_scalar
    finally:
        writer.close()
