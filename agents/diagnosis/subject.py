"""Who is diagnosed, and on what: a bundle's policy, the validation rows, and nothing after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from agents.algos.recipe import Task, recipe_of
from agents.bundle import Bundle, spans_of
from agents.diagnosis.config import DiagnosisConfig
from agents.diagnosis.record import in_order
from agents.diagnosis.walk import Ground
from agents.policy import Policy
from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from data.dataset import DataConfig, Dataset
from data.features import FEATURES
from data.features.base import Feature
from data.market import Market
from data.simulator.known import make_known
from encoders.explain.subject import OTHER, groups_of
from encoders.scale import DAYS
from envs.episodes import EpisodeConfig
from envs.observations import account_names

FEWEST = 100  # decisions that a diagnosis needs
SAME = 0.999  # share of decisions that a shorter past may not change


@dataclass(frozen=True, eq=False)
class Subject:
    """All that the views of an agent have in common."""

    name: str
    ground: Ground
    policy_of: Callable[[Market], Policy]  # the same policy, looking at a market whose features are other ones
    account: tuple[str, ...]  # numbers of the account that it sees
    groups: dict[str, np.ndarray]  # numbers of the market's columns, by group
    config: DiagnosisConfig
    bootstrap: BootstrapConfig
    law: str = ""  # of a known market
    states: Market | None = None  # the known market of the same rows, its states unscaled
    stays_out: bool = False  # it is in cash whatever its policy says, which is asked all the same

    @cached_property
    def policy(self) -> Policy:
        return self.policy_of(self.ground.market)

    @classmethod
    def of(cls, bundle: Bundle, dataset: Dataset, data: DataConfig, config: DiagnosisConfig,
           bootstrap: BootstrapConfig, features: Iterable[Feature] = FEATURES, device: str = "cpu",
           cache: Path | None = None) -> Subject:
        """A bundle on the validation rows of the dataset that taught it; `features` say which group a column is of."""
        whole, valid = dataset.market, dataset.split.valid
        check_fits(bundle, dataset)
        ground = Ground(whole, valid, bundle.window, bundle.env.judged)
        first = enough_past(bundle, ground, device, cache)
        market = whole.slice(slice(first, valid.stop))
        ground = replace(ground, market=market, rows=slice(valid.start - first, valid.stop - first))
        states = None
        if data.source == "known":
            known = make_known(data.known.market, data.known.bars, data.known.seed).market
            states = known.slice(slice(first, valid.stop))

        def policy_of(seen: Market) -> Policy:
            return bundle.policy(seen, device, cache if seen is market else None)

        recipe = recipe_of(bundle.algo, Task(bundle.agent, bundle.env, 1, market.assets))
        return cls(bundle.name, ground, policy_of, bundle.agent.account if recipe.sees_account else ("weight",),
                   columns_by_group(market, features), config, bootstrap,
                   data.known.market if data.source == "known" else "", states, bundle.stays_out)

    def numbers(self, name: str) -> np.ndarray:
        """Places of one number of the account, of every asset that has it."""
        names = account_names(self.ground.market.assets)
        return np.flatnonzero([whole.split(":")[0] == name for whole in names])


def check_fits(bundle: Bundle, dataset: Dataset) -> None:
    """Refuse data other than those that the bundle was trained on: its validation rows would not be these."""
    bundle.check_fits(dataset.market)
    if bundle.market != dataset.market.fingerprint:
        raise UserError(f"{bundle.name} was trained on market {bundle.market}, and the run's config.yaml now gives "
                        f"{dataset.market.fingerprint}: the config or the data were changed since; train again")
    if bundle.trained != spans_of(dataset.split):
        raise UserError(f"{bundle.name} was chosen on rows {bundle.trained['valid']}, and the run's config.yaml now "
                        f"says {spans_of(dataset.split)['valid']}: the config was changed since; train again")
    count = len(dataset.market.decision_rows(bundle.window + bundle.env.observation_delay, dataset.split.valid))
    if count < FEWEST:
        raise UserError(f"{count} decisions on the validation rows are too few to diagnose an agent on, at least "
                        f"{FEWEST} are needed: give more data or a larger data.split.valid")


def enough_past(bundle: Bundle, ground: Ground, device: str, cache: Path | None) -> int:
    """First row of the market that has to be kept for the policy to decide as it does on the whole of it.

    A shuffled market is read by the encoder from its first row on, so what is needless is left out. A month and the
    bars that regimes are measured on are enough for windows; a carried stream or an ensemble that learns from its own
    record may need everything, and whether the past is enough is seen by trying.
    """
    market, env = ground.market, ground.env
    month = int(np.ceil(market.bars_per_year / 365 * max(DAYS)))
    needed = max(month, EpisodeConfig().regime_bars, EpisodeConfig().band_bars, env.risk.volatility_bars)
    first = max(ground.rows.start - needed - 2 * (ground.window + env.observation_delay), 0)
    if first == 0:
        return 0
    rows = ground.engine().decisions[:, 0] - env.observation_delay
    account = np.zeros((len(rows), len(account_names(market.assets))), np.float32)
    whole, part = (in_order(policy, {"row": (rows - start).astype(np.int32)[:, None], "account": account})
                   for start, policy in ((0, bundle.policy(market, device, cache)),
                                         (first, bundle.policy(market.slice(slice(first, ground.rows.stop)), device,
                                                           cache))))
    same = np.isclose(whole, part, rtol=0, atol=1e-3).reshape(len(rows), -1).all(axis=1)
    return first if same.mean() >= SAME else 0


def columns_by_group(market: Market, features: Iterable[Feature]) -> dict[str, np.ndarray]:
    """Numbers of the columns by group of features; what no group has, such as a known market's state, by column."""
    found = groups_of(market.columns, features)
    alone = found.pop(OTHER, np.empty(0, np.int64))
    return {**found, **{market.columns[column]: np.array([column]) for column in alone}}
