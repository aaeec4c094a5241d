"""The weights that a model itself gives: to the hours of a window, and to the features of an hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from encoders.base import kept
from encoders.explain.estimates import Estimate, falling, means
from encoders.explain.subject import Subject

ATTENTION, GRADIENTS = "attention", "gradients"


@dataclass(frozen=True, eq=False)
class Kept:
    """Weights as the model kept them; None where it keeps none."""

    hours: np.ndarray | None  # (K, W) mean over assets, oldest first
    columns: np.ndarray | None  # (K, F) mean over assets and hours
    by_hour: np.ndarray | None  # (W, F) mean over decisions and assets


@dataclass(frozen=True)
class Hour:
    age: int  # bars before the decision
    weight: Estimate  # clear if it is not an equal share


@dataclass(frozen=True)
class Hours:
    source: str  # ATTENTION, or GRADIENTS where the model keeps no weights
    equal: float
    hours: tuple[Hour, ...]  # the bar of the decision first

    @property
    def largest(self) -> tuple[Hour, ...]:
        """Those of the largest weight first."""
        return falling(self.hours, weight_of)


@dataclass(frozen=True)
class Weighed:
    name: str
    group: str
    weight: Estimate  # clear if it is not an equal share
    equal: float


@dataclass(frozen=True)
class Selection:
    """How much of each bar goes to which features, for models that choose among them."""

    groups: tuple[Weighed, ...]  # largest first
    columns: tuple[Weighed, ...]
    hours: dict[str, list[float]]  # weight of each group at each age, the bar of the decision first


@torch.no_grad()
def kept_weights(subject: Subject) -> Kept:
    """Of the calls that encode the subject's windows."""
    hours, columns, by_hour = [], [], []
    for _, x in subject.batches():
        batch, assets = x.shape[:2]
        subject.model.encode(x)
        weights = kept(subject.model.encoder, "hour_weights")  # (B * N, W)
        if weights is not None:
            hours.append(weights.unflatten(0, (batch, assets)).mean(dim=1).double().cpu().numpy())
        weights = kept(subject.model.encoder, "variable_weights")  # (B * N, W, F)
        if weights is not None:
            columns.append(weights.mean(dim=1).unflatten(0, (batch, assets)).mean(dim=1).double().cpu().numpy())
            by_hour.append(weights.double().sum(dim=0).cpu().numpy() / assets)
    return Kept(np.concatenate(hours) if hours else None, np.concatenate(columns) if columns else None,
                np.sum(by_hour, axis=0) / len(subject.rows) if by_hour else None)


def hours_of(subject: Subject, weights: np.ndarray, source: str) -> Hours:
    """From weights (K, W) of each decision's hours, oldest first."""
    equal = 1 / weights.shape[1]
    estimates = means(weights[:, ::-1], subject.bootstrap, nothing=equal)
    return Hours(source, equal, tuple(Hour(age, estimate) for age, estimate in enumerate(estimates)))


def shares(sizes: np.ndarray) -> np.ndarray:
    """(K, W) sizes as shares of each row's sum; a row of nothing but zeros stays as it is.

    >>> shares(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    total = sizes.sum(axis=1, keepdims=True)
    return np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)


def selection_of(subject: Subject, columns: np.ndarray, by_hour: np.ndarray) -> Selection:
    """From the mean weights (K, F) of each decision and (W, F) of each hour."""
    width = columns.shape[1]
    together = np.stack([columns[:, at].sum(axis=1) for at in subject.groups.values()], axis=1)  # (K, G)
    equal = np.array([len(at) / width for at in subject.groups.values()])
    groups = [Weighed(name, name, *rest) for name, *rest in
              zip(subject.groups, means(together, subject.bootstrap, nothing=equal), equal.tolist())]
    each = [Weighed(name, group, estimate, 1 / width) for (name, group), estimate in
            zip(subject.group_of.items(), means(columns, subject.bootstrap, nothing=1 / width))]
    hours = {name: by_hour[::-1, at].sum(axis=1).tolist() for name, at in subject.groups.items()}
    return Selection(falling(groups, weight_of), falling(each, weight_of), hours)


def weight_of(one: Hour | Weighed) -> Estimate:
    return one.weight
