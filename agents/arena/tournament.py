"""Who meets: the agents, each supervised model's signal, their ensemble, and the baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agents.arena.report import ENSEMBLE, ORACLE, Report, compare, draw
from agents.arena.rollout import Contestant, Track, compete
from agents.bundle import Bundle, spans_of
from agents.strategies import STRATEGIES
from agents.strategies.oracle import positions_of, solve
from agents.strategies.signal import SignalPolicy, tuned
from agents.weights import digest
from configs.errors import UserError
from configs.registry import lookup
from data.bootstrap import BootstrapConfig
from data.dataset import DataConfig, Dataset
from data.market import Market
from data.simulator.known import make_known
from encoders.ensemble.ensemble import Ensemble
from encoders.forecast import Forecast
from envs.config import EnvConfig

SIMULATED = "This market is simulated, whatever its assets are called: nothing here is about a real one."
OPTIMISTIC = ("Orders fill at the very close that they were decided on (env.fill same_close): that is optimistic, for "
              "nobody can have that price.")


def said_by(forecasts: Mapping[str, Forecast], ensemble: Ensemble | None, market: Market) -> dict[str, Forecast]:
    """What each member forecasts, and their ensemble where there are several, by the name of who trades on it."""
    said = {f"{name} signal": forecast for name, forecast in forecasts.items()}
    if ensemble is not None and len(forecasts) > 1:
        said[ENSEMBLE] = ensemble.fuse(forecasts, market)
    return said


def supervised(said: Mapping[str, Forecast], dataset: Dataset, env: EnvConfig, window: int, sized: bool = False
               ) -> dict[str, Contestant]:
    """A signal of each forecast, thresholds (and how much is held, if `sized`) from the validation rows.

    The ensemble was fused on these rows too, by a few numbers out of thousands of labels: its thresholds may be a shade
    too bold. It is judged on the test rows like everybody.
    """
    return {name: Contestant(tuned(forecast, dataset.market, env, window, dataset.split.valid, sized),
                             kind="supervised")
            for name, forecast in said.items()}


def agents_of(bundles: Sequence[Bundle], dataset: Dataset, window: int, device: str, cache: Path | None
              ) -> dict[str, Contestant]:
    """Trained agents under names of their own; two of a kind are told apart by seed, then by number.

    Those that differ in their seed alone are a team; another run of a seed that is in it begins a second one.
    """
    found: dict[str, Contestant] = {}
    met: set[str] = set()
    seeds: Counter[tuple[str, int]] = Counter()  # runs of each kind and seed
    teams: dict[tuple[str, int], str] = {}  # by kind and number of the run
    for bundle in bundles:
        bundle.check_fits(dataset.market)
        if bundle.market != dataset.market.fingerprint:
            raise UserError(f"{bundle.name} was trained on market {bundle.market}, this one is "
                            f"{dataset.market.fingerprint}: compare agents of one market and one split only")
        spans = spans_of(dataset.split)
        if bundle.trained != spans or bundle.window != window:
            raise UserError(f"{bundle.name} was trained on rows {bundle.trained['train']} and chosen on "
                            f"{bundle.trained['valid']} with a window of {bundle.window}, but here these are "
                            f"{spans['train']}, {spans['valid']} and {window}: it may have seen the test rows")
        if (weights := digest(bundle.weights)) in met:
            raise UserError(f"{bundle.name} (seed {bundle.seed}) was given twice; give each run once")
        met.add(weights)
        candidates = (bundle.name, f"{bundle.name}, seed {bundle.seed}",
                      *(f"{bundle.name}, run {i}" for i in range(2, len(bundles) + 1)))
        name = next(candidate for candidate in candidates if candidate not in found)
        kind = kind_of(bundle)
        seeds[kind, bundle.seed] += 1
        named = (bundle.name, *(f"{bundle.name} ({i})" for i in range(2, len(bundles) + 1)))
        team = teams.setdefault((kind, seeds[kind, bundle.seed]), next(t for t in named if t not in teams.values()))
        found[name] = Contestant(bundle.trader(dataset.market, device, cache),
                                 bundle.env.actions(len(dataset.market.assets)), "rl", bundle.seed, team)
    return found


def kind_of(bundle: Bundle) -> str:
    """What two seeds of one agent have in common; each may have pretrained encoders of its own."""
    sight = bundle.sight
    return repr((bundle.algo, replace(bundle.agent, save_every=0.0), bundle.env, bundle.window, sight.name,
                 [(one.encoder, one.window, one.context) for one in sight.checkpoints.values()],
                 sorted(sight.ensemble.members) if sight.ensemble else []))


def baselines(market: Market) -> dict[str, Contestant]:
    return {name.replace("_", " "): Contestant(lookup("strategy", name, STRATEGIES)(market)) for name in STRATEGIES}


def best_possible(data: DataConfig, env: EnvConfig) -> dict[str, Contestant]:
    """The oracle, where the market's law is known: it sees the state as it is. It is the best where orders cost what a
    unit costs and nothing else, neither interest nor delay; under other rules it is no more than very good."""
    if data.source != "known":
        return {}
    known = data.known
    policy = solve(known.market, env.costs.per_unit, positions_of(env)).policy(
        make_known(known.market, known.bars, known.seed).market)
    return {ORACLE: Contestant(policy, kind=ORACLE)}


def everyone(bundles: Sequence[Bundle], said: Mapping[str, Forecast], dataset: Dataset, env: EnvConfig, window: int,
             device: str = "cpu", cache: Path | None = None, sized: bool = False) -> dict[str, Contestant]:
    """Agents in the order of their bundles, then signals, then baselines."""
    return {**agents_of(bundles, dataset, window, device, cache),
            **supervised(said, dataset, env, window, sized), **baselines(dataset.market)}


def elsewhere(contestants: Mapping[str, Contestant], bundles: Sequence[Bundle], ensemble: Ensemble | None,
              market: Market, device: str, cache: Path | None) -> dict[str, Contestant]:
    """The same contestants where the market goes on, or looks otherwise: nobody is trained, chosen or tuned anew.

    `bundles` are those of the agents among them, in their order.
    """
    asked = ensemble and ensemble.at(device, cache)
    said = said_by(asked.members_of(market), asked, market) if asked else {}
    agents, others = iter(bundles), baselines(market)

    def there(name: str, one: Contestant) -> Contestant:
        if one.kind == "rl":
            return replace(one, policy=next(agents).trader(market, device, cache))
        if isinstance(one.policy, SignalPolicy):
            return replace(one, policy=one.policy.reading(said[name]))
        return others.get(name, one)

    return {name: there(name, one) for name, one in contestants.items()}


def remarks_on(dataset: Dataset, env: EnvConfig) -> list[str]:
    """What a reader of any number has to know first."""
    return [*([SIMULATED] if dataset.truth is not None else []), *([OPTIMISTIC] if env.fill == "same_close" else [])]


def head_to_head(bundles: Sequence[Bundle], forecasts: Mapping[str, Forecast], ensemble: Ensemble | None,
                 dataset: Dataset, env: EnvConfig, window: int, bootstrap: BootstrapConfig, folder: Path,
                 device: str = "cpu", cache: Path | None = None) -> tuple[Report, list[Track]]:
    """Run everybody over the test rows once; table and picture are left in `folder`."""
    said = said_by(forecasts, ensemble, dataset.market)
    contestants = everyone(bundles, said, dataset, env, window, device, cache)
    tracks = compete(contestants, dataset.market, env, window, dataset.split.test)
    remarks = remarks_on(dataset, env)
    named = dict(zip(contestants, bundles, strict=False))  # agents come first
    if out := [name for name, bundle in named.items() if bundle.stays_out]:
        remarks.append("In cash, for nothing on the validation rows spoke for trading (agent.stay_out): "
                       f"{'; '.join(out)}.")
    if let_in := [name for name, bundle in named.items() if bundle.halves and not bundle.stays_out]:
        remarks.append("Let in by a second look, on halves of the training rows (agent.second_look): "
                       f"{'; '.join(let_in)}.")
    report = compare(tracks, bootstrap, " ".join(remarks))
    report.save(folder)
    draw(tracks, folder / "equity.png")
    return report, tracks
