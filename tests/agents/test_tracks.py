"""Tracks on disk are the tracks that were walked, to the last bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from agents.arena.rollout import Contestant, compete
from agents.arena.tracks import load_tracks, save_tracks
from agents.strategies.baselines import buy_and_hold, momentum, random
from configs.errors import UserError
from tests.agents.small import ENV, WINDOW


@pytest.fixture(scope="module")
def tracks(pair):
    everyone = {"hold": Contestant(buy_and_hold(pair.market)), "by chance": Contestant(random(pair.market), seed=3),
                "week": Contestant(momentum(pair.market), kind="rl", seed=1, team="weeks")}
    env = replace(ENV, action="weights")
    first = compete(everyone, pair.market, env, WINDOW, pair.split.valid)
    second = compete(everyone, pair.market, env, WINDOW, pair.split.test)
    return [*(replace(track, window=1) for track in first), *(replace(track, window=2) for track in second)]


def test_tracks_come_back_as_they_were(tracks, tmp_path):
    save_tracks(tracks, tmp_path / "tracks.parquet")
    found = load_tracks(tmp_path / "tracks.parquet")
    assert len(found) == len(tracks) == 6
    for one, other in zip(tracks, found, strict=True):
        assert one.metrics == other.metrics
        for field in fields(one):
            before, after = getattr(one, field.name), getattr(other, field.name)
            if isinstance(before, np.ndarray):
                np.testing.assert_array_equal(before, after)
                assert before.dtype.kind == after.dtype.kind
            else:
                assert before == after, field.name


def test_anybody_can_read_them(tracks, tmp_path):
    save_tracks(tracks, tmp_path / "tracks.parquet")
    table = pd.read_parquet(tmp_path / "tracks.parquet")
    own = table[(table["contestant"] == "week") & (table["window"] == 2)]
    assert own["equity"].iloc[-1] / own["equity"].iloc[0] - 1 == pytest.approx(tracks[5].metrics.total_return)
    assert own["costs"].sum() == pytest.approx(tracks[5].costs.sum())
    assert set(table.columns) >= {"time", "turnover", "weight:BTC", "weight:ETH", "team", "kind", "seed"}
    assert len(table) == sum(len(track.equity) for track in tracks)


def test_what_is_no_table_is_refused_in_one_line(tmp_path):
    (tmp_path / "tracks.parquet").write_bytes(b"PAR1, or so")
    for name, said in (("tracks", "is damaged"), ("nothing", "is missing")):
        with pytest.raises(UserError, match=said) as caught:
            load_tracks(tmp_path / f"{name}.parquet")
        assert "\n" not in str(caught.value)
