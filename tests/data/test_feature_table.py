"""The table of features as a whole: names, presets, groups that go as one, and the page that lists them."""

from pathlib import Path

import pytest

from configs.errors import UserError
from data.features import FEATURES, GROUPS, PRESETS
from data.features.base import BARS, choose
from data.features.page import page
from data.schema import SCHEMAS

ALL = {feature.name: feature for feature in FEATURES}
EVERYTHING = {BARS: [{need for feature in FEATURES if feature.on == BARS for need in feature.needs}],
              **{kind: [{"time", *SCHEMAS[kind].names}] for kind in SCHEMAS}}


def columns_of(name, without=()):
    return [column for feature in FEATURES if feature.name in PRESETS[name] and feature.group not in without
            for column in feature.columns]


def test_names_and_columns_are_their_own():
    columns = [column for feature in FEATURES for column in feature.columns]
    assert len(set(columns)) == len(columns)
    assert len(ALL) == len(FEATURES)


def test_every_feature_can_be_fed_from_what_the_schemas_declare():
    assert [feature.name for feature in FEATURES if not feature.fed_by(EVERYTHING)] == []
    assert {feature.on for feature in FEATURES} <= {BARS, *SCHEMAS}
    assert all(feature.meaning and feature.lookback >= 1 for feature in FEATURES)


def test_presets_name_features_that_exist_each_once():
    for name, members in PRESETS.items():
        assert set(members) <= ALL.keys(), name
        assert len(set(members)) == len(members), name
    assert 90 <= len(columns_of("hourly", without=("cross_asset",))) <= 100
    assert len(columns_of("minimal")) < 20
    assert {"onchain", "macro", "sentiment", "funding"} <= {ALL[name].group for name in PRESETS["long_horizon"]}


def test_a_gap_in_hourly_bars_costs_no_more_than_three_weeks():
    own = [ALL[name] for name in PRESETS["hourly"] if ALL[name].on == BARS]
    assert max(feature.lookback for feature in own) <= 512


def test_a_group_without_its_columns_is_dropped_whole_and_named():
    poor = {**EVERYTHING, BARS: [EVERYTHING[BARS][0] - {"fees"}], "markets": [{"time", "vix"}]}
    chosen, dropped = choose(FEATURES, ("returns", "onchain_hourly", "macro", "calendar"), poor)
    assert dropped == ("onchain_hourly", "macro")
    assert {feature.group for feature in chosen} == {"returns", "calendar"}
    with pytest.raises(UserError, match="did you mean 'onchain'"):
        choose(FEATURES, ("on-chain",), EVERYTHING)


def test_two_tables_of_a_kind_do_not_make_one():
    halves = {"onchain": [{"time", "nvt"}, {"time", "transfer_value_adjusted_usd"}]}
    assert ALL["nvt_log"].fed_by(halves)
    both = next(feature for feature in FEATURES if feature.group == "onchain_value" and len(feature.needs) > 1)
    assert not both.fed_by({"onchain": [{need} for need in both.needs]})


def test_the_page_lists_what_there_is():
    written = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
    assert written == page(), "run python scripts/list_features.py"
    assert all(f"`{name}`" in written for name in ALL)
    assert all(f"## {group}" in written for group in GROUPS)
