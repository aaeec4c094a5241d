"""Pretraining: training rows teach, validation rows say when to stop, test rows are never touched.

`pretrain` reads from top to bottom; what a setting switches on is a small part in `encoders/training/`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from configs.errors import UserError
from data.labels import Labels
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from encoders.batches import LabelTable, Windows, labelled_rows, spread_rows
from encoders.checkpoint import Checkpoint, TrainedSpan
from encoders.config import EncoderConfig
from encoders.forecast import LEVELS
from encoders.losses import ForecastLoss
from encoders.model import ForecastModel
from encoders.scale import TargetScale
from encoders.training.averaging import Average
from encoders.training.config import PretrainConfig
from encoders.training.exam import Exam
from encoders.training.feeds import Batch, Feed, StreamFeed, WindowFeed
from encoders.training.hardware import (
    Ranks,
    compiled,
    fitted_batch,
    local_device,
    own_randomness,
    threads,
    wants_bf16,
)
from encoders.training.masked import warm_start
from encoders.training.monitor import Monitor
from encoders.training.objective import Objective, hurt
from encoders.training.schedules import between, calmest, momentum, rate, set_dropout, set_rate, stage_share, stages_end
from encoders.training.state import MASKED, Progress, batch_begun_with, load_training, save_training


def pretrain(market: Market, labels: Labels, split: Split, scaler: Scaler, window: int, encoder_config: EncoderConfig,
             config: PretrainConfig, device: torch.device | str = "cpu", log_dir: Path | None = None, seed: int = 0,
             progress: bool = True, state: Path | None = None) -> Checkpoint:
    """The weights with the lowest validation loss. The same seed gives the same weights, bit for bit on a CPU.

    With a `state` folder, each pass is saved there when it is done: started again with the same arguments, a training
    that was killed goes on from the last whole pass and ends with the weights it would have had. Whoever stores the
    checkpoint deletes the folder then.
    """
    device = local_device(torch.device(device))
    if config.input_dropout is not None:
        encoder_config = replace(encoder_config, input_dropout=config.input_dropout)
    train_rows = labelled_rows(market, labels, window, split.train)
    valid_rows = spread_rows(labelled_rows(market, labels, window, split.valid), config.rows_per_epoch)
    scale = TargetScale.fit(market, labels, train_rows)
    windows, targets = Windows(market, window, device), LabelTable(market, labels, scale, device)

    with Ranks.joined(device) as ranks, own_randomness(device, seed), threads(config.threads):
        model = ForecastModel.build(len(market.columns), encoder_config, scale, assets=len(market.assets))
        model.encoder.prepare(market, train_rows)
        model.heads.start_at(targets(train_rows))
        loss = ForecastLoss(config.label_smoothing, config.focal)
        objective = Objective(model, loss, wants_bf16(config.precision, device), config.context == "stream").to(device)
        feed = make_feed(objective, market, windows, targets, train_rows, window, config, device, ranks)
        begun, warmed = (batch_begun_with(folder) for folder in (state, state / MASKED)) if state else (0, 0)
        if config.context == "window":
            begun = begun or warmed
        batch = ranks.least(begun or config.at_once or fitted_batch(objective, feed, train_rows, device))
        exam = Exam(objective, feed, windows, targets, market, valid_rows, batch)
        optimiser = make_optimiser(objective, config)
        average = Average(model, config.average)
        learner = ranks.spread(compiled(objective, device) if config.compile else objective)

        resumed = state and load_training(state, objective, average, optimiser)
        if resumed:
            done, best_weights = resumed
            if progress and ranks.first:
                print(f"{encoder_config.name}: going on after pass {done.epoch} of {config.epochs}", file=sys.stderr)
        else:
            if config.masked_epochs:
                many = batch if config.context == "window" else config.batch
                warm_start(model.encoder, windows, train_rows, config, many, seed, ranks, progress, state)
                average.restart()
            base = ranks.agreed(exam(model))  # the heads still say the base rates
            done, best_weights = Progress(batch, base=base, best=base), average.copy()

        all_teach = stages_end(config.curriculum, config.epochs)
        with Monitor(log_dir if ranks.first else None, done.epoch) as monitor:
            bar = tqdm(range(done.epoch + 1, config.epochs + 1), desc=f"pretrain {encoder_config.name}", unit="epoch",
                       initial=done.epoch, total=config.epochs, disable=None if progress and ranks.first else True)
            for epoch in bar:
                if done.epoch - max(done.best_epoch, all_teach) >= config.patience:
                    break
                if config.dropout:
                    set_dropout(model.encoder, between(config.dropout, epoch, config.epochs))
                started = time.perf_counter()
                rows = calmest(labels, train_rows, stage_share(config.curriculum, epoch, config.epochs))
                batches = list(feed.passes(rows, reseed(seed, epoch, ranks.rank), batch))
                train = learn(learner, feed, batches, optimiser, average, config, epoch, ranks)
                seconds = time.perf_counter() - started
                with average.in_place():
                    found = ranks.agreed(exam(model))
                done.epoch = epoch
                if found["loss"] < done.best["loss"]:
                    done.best, done.best_epoch, best_weights = found, epoch, average.copy()
                monitor.epoch(epoch, train, found, optimiser.param_groups[0]["lr"],
                              sum(int(each.teaches.sum()) for each in batches) / seconds)
                bar.set_postfix(valid=f"{found['loss']:.4f}", best=f"{done.best['loss']:.4f}",
                                base=f"{done.base['loss']:.4f}")
                if state and ranks.first:
                    save_training(state, done, objective, average, optimiser, best_weights)
            model.load_state_dict(best_weights)
            monitor.pictures(model, exam, done.best_epoch)

    start, stop, _ = split.train.indices(len(market))
    return Checkpoint(
        encoder=encoder_config, columns=market.columns, scaler=scaler, window=window, reach=labels.reach,
        levels=LEVELS, scale=scale,
        trained=TrainedSpan(start, stop, str(market.time[start]), str(market.time[stop - 1])),
        market=market.fingerprint, assets=market.assets, context=config.context, weights=best_weights,
        scores={**done.best, **{f"base_{name}": score for name, score in done.base.items()},
                "epoch": done.best_epoch},
    )


def make_feed(objective: Objective, market: Market, windows: Windows, targets: LabelTable, rows: np.ndarray,
              window: int, config: PretrainConfig, device: torch.device, ranks: Ranks) -> Feed:
    if config.context == "window":
        return WindowFeed(windows, targets, rows, config.rows_per_epoch)
    if not objective.model.encoder.stateful:
        raise UserError(f"pretrain.context stream needs an encoder that carries a state, and "
                        f"{type(objective.model.encoder).__name__} reads windows: leave context at window")
    if config.tbptt * config.carried < window:
        raise UserError(f"a stream of {config.carried} chunks of {config.tbptt} bars is shorter than the window of "
                        f"{window} that warms it up: raise pretrain.tbptt or pretrain.carried")
    if ranks.world > 1:
        raise UserError("pretrain.context stream trains on one device: start it without torchrun")
    return StreamFeed(market, targets, rows, window, config.tbptt, config.carried, device)


def make_optimiser(module: nn.Module, config: PretrainConfig) -> torch.optim.AdamW:
    # decay pulls matrices to zero; gains, biases, decay rates and log variances have no reason to be there
    matrices = [p for p in module.parameters() if p.dim() >= 2]
    others = [p for p in module.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": config.weight_decay},
                              {"params": others, "weight_decay": 0.0}], lr=config.lr, fused=True)


def learn(learner: nn.Module, feed: Feed, batches: list[Batch], optimiser: torch.optim.Optimizer, average: Average,
          config: PretrainConfig, epoch: int, ranks: Ranks) -> dict[str, float]:
    """One pass; the mean losses and gradient norms of its steps."""
    learner.train()
    total: dict[str, Tensor] = {}
    state, taught = None, 0
    for index, batch in enumerate(batches):
        x, truth = feed.inputs(ranks.share(batch))
        if batch.begins:
            state = None
        if not batch.teaches.any():  # the first bars of a stream only warm the state up
            with torch.no_grad():
                state = learner(x, truth, state)[2]
            continue
        if config.adversarial:
            loss, parts, _ = learner(hurt(learner, x, truth, state, config.adversarial), truth, state)
            check_finite(loss, parts, f"pass {epoch}, batch {index}")
            (loss / 2 / config.accumulate).backward()
        loss, parts, state = learner(x, truth, state)
        check_finite(loss, parts, f"pass {epoch}, batch {index}")
        (loss / (2 if config.adversarial else 1) / config.accumulate).backward()
        taught += 1
        found = {name: value.detach() for name, value in parts.items()}
        found |= {"objective": loss.detach(), "loss": sum(found.values(), torch.zeros(()).to(loss))}
        if taught % config.accumulate == 0 or index == len(batches) - 1:
            share = rate(config.schedule, (epoch - 1 + index / len(batches)) / config.epochs, config.warmup)
            set_rate(optimiser, config.lr, share, momentum(config.schedule, share))
            found["gradient"] = nn.utils.clip_grad_norm_(learner.parameters(), config.clip).detach()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            average.update()
        for name, value in found.items():
            total[name] = total.get(name, torch.zeros_like(value)) + value
    steps = -(-taught // config.accumulate)
    return {name: float(value) / (steps if name == "gradient" else taught) for name, value in total.items()}


def check_finite(loss: Tensor, parts: dict[str, Tensor], where: str) -> None:
    if not torch.isfinite(loss):
        bad = [name for name, value in parts.items() if not torch.isfinite(value)] or ["weighted sum"]
        raise UserError(f"pretraining stopped in {where}: the {' and '.join(bad)} loss is {loss.item()}; lower "
                        "--pretrain.lr or look for extreme features in the data report")


def reseed(seed: int, epoch: int, rank: int) -> np.random.Generator:
    """The randomness of one pass, which needs nothing of those before it: rows from the generator, dropout by torch."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0]))
    return np.random.default_rng((seed, epoch))
