"""The arena against the single env, and what happens to contestants that are ruined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.arena.rollout import Contestant, compete, compete_under
from agents.policy import WeightTable
from configs.errors import UserError
from data.market import CLOSE
from envs.config import EnvConfig
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.trading_env import TradingEnv
from tests.envs.markets import market_of, random_market

WINDOW = 8
SPAN = slice(60, 190)
WEIGHTS = EnvConfig(action="weights")


class Walker:
    """Plays prepared actions row by row and writes down what it was shown."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions, self.rows, self.starts, self.accounts = actions, [], [], []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        row = int(observation["row"][0, 0])
        self.rows.append(row)
        self.starts.append(bool(episode_start[0]))
        self.accounts.append(observation["account"][0].copy())
        return self.actions[row : row + 1], (state or 0) + 1


def walk(market, config, actions, rows):
    """Equity, infos and accounts of a `TradingEnv` under the same actions."""
    env = TradingEnv(market, WINDOW, rows, config, observation="row", random_start=False)
    observation, info = env.reset(seed=0)
    infos, accounts, ended = [info], [observation["account"]], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(actions[int(observation["row"][0])])
        infos.append(info)
        accounts.append(observation["account"])
        ended = terminated or truncated
    return infos, accounts


@pytest.mark.parametrize("assets", [1, 2])
@pytest.mark.parametrize("kind", ["levels", "weights"])
def test_one_contestant_is_a_trading_env_to_the_last_bit(kind, assets):
    market, config = random_market(200, assets), EnvConfig(action=kind)
    rng = np.random.default_rng(0)
    if kind == "levels":
        actions = rng.integers(0, 3, (200, assets)) if assets > 1 else rng.integers(0, 3, 200)
    else:
        actions = rng.uniform(-1, 1, (200, assets)).astype(np.float32)
    walker = Walker(actions)
    [track] = compete({"it": Contestant(walker, config.actions(assets))}, market, config, WINDOW, SPAN)
    infos, accounts = walk(market, config, actions, SPAN)
    np.testing.assert_array_equal(track.equity, [info["equity"] for info in infos])
    np.testing.assert_array_equal(track.turnover, [info["turnover"] for info in infos[1:]])
    np.testing.assert_array_equal(walker.accounts, accounts[:-1])
    paid = [sum(info[name] for name in ("fees", "slippage", "carry", "interest")) for info in infos]
    np.testing.assert_allclose(track.costs, np.diff(paid), rtol=0, atol=1e-9)
    np.testing.assert_allclose(track.weights, [account[:assets] for account in accounts[1:]], rtol=0, atol=1e-6)
    assert walker.rows == market.decision_rows(WINDOW, SPAN)[:-1].tolist()
    assert walker.starts == [True] + [False] * (len(walker.rows) - 1)


def test_everybody_starts_at_the_same_row_with_the_same_cash_and_nobody_disturbs_another():
    market = random_market(200)
    rng = np.random.default_rng(1)
    tables = {f"player {n}": rng.uniform(-1, 1, (200, 1)) for n in range(4)}
    together = compete({name: Contestant(WeightTable(t)) for name, t in tables.items()}, market, WEIGHTS, WINDOW, SPAN)
    assert [track.contestant for track in together] == list(tables)
    for track in together:
        [alone] = compete({"alone": Contestant(WeightTable(tables[track.contestant]))}, market, WEIGHTS, WINDOW, SPAN)
        for part in ("equity", "weights", "turnover", "costs", "time"):
            np.testing.assert_array_equal(getattr(track, part), getattr(alone, part))
        assert track.equity[0] == WEIGHTS.capital
        assert track.time[0] == market.time[SPAN.start]
        assert len(track.equity) == len(track.time) == SPAN.stop - SPAN.start
    assert len({track.equity[-1] for track in together}) == 4


def test_under_several_rules_at_once_as_under_each_alone():
    market, rng = random_market(200, 2), np.random.default_rng(1)
    steps = EnvConfig(action="steps")
    everyone = {"weights": Contestant(WeightTable(rng.uniform(-1, 1, (200, 2)))),
                "steps": Contestant(WeightTable(rng.integers(0, 3, (200, 2))), steps.actions(2))}
    rules = {"as it is": WEIGHTS, "free": WEIGHTS.charging(0.0), "dear": WEIGHTS.charging(30.0),
             "late": replace(WEIGHTS, latency=2), "unlucky": replace(WEIGHTS, fill="worst")}
    together = compete_under(everyone, market, rules, WINDOW, SPAN)
    for name, config in rules.items():
        for found, alone in zip(together[name], compete(everyone, market, config, WINDOW, SPAN), strict=True):
            assert found.contestant == alone.contestant
            for part in ("equity", "weights", "turnover", "costs", "time"):
                np.testing.assert_array_equal(getattr(found, part), getattr(alone, part))
    ends = {name: tracks[0].equity[-1] for name, tracks in together.items()}
    assert len({*ends.values()}) == len(ends)
    assert ends["free"] > ends["as it is"] > ends["dear"]
    assert ends["as it is"] > ends["unlucky"]
    with pytest.raises(UserError, match="same observation_delay"):
        compete_under(everyone, market, {"now": WEIGHTS, "blind": replace(WEIGHTS, observation_delay=1)}, WINDOW,
                      slice(0, 100))


def test_costs_that_are_drawn_for_training_are_not_drawn_here():
    market, table = random_market(200), WeightTable(np.random.default_rng(2).uniform(-1, 1, (200, 1)))
    drawn = replace(WEIGHTS, episodes=EpisodeConfig(cost_scale=(0.1, 3.0)))
    [plain], [same] = (compete({"it": Contestant(table)}, market, config, WINDOW, SPAN) for config in (WEIGHTS, drawn))
    np.testing.assert_array_equal(plain.equity, same.equity)


def test_equity_changes_by_price_moves_less_costs():
    """With frictionless fills the same path is what holding would have made; costs are what is missing from it."""
    market = random_market(200)
    table = WeightTable(np.random.default_rng(2).uniform(-1, 1, (200, 1)))
    [track] = compete({"it": Contestant(table)}, market, WEIGHTS, WINDOW, SPAN)
    opens, closes = market.prices[:, 0, 0], market.prices[:, 0, CLOSE]
    gained = 0.0
    units = 0.0
    for k, row in enumerate(market.decision_rows(WINDOW, SPAN)[:-1]):
        gained += units * (opens[row + 1] - closes[row])
        units = track.weights[k, 0] * track.equity[k + 1] / closes[row + 1]
        gained += units * (closes[row + 1] - opens[row + 1])
    assert track.equity[-1] - track.equity[0] == pytest.approx(gained - track.costs.sum(), abs=1e-6)
    assert track.costs.sum() > 0
    assert track.metrics.costs == pytest.approx(track.costs.sum() / track.equity[0])


def crash_and_recovery():
    closes = np.concatenate([np.full(40, 100.0), np.full(40, 250.0), np.full(40, 50.0)])[:, None]
    opens = np.vstack([closes[:1], closes[:-1]])
    return market_of(opens, closes)


def test_a_ruined_contestant_stays_where_it_ended():
    market = crash_and_recovery()
    config = replace(WEIGHTS, costs=CostConfig.flat_fee(5.0))
    short, long = np.full((120, 1), -1.0), np.full((120, 1), 1.0)
    rows = slice(20, 120)
    tracks = {t.contestant: t for t in compete({"short": Contestant(WeightTable(short)),
                                                "long": Contestant(WeightTable(long)),
                                                "short too": Contestant(WeightTable(short))}, market, config, WINDOW,
                                               rows)}
    ruined, survivor = tracks["short"], tracks["long"]
    end = int(np.argmax(ruined.equity <= config.ruin * config.capital))  # the first point at or below the ruin level
    assert 0 < end < len(ruined.equity) - 40
    assert (ruined.equity > 0).all()
    assert (ruined.equity[end:] == ruined.equity[end]).all()
    assert (ruined.costs[end:] == 0).all()
    assert (ruined.turnover[end:] == 0).all()
    assert (ruined.weights[end:] == 0).all()
    assert ruined.metrics.total_return < -0.95  # the margin call came first
    np.testing.assert_array_equal(ruined.equity, tracks["short too"].equity)
    assert survivor.equity[-1] < survivor.equity.max()
    [alone] = compete({"long": Contestant(WeightTable(long))}, market, config, WINDOW, rows)
    np.testing.assert_array_equal(survivor.equity, alone.equity)


def test_a_weight_that_is_not_a_number_is_named():
    weights = np.zeros((200, 1))
    weights[100] = np.nan
    with pytest.raises(UserError, match="broken asked for a weight that is not a number on row 100"):
        compete({"fine": Contestant(WeightTable(np.zeros((200, 1)))), "broken": Contestant(WeightTable(weights))},
                random_market(200), WEIGHTS, WINDOW, SPAN)


def test_each_contestant_keeps_its_own_state():
    market = random_market(200)
    seen: dict[str, list] = {"a": [], "b": []}

    class Counter:
        def __init__(self, name: str) -> None:
            self.name = name

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            seen[self.name].append(state)
            return np.zeros((1, 1)), (state or 0) + (1 if self.name == "a" else 10)

    compete({"a": Contestant(Counter("a")), "b": Contestant(Counter("b"))}, market, WEIGHTS, WINDOW, slice(60, 66))
    assert seen == {"a": [None, 1, 2, 3, 4], "b": [None, 10, 20, 30, 40]}


def test_the_capital_of_the_config_is_what_everybody_starts_with():
    [track] = compete({"cash": Contestant(WeightTable(np.zeros((200, 1))))}, random_market(200),
                      replace(WEIGHTS, capital=123.0), WINDOW, SPAN)
    assert (track.equity == 123.0).all()
