"""Integrated gradients (Sundararajan, Taly and Yan 2017, section 3): what each number of a window adds to the forecast.

The baseline is a window of zeros, on the scale of the features the middle of the training rows. The attributions of a
window add up to what the model says of it less what it says of the baseline: completeness, proposition 1, is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from encoders.explain.estimates import Estimate, falling, means
from encoders.explain.subject import Subject

LEAN, VOLATILITY = "lean", "volatility"
OUTPUTS = (LEAN, VOLATILITY)
AT_BASELINE = 1e-6
"""how far along the path the baseline's output is taken: a graph takes an asset of nothing but zeros for absent, so at
the baseline itself, and only there, it is another model"""


@dataclass(frozen=True)
class Part:
    """What a group, a column or an hour adds, as a mean over decisions and assets."""

    name: str
    group: str
    size: Estimate  # absolute; clear if above the error of the sum
    push: Estimate  # with its sign: up or down on the whole
    assets: dict[str, Estimate]  # absolute, by asset, where there are several


@dataclass(frozen=True)
class Completeness:
    """Of decisions, as means over their assets: a graph mixes those, so that only their sum is complete."""

    difference: float  # mean absolute, between what is said of a window and of the baseline
    error: float  # mean absolute, of the sum of attributions against that difference
    largest: float  # error of any decision


@dataclass(frozen=True)
class Attribution:
    completeness: Completeness
    groups: tuple[Part, ...]  # largest first
    columns: tuple[Part, ...]
    hours: tuple[Part, ...]  # by age, the bar of the decision first; named by it


@dataclass(frozen=True, eq=False)
class Gradients:
    outputs: dict[str, Attribution]  # by OUTPUTS
    hours: dict[str, np.ndarray]  # (K, W) absolute, the mean over assets, oldest first


def integrated_gradients(outputs: Callable[[Tensor], Tensor], x: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Attributions (O, *x.shape) and differences (O, B) of `outputs`, which makes (B, O) of the shape of `x` (B, ...).

    Gradients along the path from zero to `x` are summed by Gauss and Legendre's rule, which for smooth networks needs
    a tenth of the points that equal steps do.

    >>> found, difference = integrated_gradients(lambda x: x[:, :1] * x[:, 1:], torch.tensor([[2.0, 3.0]]), nodes=4)
    >>> found.round(decimals=4).tolist(), difference.round(decimals=4).tolist()
    ([[[3.0, 3.0]]], [[6.0]])
    """
    places, weights = np.polynomial.legendre.leggauss(nodes)  # on [-1, 1]
    slopes: list[Tensor] = []
    # cuDNN's recurrent layers have no backward pass in eval mode
    with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
        for place, weight in zip((places + 1) / 2, weights / 2):
            at = (x.detach() * place).requires_grad_()
            said = outputs(at).sum(dim=0)  # (O,)
            found = [torch.autograd.grad(one, at, retain_graph=True)[0].double() * weight for one in said]
            slopes = [slope + more for slope, more in zip(slopes, found)] if slopes else found
    with torch.no_grad():
        difference = outputs(x) - outputs(x * AT_BASELINE)
    return torch.stack(slopes).to(x.dtype) * x, difference.T


def gradients_of(subject: Subject) -> Gradients:
    """Of every output, by group, column and hour."""
    rows, assets = len(subject.rows), len(subject.market.assets)
    by_column = np.empty((len(OUTPUTS), rows, assets, len(subject.market.columns)))
    by_hour = np.empty((len(OUTPUTS), rows, assets, subject.checkpoint.window))
    differences = np.empty((len(OUTPUTS), rows))
    for part, x in subject.batches():
        said = partial(subject.said, expected=subject.expected[part])
        found, difference = integrated_gradients(said, x, subject.config.nodes)  # (O, B, N, W, F), (O, B)
        by_column[:, part] = found.sum(dim=3, dtype=torch.float64).cpu().numpy()
        by_hour[:, part] = found.sum(dim=4, dtype=torch.float64).cpu().numpy()
        differences[:, part] = difference.cpu().numpy()
    return Gradients({output: attribution(subject, by_column[o], by_hour[o], differences[o])
                      for o, output in enumerate(OUTPUTS)},
                     {output: np.abs(by_hour[o]).mean(axis=1) for o, output in enumerate(OUTPUTS)})


def attribution(subject: Subject, by_column: np.ndarray, by_hour: np.ndarray, difference: np.ndarray) -> Attribution:
    """From signed attributions (K, N, F) and (K, N, W), and differences (K,) summed over the assets."""
    assets = by_column.shape[1]
    error = np.abs(by_column.sum(axis=(1, 2)) - difference) / assets  # (K,)
    by_group = np.stack([by_column[..., at].sum(axis=2) for at in subject.groups.values()], axis=2)  # (K, N, G)
    least = float(error.mean())
    names = list(subject.group_of)
    ages = [str(age) for age in range(by_hour.shape[2])]
    return Attribution(
        Completeness(float(np.abs(difference).mean()) / assets, least, float(error.max())),
        falling(parts(subject, by_group, list(subject.groups), list(subject.groups), least), lambda part: part.size),
        falling(parts(subject, by_column, names, list(subject.group_of.values()), least), lambda part: part.size),
        tuple(parts(subject, by_hour[..., ::-1], ages, ["hours"] * len(ages), least)))


def parts(subject: Subject, signed: np.ndarray, names: Sequence[str], groups: Sequence[str], least: float
          ) -> list[Part]:
    """One for each of the last axis of `signed` (K, N, M); an absolute value below `least` is an error of the sum."""
    size = means(np.abs(signed).mean(axis=1), subject.bootstrap, nothing=least)
    push = means(signed.mean(axis=1), subject.bootstrap)
    assets = subject.market.assets if len(subject.market.assets) > 1 else ()
    each = [means(np.abs(signed[:, n]), subject.bootstrap, nothing=least) for n in range(len(assets))]
    return [Part(name, groups[m], size[m], push[m], {asset: own[m] for asset, own in zip(assets, each)})
            for m, name in enumerate(names)]
