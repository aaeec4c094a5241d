"""Pretrain once: a checkpoint that was made from the very same ingredients is used again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

from configs.errors import UserError
from data.labels import Labels
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from encoders.checkpoint import FORMAT, SETTINGS, Checkpoint, digest, settings_digest
from encoders.config import EncoderConfig
from encoders.pretrain import pretrain
from encoders.training.config import PretrainConfig
from encoders.training.hardware import is_first


def checkpoint_key(market: Market, labels: Labels, split: Split, window: int, encoder_config: EncoderConfig,
                   config: PretrainConfig, seed: int = 0) -> str:
    """`<encoder>-<16 hex digits>` of everything the weights depend on; the folder's name in the cache."""
    spans = [(span.start, span.stop) for span in (split.train, split.valid)]  # the valid rows choose the epoch
    labelled = digest(*(part.tobytes() for part in (labels.direction, labels.forward, labels.volatility)))
    key = settings_digest(FORMAT, market.fingerprint, spans, labelled, labels.reach, window, encoder_config, config,
                          seed)
    return f"{encoder_config.name}-{key}"


def pretrained(market: Market, labels: Labels, split: Split, scaler: Scaler, window: int,
               encoder_config: EncoderConfig, config: PretrainConfig, cache: Path,
               device: torch.device | str = "cpu", log_dir: Path | None = None, seed: int = 0,
               progress: bool = True) -> Checkpoint:
    """The fitting checkpoint in `cache`, or a new one that is saved there; a training that was killed goes on."""
    folder = cache / checkpoint_key(market, labels, split, window, encoder_config, config, seed)
    if (folder / SETTINGS).exists():
        try:
            checkpoint = Checkpoint.load(folder)
            checkpoint.check_fits(market, scaler, window)
            return checkpoint
        except UserError as error:  # a cache is no more than a shortcut
            print(f"pretraining {encoder_config.name} anew: {error}", file=sys.stderr)
    state = folder.with_name(f"{folder.name}.training")
    checkpoint = pretrain(market, labels, split, scaler, window, encoder_config, config, device, log_dir, seed,
                          progress, state)
    if is_first():
        checkpoint.save(folder)
        shutil.rmtree(state, ignore_errors=True)
    return checkpoint
