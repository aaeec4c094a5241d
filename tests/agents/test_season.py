"""A tournament's windows as one history, what is chosen before each of them, and what is found out about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from agents.arena.confidence import confidences
from agents.arena.findings import Findings, by_kind, find
from agents.arena.meeting import OWN, at_cost
from agents.arena.report import HOLD, ORACLE
from agents.arena.rollout import Track
from agents.arena.season import Season, camp, chained, whole
from agents.arena.statistics.luck import best_of, deflated
from agents.arena.tracks import save_tracks
from agents.arena.verdict import verdict
from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from envs.metrics import returns_of, sharpe

HOURS = 8760.0
BARS = 900  # of a window
WINDOWS = 3
BOOTSTRAP = BootstrapConfig(draws=400, block=24)
COSTS = (0.0, 10.0, 20.0)


def track_of(name: str, returns: np.ndarray, kind: str = "baseline", seed: int = 0, team: str = "", window: int = 1,
             capital: float = 100.0) -> Track:
    steps = len(returns)
    start = np.datetime64("2023-01-01", "us") + np.timedelta64((window - 1) * BARS, "h")
    time = start + np.arange(steps + 1).astype("timedelta64[h]")
    equity = capital * np.concatenate([[1.0], np.cumprod(1 + returns)])
    held = np.sign(returns)[:, None]
    return Track(name, kind, seed, slice(1_000 * window, 1_000 * window + steps + 1), time, equity, held,
                 np.abs(np.diff(held[:, 0], prepend=0.0)), np.full(steps, 0.01), HOURS, team, ("BTC",), window)


def season_of(drifts: dict[str, float], before: dict[str, list[float]] | None = None, seed: int = 0,
              noise: float = 0.004) -> Season:
    """Two agents of two seeds, two signals and holding, each with a mean return a bar; `before` are the growths of
    each window's validation rows, by default what is to come."""
    rng = np.random.default_rng(seed)
    tests, validations, rows = [], [], []
    for window in range(1, WINDOWS + 1):
        tests.append([])
        validations.append([])
        market = rng.normal(0, noise, BARS)
        for team, kind in (("ppo", "rl"), ("dqn", "rl"), ("tree signal", "supervised"), ("net signal", "supervised"),
                           (HOLD, "baseline")):
            for number in range(2 if kind == "rl" else 1):
                name = f"{team}, seed {number}" if number else team
                own = 0.5 * market + rng.normal(0, noise, BARS) + drifts.get(team, 0.0)
                who = (name, own, kind, number, team if kind == "rl" else "", window)
                tests[-1].append(track_of(*who))
                grown = before[team][window - 1] if before else drifts.get(team, 0.0)
                validations[-1].append(track_of(name, np.full(BARS, grown), *who[2:]))
                row = {"window": window, "age": 0, "contestant": name, "seed": number, "kind": kind, "team": who[4],
                       "bars": BARS, "traded": 0.1 * BARS}
                for bps in COSTS:  # a bar in ten is traded, so much is left at each cost
                    left = own - 0.1 * bps * 1e-4
                    rows.append({**row, "rule": at_cost(bps), "total_return": np.prod(1 + left) - 1})
                for age in range(window):  # what was taught before is worth a tenth less each window
                    made = np.prod(1 + own) * np.exp(-0.1 * age)
                    rows.append({**row, "rule": OWN, "age": age, "total_return": made - 1})
    time = np.concatenate([window[0].time[:-1] for window in tests])
    bull = np.arange(len(time)) % 200 < 100
    bars = pd.DataFrame({"time": time, "kind:bull": bull, "kind:bear": ~bull, "kind:unknown": False})
    forecasts = pd.DataFrame({"window": [], "forecaster": [], "down": [], "flat": [], "up": [], "came": []})
    record = {"trials": 12, "costs": list(COSTS), "unit": 0.0007, "remarks": ""}
    return Season(tests, validations, pd.DataFrame(rows), bars, forecasts, record)


def test_windows_joined_are_one_account():
    rng = np.random.default_rng(0)
    returns = rng.normal(0, 0.01, (3, 50))
    joined = chained([track_of("it", one, window=number + 1, capital=100.0 * (number + 1))
                      for number, one in enumerate(returns)])
    alone = track_of("it", returns.ravel())
    np.testing.assert_allclose(joined.equity, alone.equity, rtol=1e-12)
    np.testing.assert_allclose(returns_of(joined.equity), returns.ravel(), rtol=1e-9)
    assert len(joined.time) == 151
    assert joined.metrics.sharpe == pytest.approx(alone.metrics.sharpe)
    # a cent of the first window's hundred; and of the third's, which began with three times that, a third of a cent
    worth = joined.equity[[0, 50, 100]] / [100.0, 200.0, 300.0]
    np.testing.assert_allclose(joined.costs, np.repeat(0.01 * worth, 50), rtol=1e-12)


def test_a_camp_is_what_was_best_before_and_not_what_was_best_after():
    before = {"ppo": [2e-4, 1e-4, 3e-4], "dqn": [1e-4, 2e-4, 1e-4], "tree signal": [0.0, 0.0, 0.0],
              "net signal": [0.0, -1e-4, 1e-4], HOLD: [0.0] * 3}
    season = season_of({"dqn": 5e-3}, before)
    agents, signals = camp(season, "rl"), camp(season, "supervised")
    assert [pick.name for pick in agents.picks] == ["ppo", "dqn", "ppo"]
    assert [pick.name for pick in signals.picks] == ["tree signal", "tree signal", "net signal"]
    assert len(agents.tracks) == 2
    for number, track in enumerate(agents.tracks):
        parts = [next(one for one in window if one.team == pick.name and one.seed == number)
                 for window, pick in zip(season.tests, agents.picks, strict=True)]
        np.testing.assert_allclose(returns_of(track.equity), np.concatenate([returns_of(p.equity) for p in parts]))
    assert agents.picks[0].validated == pytest.approx(np.log1p(2e-4) * HOURS)
    assert camp(season, "nobody") is None
    assert [pick.alike for pick in agents.picks] == [1, 1, 1]
    assert [pick.alike for pick in signals.picks] == [2, 1, 1]


def test_who_is_taught_more_rarely_trades_on_as_then_chosen():
    before = {"ppo": [2e-4, 1e-4, 3e-4], "dqn": [1e-4, 2e-4, 1e-4], "tree signal": [0.0] * 3,
              "net signal": [-1e-4] * 3, HOLD: [0.0] * 3}
    found = find(season_of({"dqn": 2e-4}, before), BOOTSTRAP)
    curves = {one.name: one for one in found.curves}
    years = found.tracks[0].years
    one = curves["tree signal"]
    assert [*one.old] == [2, 3]
    assert one.old[2] == pytest.approx(one.growth[OWN] - 0.1 / years)  # ages 0, 1, 0
    assert one.old[3] == pytest.approx(one.growth[OWN] - 0.3 / years)
    assert (one.least, one.most) == (one.growth[OWN], one.growth[OWN])
    assert curves[HOLD].old == {}, "nobody teaches it"
    agents = curves["chosen agents"]
    assert agents.old[3] == pytest.approx(curves["ppo"].old[3])  # chosen first, and never again
    assert agents.growth[OWN] != pytest.approx(curves["ppo"].growth[OWN])
    assert agents.least < agents.growth[OWN] < agents.most


def test_the_oracle_is_beside_every_comparison(planted):
    """It would be better than buying and holding, and the best on each half of any history."""
    season = planted.season
    best = [replace(track, contestant=ORACLE, kind=ORACLE, equity=track.equity[0] * np.exp(1e-3 * np.arange(BARS + 1)))
            for window in season.tests for track in window if track.contestant == HOLD]
    rows = season.scenarios[season.scenarios["contestant"] == HOLD].assign(contestant=ORACLE, kind=ORACLE)
    found = find(replace(season, tests=[[*window, one] for window, one in zip(season.tests, best, strict=True)],
                         scenarios=pd.concat([season.scenarios, rows])), BOOTSTRAP)
    assert found.report.table.index[0] == ORACLE
    assert found.duels == planted.duels
    assert found.luck == planted.luck
    assert found.superior == planted.superior
    assert found.overfitting.probability == planted.overfitting.probability


def test_a_season_of_an_earlier_version_is_refused(tmp_path):
    season = season_of({})
    (tmp_path / "window1").mkdir()
    save_tracks(season.tests[0], tmp_path / "window1" / "tracks.parquet")
    for name, table in (("scenarios", season.scenarios.drop(columns="age")), ("bars", season.bars),
                        ("forecasts", season.forecasts)):
        table.to_parquet(tmp_path / "window1" / f"{name}.parquet")
    with pytest.raises(UserError, match="held by an earlier version"):
        Season.of(tmp_path, {"windows": 1})


def test_other_contestants_in_another_window_are_refused():
    season = season_of({})
    season.tests[1].pop()
    with pytest.raises(UserError, match="window 2 has other contestants"):
        whole(season)


@pytest.fixture(scope="module")
def planted() -> Findings:
    return find(season_of({"ppo": 6e-4, "tree signal": 1e-4}), BOOTSTRAP)


def test_the_numbers_are_those_of_the_tracks(planted):
    duel = planted.duels[0]
    assert (duel.ours, duel.theirs) == ("chosen agents", "chosen signals")
    agents, signals = planted.camps
    years = agents.tracks[0].years
    growths = [np.log(track.equity[-1] / track.equity[0]) / years for track in (*agents.tracks, *signals.tracks)]
    assert duel.growth == pytest.approx(np.mean(growths[:2]) - growths[2])
    assert duel.low < duel.growth < duel.high
    assert planted.trials == 12
    returns = np.stack([returns_of(track.equity) for track in agents.tracks])
    luck = planted.luck[0]
    assert luck.sharpe == pytest.approx(float(sharpe(returns, HOURS).mean()))
    assert luck.sharpe == pytest.approx(planted.report.teams.loc["chosen agents, 2 seeds", "sharpe"]), "one ratio"
    ratios = [float(sharpe(returns_of(track.equity), 1.0)) for track in whole(planted.season)
              if track.kind != "baseline" and track.team not in {pick.name for pick in agents.picks}]
    spread = max(float(np.std(ratios, ddof=1)), 1 / np.sqrt(returns.shape[1]))
    assert luck.deflated == pytest.approx(deflated(returns, 12, spread))
    assert luck.hurdle == pytest.approx(best_of(12, spread) * np.sqrt(HOURS))
    assert {*planted.report.table.index} >= {"ppo", "dqn, seed 1", HOLD, "chosen signals"}
    curve = next(one for one in planted.curves if one.name == "chosen agents")
    assert curve.growth["0 bps"] - curve.growth["20 bps"] == pytest.approx(0.1 * 20e-4 * HOURS, rel=0.01)
    assert planted.regimes["chosen agents"]["bull"].value == pytest.approx(
        float(np.log1p(returns)[:, np.arange(returns.shape[1]) % 200 < 100].mean() * HOURS))


def test_confidence_is_held_against_what_came():
    rng = np.random.default_rng(0)
    up = rng.uniform(0.5, 1.0, 20_000)
    honest = pd.DataFrame({"forecaster": "honest", "down": 1 - up, "flat": 0.0, "up": up,
                           "came": np.where(rng.random(len(up)) < up, 2, 0)})
    bold = honest.assign(forecaster="bold", down=0.0, up=1.0)
    first, second = confidences(pd.concat([honest, bold]))
    assert first.right == pytest.approx(0.75, abs=0.01)
    assert first.off < 0.02
    assert np.diff(first.said).min() > 0
    assert (second.sure, second.off) == (1.0, pytest.approx(1 - second.right))
    came = honest["came"].to_numpy()
    called = np.full(len(came), 2)
    for score, mine in ((precision_score, first.precision), (recall_score, first.recall), (f1_score, first.f1)):
        assert mine == pytest.approx(score(came, called, labels=[0, 2], average="macro", zero_division=0.0))


def test_measures_by_kind_of_market_are_those_of_its_bars(planted):
    table = by_kind(planted.season, planted.tracks).set_index(["market", "contestant"])
    bull = np.arange(WINDOWS * BARS) % 200 < 100
    assert {*table.index.get_level_values("market")} == {"bull", "bear"}
    for track in planted.tracks:
        returns, found = returns_of(track.equity)[bull], table.loc["bull", track.contestant]
        assert found["sharpe"] == pytest.approx(float(sharpe(returns, HOURS)))
        assert found["total_return"] == pytest.approx(np.prod(1 + returns) - 1)
        assert found["annual_return"] == pytest.approx(np.prod(1 + returns) ** (HOURS / bull.sum()) - 1)
        assert found["exposure"] == pytest.approx(np.abs(track.weights[bull]).sum(axis=1).mean())
    assert table.loc[("bull", HOLD), "information_ratio"] == 0.0


def test_the_information_ratio_is_the_sharpe_ratio_of_the_difference(planted):
    excess_sharpe = pytest.importorskip("empyrical").excess_sharpe
    hold = next(track for track in planted.tracks if track.contestant == HOLD)
    table = planted.report.table
    for track in planted.tracks:
        ours, theirs = (pd.Series(returns_of(one.equity)) for one in (track, hold))
        expected = excess_sharpe(ours, theirs) * np.sqrt(HOURS) if track is not hold else 0.0
        assert table.loc[track.contestant, "information_ratio"] == pytest.approx(expected, rel=1e-10)


def test_holm_counts_everybody_who_meets_an_opponent(planted):
    against = [duel for duel in planted.duels if duel.theirs == HOLD]
    assert [duel.ours for duel in against] == ["chosen agents", "chosen signals", "ppo", "dqn"]
    least = min(duel.p for duel in against)
    assert min(duel.held for duel in against) == pytest.approx(min(4 * least, 1.0))
    assert all(duel.held >= duel.p for duel in against)


def test_a_planted_edge_is_a_win_and_where_it_ends_is_said(planted):
    found = verdict(planted)
    assert found.winner == "chosen agents"
    assert "**Chosen agents win**" in found.text
    assert "12 trainings" in found.text
    curve = next(one for one in planted.curves if one.name == "chosen agents")
    assert curve.beyond == (curve.growth["20 bps"] > 0)
    assert ("outlasts 20 bps" in found.text) == curve.beyond


def test_who_was_in_cash_for_a_part_of_it_is_told_of():
    """One seed that trades is enough for its window."""
    season = season_of({"ppo": 6e-4, "tree signal": 1e-4})
    for number, window in enumerate(season.tests):
        for place, track in enumerate(window):
            if track.team == "ppo" and (number, track.seed) != (0, 1):
                window[place] = replace(track, turnover=np.zeros(BARS))
    told = verdict(find(season, BOOTSTRAP)).text
    assert "Chosen agents traded in 1 of 3 windows, and stayed in cash in the others." in told
    assert "Chosen signals traded" not in told


def test_a_seed_in_cash_has_no_bars_to_win_or_to_lose():
    season = season_of({"ppo": 6e-4})
    idle = [[replace(track, weights=np.zeros((BARS, 1))) if (track.team, track.seed) == ("ppo", 1) else track
             for track in window] for window in season.tests]
    report = find(replace(season, tests=idle), BOOTSTRAP).report
    assert report.table.loc["ppo, seed 1", "win_rate"] == 0
    assert report.teams.loc["ppo, 2 seeds", "win_rate"] == report.table.loc["ppo", "win_rate"] > 0
    assert report.teams.loc["ppo, 2 seeds", "exposure"] == pytest.approx(report.table.loc["ppo", "exposure"] / 2)


def test_the_other_way_round_the_other_wins():
    assert verdict(find(season_of({"net signal": 6e-4}), BOOTSTRAP)).winner == "chosen signals"


def test_where_nearly_all_stay_in_cash_the_best_is_held_against_chance():
    season = season_of({})
    still = [[replace(track, equity=np.full(BARS + 1, 100.0), turnover=np.zeros(BARS))
              if track.contestant != "ppo, seed 0" else track for track in window] for window in season.tests]
    found = find(replace(season, tests=still), BOOTSTRAP)
    assert found.luck[0].hurdle == pytest.approx(best_of(12, 1 / np.sqrt(WINDOWS * BARS)) * np.sqrt(HOURS))


def test_agents_of_one_seed_do_not_win():
    season = season_of({"ppo": 6e-4, "dqn": 6e-4})
    alone = [[[track for track in window if "seed 1" not in track.contestant] for window in windows]
             for windows in (season.tests, season.validations)]
    scenarios = season.scenarios[season.scenarios["seed"] == 0]
    found = verdict(find(replace(season, tests=alone[0], validations=alone[1], scenarios=scenarios), BOOTSTRAP))
    assert found.winner == ""
    assert "of one seed" in found.text


def test_who_grew_less_than_the_market_has_not_won():
    found = verdict(find(season_of({"ppo": 6e-4, "dqn": 6e-4, HOLD: 3e-3}), BOOTSTRAP))
    assert found.winner == ""
    assert "less than the market itself" in found.text


def test_who_loses_less_has_not_won():
    found = verdict(find(season_of({name: -2e-3 for name in ("tree signal", "net signal")}), BOOTSTRAP))
    assert found.winner == ""
    assert "That is no win" in found.text


def test_without_an_edge_hardly_anybody_wins():
    """Both intervals must leave out zero; 2.5 % of the time each does, and the two are not alike."""
    winners = [verdict(find(season_of({}, seed=seed), replace(BOOTSTRAP, draws=200))).winner for seed in range(20)]
    assert sum(winner != "" for winner in winners) <= 1


def test_nobody_who_trades_is_told_apart_from_nobody():
    season = season_of({})
    still = [[replace(track, equity=np.full(BARS + 1, 100.0), weights=np.zeros((BARS, 1)), turnover=np.zeros(BARS))
              if track.kind != "baseline" else track for track in window] for window in season.tests]
    scenarios = season.scenarios.assign(total_return=0.0)
    found = find(replace(season, tests=still, scenarios=scenarios), BOOTSTRAP)
    judged = verdict(found)
    assert judged.winner == ""
    assert "made the same of every bar" in judged.text
    assert "No evidence" in judged.text
    assert "never traded" in judged.text
    assert "Chosen agents stayed in cash throughout. Chosen signals stayed in cash throughout." in judged.text
