"""The causal test of what decides: pretrained encoders, an env's observations, agents, signals, the arena's money.

`data/causality.py` changes what is known later; here stands what is watched meanwhile. Each output is made on a span of
the market by the very code that trains and trades, so a leak there is a leak here. What rests on the scaler may know of
all training rows, and is stamped so. Trees, and what joins the members of an ensemble, are not watched here: their own
tests change the future under them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy

from agents.algos.recipe import Task, make_policy
from agents.arena.rollout import Contestant, compete
from agents.bundle import Bundle, spans_of
from agents.experiment import ExperimentConfig
from agents.feature_table import publish
from agents.sight import Sight, table_for
from agents.strategies.baselines import momentum
from agents.strategies.signal import SignalPolicy, Thresholds, score_of, tuned
from agents.weights import portable
from configs.errors import UserError
from data.causality import KINDS, Audit, Output, audit_dataset, choose_cuts
from data.dataset import DataConfig, Dataset, build, finish, load_raw, tabulate
from data.leaks import answers, early_stamps, overlaps
from data.market import Market
from data.sources.base import RawData
from encoders.base import Encoder
from encoders.batches import labelled_rows
from encoders.checkpoint import Checkpoint, TrainedSpan
from encoders.config import EncoderConfig
from encoders.embed import Embeddings, embed
from encoders.ensemble.ensemble import Ensemble
from encoders.ensemble.fusion import fit_fusion
from encoders.ensemble.nets import Nets
from encoders.forecast import LEVELS
from encoders.model import ForecastModel
from encoders.scale import TargetScale
from envs.config import EnvConfig
from envs.engine import Engine
from envs.observations import account_names, observation_space
from envs.trading_env import TradingEnv

NEAR = 64  # rows on either side of a cut, beside two windows, on which everything that decides is watched
TYPICAL = 0.01  # a log return
UNFITTED = TargetScale(1.0, 1.0, bars=(6, 24), weights=(0.5, 0.5), usual=TYPICAL**2)
"""of targets: a rule of expected volatility like those that are fitted, so that the rule is watched too"""
Maker = Callable[[Market], Contestant]


@dataclass(frozen=True, eq=False)
class Watched:
    """What is looked at while the data change. All weights are fixed: causality does not depend on training."""

    env: EnvConfig
    window: int
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    bundles: Mapping[str, Bundle] = field(default_factory=dict)

    def outputs(self, data: Dataset, rows: slice) -> Iterator[Output]:
        """Of the decisions in `rows`; nothing where too few windows fit."""
        part = Part(data, rows)
        if len(part.market.decision_rows(self.window)) < 3:
            return
        yield from shown(part, self.env, self.window)
        seen = {}
        for name, checkpoint in self.checkpoints.items():
            # one batch, so that a row that can see its neighbours in the batch sees later ones too
            seen[name] = embed(checkpoint, part.market, batch=len(part.market))
            yield from embedded(part, name, checkpoint, seen[name])
            yield from chosen(part, name, seen[name], self.env, self.window)
        everyone = {"momentum": lambda market: Contestant(momentum(market))}
        everyone |= {f"the {name} signal": signal(found, self.env) for name, found in seen.items()}
        for name, bundle in self.bundles.items():
            policy = bundle.policy(part.market)
            yield from thought(part, name, policy, self.window)
            everyone[name] = agent(policy, bundle)
        yield from acted(part, everyone, self.env, self.window)


class Part:
    """A span of a dataset's market as a market of its own, and what its rows are called in the whole."""

    def __init__(self, data: Dataset, rows: slice) -> None:
        self.market = data.market.slice(rows)
        self.first = rows.indices(len(data.market))[0]
        self.fitted = data.split.train.stop - 1  # the last row that the scaler knows of
        self.valid = data.split.valid

    def output(self, name: str, values: np.ndarray, rows: np.ndarray, columns: tuple[str, ...] = (),
               scaled: bool = True) -> Output:
        """`values` of `rows` of the part."""
        at = rows + self.first
        return Output(name, values, np.maximum(at, self.fitted) if scaled else at, columns, at)


def shown(part: Part, config: EnvConfig, window: int) -> Iterator[Output]:
    """A `TradingEnv` walked to its end by a fixed policy: windows, account, rewards, equity."""
    env = TradingEnv(part.market, window, config=config, random_start=False)
    act = fixed_actions(env.action_space, part)
    seen, _ = env.reset(seed=0)
    rows, windows, accounts, money = [int(env.engine.rows[0])], [seen["market"]], [seen["account"]], [[0.0, 0.0]]
    ended = False
    while not ended:
        seen, reward, terminated, truncated, info = env.step(act[rows[-1]])
        ended = terminated or truncated
        rows.append(int(env.engine.rows[0]))
        windows.append(seen["market"])
        accounts.append(seen["account"])
        money.append([float(reward), info["equity"]])
    names = account_names(part.market.assets)
    assert names[-1] == "remaining"  # left out: how many bars are on file is no secret of the market
    at = np.array(rows)
    yield part.output("window", np.array(windows), at, part.market.columns)
    yield part.output("account", np.array(accounts)[:, :-1], at, names[:-1], scaled=False)
    yield part.output("money", np.array(money), at, ("reward", "equity"), scaled=False)


def fixed_actions(space: spaces.Space, part: Part, seed: int = 0) -> np.ndarray:
    """One action a row, drawn from the row's own number in the whole market, whatever its length."""
    rows = len(part.market)
    if isinstance(space, spaces.Box):
        draws = row_draws(part.first, rows, int(np.prod(space.shape)), seed)
        return (space.low.ravel() + draws * (space.high - space.low).ravel()).reshape(rows, *space.shape)
    levels = space.nvec if isinstance(space, spaces.MultiDiscrete) else np.array([space.n])  # type: ignore[attr-defined]
    drawn = (row_draws(part.first, rows, len(levels), seed) * levels).astype(np.int64)
    return drawn if isinstance(space, spaces.MultiDiscrete) else drawn[:, 0]


def row_draws(first: int, rows: int, width: int, seed: int) -> np.ndarray:
    """(rows, width) in [0, 1). Drawn from the market's first row on: the same row, the same number."""
    return np.random.default_rng(seed).random((first + rows, width))[first:]


def embedded(part: Part, name: str, checkpoint: Checkpoint, seen: Embeddings) -> Iterator[Output]:
    """What an encoder makes of windows, and of a carried stream where it can carry one."""
    rows = part.market.decision_rows(checkpoint.window)
    yield part.output(f"embeddings of {name}", seen.values[rows], rows)
    yield part.output(f"forecasts of {name}", seen.forecast.quantiles[rows], rows)
    encoder = checkpoint.model().encoder
    if encoder.stateful:
        inside = np.concatenate([np.arange(start, stop) for start, stop in part.market.segments])
        values = np.concatenate([streamed(encoder, part.market, start, stop) for start, stop in part.market.segments])
        yield part.output(f"stream of {name}", values, inside)


@torch.no_grad()
def streamed(encoder: Encoder, market: Market, start: int, stop: int) -> np.ndarray:
    """(rows, N, D) of one run without a gap."""
    bars = torch.from_numpy(np.ascontiguousarray(market.features[start:stop].swapaxes(0, 1)))  # (N, T, F)
    hidden, _ = encoder.stream(bars)
    return hidden.swapaxes(0, 1).numpy()


def chosen(part: Part, name: str, seen: Embeddings, config: EnvConfig, window: int) -> Iterator[Output]:
    """The thresholds that a signal chooses on those validation rows that lie in the part."""
    first = max(part.valid.start - part.first, 0)
    rows = slice(first, min(part.valid.stop - part.first, len(part.market)))
    if rows.stop - first < 2 or len(part.market.decision_rows(window, rows)) < 3:
        return
    found = tuned(seen.forecast, part.market, config, window, rows).thresholds
    yield Output(f"thresholds of {name}", np.stack([found.enter, found.exit]).reshape(1, -1),
                 max(rows.stop - 1 + part.first, part.fitted), ("enter", "exit"))


def signal(seen: Embeddings, config: EnvConfig) -> Maker:
    """Trades the sign of a forecast; thresholds would be one more thing that rests on later rows."""
    at_once = Thresholds(np.zeros((1, 1)), np.zeros((1, 1)), *config.reach)
    return lambda market: Contestant(SignalPolicy(score_of(seen.forecast), at_once))


def agent(policy: BasePolicy, bundle: Bundle) -> Maker:
    return lambda market: Contestant(policy, bundle.env.actions(len(market.assets)))


def observed(part: Part, rows: np.ndarray) -> dict[str, np.ndarray]:
    """All cash on every row."""
    account = np.zeros((len(rows), len(account_names(part.market.assets))), np.float32)
    return {"row": rows.astype(np.int32)[:, None], "account": account}


@torch.no_grad()
def thought(part: Part, name: str, policy: BasePolicy, window: int) -> Iterator[Output]:
    """What an agent's actions rest on, for untrained ones may well do the same on every row."""
    rows = part.market.decision_rows(window)
    seen, _ = policy.obs_to_tensor(observed(part, rows))
    if isinstance(policy, DQNPolicy):
        yield part.output(f"values of {name}", policy.q_net(seen).numpy(), rows)
    elif isinstance(policy, ActorCriticPolicy):
        yield part.output(f"values of {name}", policy.predict_values(seen).numpy(), rows)


def acted(part: Part, everyone: Mapping[str, Maker], config: EnvConfig, window: int) -> Iterator[Output]:
    """What everybody does on every decision row with nothing in hand, and what becomes of their money."""
    rows = part.market.decision_rows(window)
    contestants = {name: make(part.market) for name, make in everyone.items()}
    for name, contestant in contestants.items():
        action, _ = contestant.policy.predict(observed(part, rows), deterministic=True)
        yield part.output(f"actions of {name}", np.asarray(action), rows)
    for track in compete(contestants, part.market, config, window, slice(0, len(part.market))):
        yield part.output(f"equity of {track.contestant}", track.equity, rows)
        yield part.output(f"weights of {track.contestant}", track.weights, rows[1:])


def untrained(data: Dataset, config: EncoderConfig, window: int, seed: int = 0) -> Checkpoint:
    """An encoder with fresh random weights, as a checkpoint.

    >>> from data.dataset import load_dataset
    >>> from data.simulator.known import KnownConfig
    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_easy", bars=800), window=8))
    >>> embed(untrained(data, EncoderConfig("lstm", width=8), window=8), data.market).dim
    8
    """
    market, train = data.market, data.split.train
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = ForecastModel.build(len(market.columns), config, UNFITTED, assets=len(market.assets))
        model.encoder.prepare(market, market.decision_rows(window, train))
    span = TrainedSpan(train.start, train.stop, str(market.time[train.start]), str(market.time[train.stop - 1]))
    return Checkpoint(config, market.columns, data.scaler, window, data.labels.reach, LEVELS, UNFITTED, span,
                      market.fingerprint, market.assets, portable(model.state_dict()))


def newborn(data: Dataset, config: ExperimentConfig, seen: Sight | Checkpoint | None) -> Bundle:
    """An agent of the experiment with fresh random weights; its table is scaled on the last training rows."""
    sight, train, window = Sight.of(seen), data.split.train, config.data.window
    part = data.market.slice(slice(max(train.stop - 2 * (NEAR + window), 0), train.stop))
    table = table_for(part, sight, config.agent, "cpu", None, part.decision_rows(window))
    engine = Engine(part, config.env, 1, window)
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        policy = make_policy(config.algo, Task(config.agent, config.env, 1, part.assets), publish(table),
                             observation_space(engine, "row"), config.env.actions(len(part.assets)).space)
    return Bundle(config.algo, config.agent, config.env, window, data.scaler, table.scaler, spans_of(data.split),
                  data.market.fingerprint, data.market.assets, config.seed, portable(policy.state_dict()), sight)


def blended(data: Dataset, config: ExperimentConfig, checkpoints: Mapping[str, Checkpoint]) -> Ensemble:
    """The experiment's ensemble of untrained nets, fused on validation rows as the trained one is; without its trees,
    which cannot be had ungrown."""
    members = {name: Nets((checkpoints[name],)) for name in config.ensemble.members if name in checkpoints}
    if not members:
        raise UserError("an untrained ensemble of trees alone forecasts nothing: audit the trained agent with --bundle")
    forecasts = {name: net.forecast(data.market) for name, net in members.items()}
    rows = labelled_rows(data.market, data.labels, config.data.window, data.split.valid)
    fusion = fit_fusion(forecasts, data.labels, rows, config.ensemble.fusion)
    return Ensemble(members, fusion, config.data.labels, str(data.market.time[data.split.valid.start]))


def watched_in(config: ExperimentConfig, data: Dataset, bundle: Bundle | None = None) -> Watched:
    """The encoders and the agent of an experiment, untrained; or the trained ones of `bundle`."""
    window = config.data.window
    if bundle is not None:
        bundle.check_fits(data.market)
        if bundle.window != window:
            raise UserError(f"the bundle decides on windows of {bundle.window} bars, the data have {window}: set "
                            f"--data.window {bundle.window}")
        return Watched(bundle.env, window, bundle.sight.checkpoints, {bundle.name: bundle})
    checkpoints = {name: untrained(data, config.net_of(name), window, config.seed) for name in config.encoders}
    wanted = config.agent.extractor
    agent = newborn(data, config, Sight(checkpoints.get(config.encoder), tuple(checkpoints[n] for n in wanted.beside),
                                        blended(data, config, checkpoints) if wanted.ensemble else None))
    return Watched(config.env, window, checkpoints, {agent.name: agent})


def audit(raw: RawData, config: DataConfig, watched: Watched | None = None,
          cuts: int | Sequence[int | np.datetime64] = 4, kinds: Sequence[str] = KINDS, seed: int = 0) -> Audit:
    """What is wrong on its face, then the causal test where leaks show and at `cuts` random rows; or at given cuts."""
    table = tabulate(raw, config)
    data = finish(table, raw, config)
    on_its_face = (*early_stamps(raw), *overlaps(data.split, config.labels.reach, config.window), *answers(table, data))
    places = choose_cuts(data, cuts, seed) if isinstance(cuts, int) else cuts
    near = NEAR + 2 * config.window
    found = audit_dataset(raw, config, places, kinds, watched.outputs if watched else None, seed, near)
    return replace(found, on_its_face=on_its_face)


def audit_experiment(config: ExperimentConfig, bundle: Bundle | None = None, cuts: int = 4) -> Audit:
    """`audit` of an experiment's data with its encoders and agent, or those of a trained bundle."""
    torch.set_num_threads(1)  # sums over several threads are not the same to the bit
    raw = load_raw(config.data)
    return audit(raw, config.data, watched_in(config, build(raw, config.data), bundle), cuts)
