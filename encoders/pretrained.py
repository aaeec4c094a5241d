"""Pretrain once: a checkpoint that was made from the very same ingredients is used again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from configs.errors import UserError
from data.labels import Labels
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from encoders.checkpoint import FORMAT, SETTINGS, Checkpoint, ingredients_digest
from encoders.config import EncoderConfig
from encoders.pretrain import pretrain
from encoders.training.config import PretrainConfig
from encoders.training.hardware import is_first, processes, wants_bf16

CURVES = "tensorboard"  # folder of a checkpoint


def checkpoint_key(market: Market, labels: Labels, split: Split, window: int, encoder_config: EncoderConfig,
                   config: PretrainConfig, device: torch.device | str = "cpu", seed: int = 0) -> str:
    """`<encoder>-<16 hex digits>` of everything the weights depend on; the folder's name in the cache.

    The device counts by the precision that it is given: what a GPU has learnt in bfloat16 is another checkpoint.
    """
    bf16 = wants_bf16(config.precision, torch.device(device))
    key = ingredients_digest(market, labels, split, FORMAT, window, encoder_config, config, bf16, seed)
    return f"{encoder_config.name}-{key}"


def pretrained(market: Market, labels: Labels, split: Split, scaler: Scaler, window: int,
               encoder_config: EncoderConfig, config: PretrainConfig, cache: Path,
               device: torch.device | str = "cpu", log_dir: Path | None = None, seed: int = 0,
               progress: bool = True) -> Checkpoint:
    """The fitting checkpoint in `cache`, or a new one that is saved there; a training that was killed goes on.

    Of several runs that train the same checkpoint at once, the first keeps a state to go on from.
    """
    folder = cache / checkpoint_key(market, labels, split, window, encoder_config, config, device, seed)
    state = folder.with_name(f"{folder.name}.training")
    with sole(folder) as alone:
        checkpoint = stored(folder, market, scaler, window)
        found = checkpoint is not None
        started = time.perf_counter()
        if checkpoint is None:
            checkpoint = pretrain(market, labels, split, scaler, window, encoder_config, config, device, log_dir, seed,
                                  progress, state if alone else None)
            if is_first():
                checkpoint.save(folder)
        if is_first():
            if log_dir is not None:
                keep_curves(*((folder / CURVES, log_dir) if found else (log_dir, folder / CURVES)))
            if progress:
                how = f"found in {folder}" if found else f"trained in {time.perf_counter() - started:.0f} s"
                others = f" by {processes()} processes" if processes() > 1 and not found else ""
                print(f"{encoder_config.name}, seed {seed}: {how}{others}", file=sys.stderr)
        if alone and is_first():
            shutil.rmtree(state, ignore_errors=True)
    return checkpoint


def keep_curves(source: Path, target: Path) -> None:
    """What TensorBoard shows of a training stays with the checkpoint, and comes with it into every run."""
    if source.exists():
        shutil.copytree(source, target, dirs_exist_ok=True)


def stored(folder: Path, market: Market, scaler: Scaler, window: int) -> Checkpoint | None:
    """The checkpoint of `folder` if there is one that can be used."""
    if not (folder / SETTINGS).exists():
        return None
    try:
        checkpoint = Checkpoint.load(folder)
        checkpoint.check_fits(market, scaler, window)
        return checkpoint
    except UserError as error:  # a cache is no more than a shortcut
        print(f"pretraining {folder.name.partition('-')[0]} anew, for what the cache holds is of no use: {error}",
              file=sys.stderr)
        return None


@contextlib.contextmanager
def sole(folder: Path) -> Iterator[bool]:
    """Whether `folder` is this process's alone for the while; processes that train together have it together."""
    if processes() > 1:
        yield True
        return
    lock = folder.with_name(f"{folder.name}.lock")
    with contextlib.ExitStack() as held:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(lock.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = os.path.samestat(lock.stat(), os.fstat(file.fileno()))  # not one that its holder has just deleted
        except OSError:  # taken, or nothing can be written or locked there
            alone = False
        if alone:
            held.callback(lock.unlink)
        yield alone
