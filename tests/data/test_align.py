"""Context is seen when it is known: not a second sooner, and not when it is stale."""

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.align import aligned, known_at_join
from data.schema import EVERY_ASSET
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate
from data.sources.base import RawData

CLOSES = pd.Series(pd.date_range("2024-01-01 01:00", periods=6, freq="h", tz="UTC"))
DAY = pd.Timedelta("1D")


def table(*times, **columns):
    return pd.DataFrame({"known_at": pd.to_datetime(list(times), utc=True, format="ISO8601"), **columns})


def test_a_row_known_at_the_close_is_seen_and_one_second_later_is_not():
    at = known_at_join(CLOSES, table("2024-01-01 03:00:00", x=[7.0]), DAY)["x"]
    late = known_at_join(CLOSES, table("2024-01-01 03:00:01", x=[7.0]), DAY)["x"]
    assert at.isna().tolist() == [True, True, False, False, False, False]
    assert late.isna().tolist() == [True, True, True, False, False, False]


def test_the_latest_known_counts_and_grows_stale():
    rows = table("2024-01-01 01:10", "2024-01-01 01:50", x=[1.0, 2.0])
    seen = known_at_join(CLOSES, rows, pd.Timedelta("2h"))["x"]
    np.testing.assert_array_equal(seen, [np.nan, 2.0, 2.0, np.nan, np.nan, np.nan])


def test_the_day_it_describes_plays_no_part():
    rows = table("2024-01-01 04:30", x=[1.0]).assign(day=pd.to_datetime(["2024-01-01"], utc=True))
    seen = known_at_join(CLOSES, rows, DAY)
    assert list(seen) == ["x"]
    assert seen["x"].first_valid_index() == 4


@pytest.mark.parametrize(("rows", "what"), [
    (pd.DataFrame({"known_at": pd.to_datetime(["2024-01-01"]), "x": [1.0]}), "zone"),
    (table("2024-01-01 02:00", "2024-01-01 01:00", x=[1.0, 2.0]), "rise"),
])
def test_times_that_cannot_be_trusted_are_refused(rows, what):
    with pytest.raises(UserError, match=what):
        known_at_join(CLOSES, rows, DAY)


def test_simulated_context_is_seen_one_row_after_its_bar_and_macro_at_ten():
    raw = simulate(SimulatorConfig(bars=200))
    frame = aligned(raw)["BTC"]
    chain = raw.context["onchain_hourly", "BTC"]
    np.testing.assert_array_equal(frame["nvt"][1:], chain["nvt"][:-1])
    assert np.isnan(frame["nvt"][0])
    moved = frame["time"][frame["vix"].diff().fillna(0) != 0]
    assert set(moved.dt.hour) == {22}
    assert moved.dt.day_of_week.max() == 4


def test_assets_are_held_on_the_hours_they_share():
    raw = simulate(SimulatorConfig(bars=50, assets=("BTC", "ETH")))
    holey = raw.bars["ETH"].drop(index=[10, 11]).reset_index(drop=True)
    carry = np.delete(raw.carry["ETH"], [10, 11])
    joined = aligned(RawData({**raw.bars, "ETH": holey}, raw.context, {**raw.carry, "ETH": carry}, 8760.0))
    assert len(joined["BTC"]) == len(joined["ETH"]) == 48
    assert (joined["BTC"]["time"] == joined["ETH"]["time"]).all()
    np.testing.assert_array_equal(joined["BTC"]["carry"], np.delete(raw.carry["BTC"], [10, 11]))


def test_two_tables_may_not_bring_the_same_column():
    raw = simulate(SimulatorConfig(bars=50))
    clash = {**raw.context, ("state", "BTC"): raw.context["onchain_hourly", "BTC"][["known_at", "nvt"]]}
    with pytest.raises(UserError, match="'nvt' of BTC comes from two"):
        aligned(RawData(raw.bars, clash, raw.carry, 8760.0))


def test_context_must_say_when_it_was_known():
    raw = simulate(SimulatorConfig(bars=50))
    with pytest.raises(UserError, match="known_at"):
        RawData(raw.bars, {("markets", EVERY_ASSET): pd.DataFrame({"vix": [1.0]})}, raw.carry, 8760.0)
