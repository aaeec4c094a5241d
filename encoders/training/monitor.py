"""What TensorBoard shows of a pretraining: curves of every pass, and pictures of the model that is kept."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch

from encoders.base import kept
from encoders.forecast import LEVELS
from encoders.model import ForecastModel
from encoders.plots import attention_map, reliability
from encoders.training.exam import Exam

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SHOWN = 48  # windows whose attention is drawn


class Monitor:
    """Writes into `folder`, or nowhere without one. Passes after `done` replace what an earlier try wrote of them."""

    def __init__(self, folder: Path | None, done: int) -> None:
        self.writer: SummaryWriter | None = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # a second of import that only logging needs

            self.writer = SummaryWriter(str(folder), purge_step=done + 1)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        if self.writer is not None:
            self.writer.close()

    def epoch(self, epoch: int, train: dict[str, float], valid: dict[str, float], lr: float, speed: float) -> None:
        if self.writer is None:
            return
        named = {f"train/{name}": value for name, value in train.items()}
        named |= {f"valid/{name}": value for name, value in valid.items()}
        for name, value in {**named, "lr": lr, "windows_per_second": speed}.items():
            self.writer.add_scalar(name, value, epoch)

    def pictures(self, model: ForecastModel, exam: Exam, epoch: int) -> None:
        """How often what was said came true on the validation rows, and which hours counted."""
        if self.writer is None:
            return
        said, direction, quantiles, forward = [], [], [], []
        for outputs, truth in exam.answers(model):
            known = truth.known
            said.append(torch.softmax(outputs.direction, -1)[known].cpu().numpy())
            direction.append(truth.direction[known].cpu().numpy())
            quantiles.append(outputs.quantiles[known].cpu().numpy())
            forward.append(truth.forward[known].cpu().numpy())
        covered = (np.concatenate(forward)[:, None] <= np.concatenate(quantiles)).mean(axis=0)
        self.writer.add_figure("valid/calibration", reliability(
            np.concatenate(said), np.concatenate(direction), dict(zip(LEVELS, covered.tolist()))), epoch)
        rows = exam.rows[np.linspace(0, len(exam.rows) - 1, min(SHOWN, len(exam.rows))).astype(int)]
        with torch.no_grad():
            model.encode(exam.windows(rows))
        weights = kept(model.encoder, "hour_weights")
        if weights is not None:
            first = weights.reshape(len(rows), -1, weights.shape[-1])[:, 0]  # (B * N, W): the first asset's
            self.writer.add_figure("valid/attention", attention_map(first.cpu().numpy(), exam.market.time[rows]), epoch)
