"""Live decisions: the forecasts of the batch, row by row, across a gap, from any place in the past."""

import dataclasses
import functools
import warnings

import numpy as np
import pytest
import torch

from configs.errors import UserError
from data.labels import LabelConfig, make_labels
from data.market import Market
from encoders import STATEFUL
from encoders.checkpoint import Checkpoint, TrainedSpan
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.ensemble import Ensemble, Member
from encoders.ensemble.fusion import fit_fusion
from encoders.ensemble.nets import Nets
from encoders.forecast import LEVELS, Forecast
from encoders.live import nets
from encoders.live.ensemble import LiveEnsemble
from encoders.live.nets import Streamed, Windowed, live_net
from encoders.live.past import Past
from encoders.model import ForecastModel
from encoders.scale import TargetScale
from encoders.trees.model import TreeForecaster
from tests.encoders.planted import WINDOW, planted, tiny
from tests.encoders.trees.quick import fitted

PIECES = planted(0.6)
MARKET = PIECES.market
LABELS = LabelConfig(horizon=5, volatility_window=30)
NETS = {"lstm": "stream", "gru": "window", "attention_lstm": "window", "transformer": "window", "mamba": "stream"}
FUSIONS = {
    "following": FusionConfig(combiner="recent", direction="temperature", volatility="adaptive", interval="adaptive",
                              memory=50),
    "gated": FusionConfig(combiner="gated", direction="isotonic", volatility="static", interval="adaptive", memory=50),
    "with trees": FusionConfig(combiner="equal", direction="temperature", volatility="static", interval="static"),
    "fixed": FusionConfig(combiner="weights", direction="none", volatility="none", interval="static"),
}
TOLERANCE = 2e-5  # of the largest number: one row alone may add up its float32 products in another order


def checkpoint_of(name: str, context: str, seed: int = 0, market: Market = MARKET) -> Checkpoint:
    torch.manual_seed(seed)
    scale = TargetScale(2.0, 1.0, (6, 24, 168), (0.2, 0.5, 0.3), 1e-4)  # farther back than windows and labels
    model = ForecastModel.build(len(market.columns), tiny(name), scale, assets=len(market.assets))
    return Checkpoint(encoder=tiny(name), columns=market.columns, scaler=PIECES.scaler, window=WINDOW,
                      reach=LABELS.reach, levels=LEVELS, scale=scale, trained=TrainedSpan(0, 1, "", ""), market="",
                      assets=market.assets, weights=model.state_dict(), context=context)


@functools.cache
def trees() -> TreeForecaster:
    labels = make_labels(MARKET.prices, MARKET.segments, LABELS)
    return fitted(dataclasses.replace(PIECES, labels=labels), "boosting", trees=10)


@functools.cache
def ensemble_of(fusion: str, since: int = 100) -> Ensemble:
    members: dict[str, Member] = {
        name: Nets((checkpoint_of(name, context), checkpoint_of(name, context, 1))[: 1 + (name == "gru")])
        for name, context in NETS.items()}
    if fusion == "with trees":
        members["boosting"] = trees()
    market = MARKET.slice(slice(0, 400))
    labels = make_labels(market.prices, market.segments, LABELS)
    forecasts = {name: member.forecast(market) for name, member in members.items()}
    fitted = fit_fusion(forecasts, labels, np.arange(100, 390), FUSIONS[fusion])
    return Ensemble(members, fitted, LABELS, str(market.time[since]))


def followed(live: LiveEnsemble, market: Market, first: int, last: int) -> dict[int, Forecast | None]:
    """What it says of each row; those outside every segment have no features to show."""
    inside = np.isfinite(market.features).all(axis=(1, 2))
    adjoining = set(market.segments[1:, 0]) & set(market.segments[:-1, 1])
    return {row: live.after(market.time[row], market.features[row] if inside[row] else None, market.prices[row],
                            None if market.absent is None else market.absent[row], gap=row in adjoining)
            for row in range(first, last)}


def gap_between(found: dict[int, Forecast | None], wanted: Forecast) -> float:
    """The largest difference, in units of each part's largest number, over rows on which both or neither speaks."""
    worst = 0.0
    for row, one in found.items():
        assert (one is None) == (not wanted.known[row]), row
        if one is None:
            continue
        for field in dataclasses.fields(Forecast):
            mine, other = getattr(one, field.name)[0], getattr(wanted, field.name)
            worst = max(worst, float(np.abs(mine - other[row]).max() / np.nanmax(np.abs(other))))
    return worst


@pytest.mark.parametrize("first", [640, 705, 712], ids=["before the gap", "in it", "after it"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_rows_one_by_one_equal_the_batch(fusion: str, first: int) -> None:
    ensemble = ensemble_of(fusion)
    wanted = ensemble.forecast(MARKET.slice(slice(0, 780)))
    found = followed(LiveEnsemble(ensemble, MARKET.slice(slice(0, first))), MARKET, first, 780)
    assert sum(one is not None for one in found.values()) > 50
    assert gap_between(found, wanted) < TOLERANCE


def test_a_history_is_the_same_as_its_bars_one_by_one() -> None:
    ensemble = ensemble_of("following", since=300)  # outcomes begin to count on the way
    wanted = ensemble.forecast(MARKET.slice(slice(0, 450)))
    found = followed(LiveEnsemble(ensemble, MARKET.slice(slice(0, 0))), MARKET, 0, 450)
    assert [row for row, one in found.items() if one is None] == list(range(20 + WINDOW - 1))
    assert gap_between(found, wanted) < TOLERANCE


def test_a_gap_between_two_bars_begins_a_new_window() -> None:
    market = dataclasses.replace(MARKET, segments=np.array([[20, 300], [300, 700]]))
    ensemble = ensemble_of("following")
    wanted = ensemble.forecast(market.slice(slice(0, 360)))
    found = followed(LiveEnsemble(ensemble, market.slice(slice(0, 280))), market, 280, 360)
    assert [row for row, one in found.items() if one is None] == list(range(300, 300 + WINDOW - 1))
    assert gap_between(found, wanted) < TOLERANCE


def test_outcomes_change_what_is_said_next() -> None:
    ensemble = ensemble_of("following")

    def last(prices: np.ndarray) -> Forecast:
        market = dataclasses.replace(MARKET, prices=prices)
        found = followed(LiveEnsemble(ensemble, market.slice(slice(0, 400))), market, 400, 430)[429]
        assert found is not None
        return found

    wild = MARKET.prices.copy()
    wild[415:425] *= np.exp(np.random.default_rng(0).normal(0, 0.2, (10, 2, 1)))
    assert np.abs(last(wild).volatility / last(MARKET.prices).volatility - 1).min() > 0.01


def test_an_absent_asset_has_no_outcome() -> None:
    absent = np.zeros((len(MARKET), 2), bool)
    absent[:420, 1] = True
    prices, features = MARKET.prices.copy(), MARKET.features.copy()
    prices[absent], features[absent] = np.nan, 0.0
    market = dataclasses.replace(MARKET, prices=prices, features=features, absent=absent)
    ensemble = ensemble_of("following")
    wanted = ensemble.forecast(market.slice(slice(0, 500)))
    found = followed(LiveEnsemble(ensemble, market.slice(slice(0, 400))), market, 400, 500)
    assert gap_between(found, wanted) < TOLERANCE


@pytest.mark.parametrize("first", [0, 60, 300, 715])
def test_the_past_knows_what_the_whole_market_says(first: int) -> None:
    wanted = make_labels(MARKET.prices, MARKET.segments, LABELS)
    scale = TargetScale(1.0, 1.0, (6, 168), (0.4, 0.6), 1e-4)
    expected = scale.expected(MARKET)
    past = Past(MARKET.slice(slice(0, first)), LABELS, str(MARKET.time[0]), [scale])
    for row in range(first, first + 200):
        inside = bool(np.isfinite(MARKET.features[row]).all())
        past.add(MARKET.time[row], MARKET.prices[row], inside=inside)
        np.testing.assert_allclose(past.expected(scale)[0], expected[row], rtol=1e-9)
        found, before = past.outcome(), row - LABELS.reach
        if before < 0 or not inside:
            assert (found.direction == -1).all()
            assert np.isnan(found.forward).all()
            continue
        np.testing.assert_array_equal(found.direction[0], wanted.direction[before])
        np.testing.assert_allclose(found.forward[0], wanted.forward[before], rtol=1e-6)
        np.testing.assert_allclose(found.volatility[0], wanted.volatility[before], rtol=1e-5)


def test_a_stream_keeps_its_state_and_a_window_its_bars() -> None:
    bars = torch.from_numpy(MARKET.features[20:80])
    for context, kind in (("stream", Streamed), ("window", Windowed)):
        net = live_net(checkpoint_of("lstm", context), assets=2)
        assert type(net) is kind
        at_once = net.after(bars)
        net.forget()
        steps = [net.after(bar[None]) for bar in bars]
        assert [step is None for step in steps[: WINDOW]] == [True] * (WINDOW - 1) + [False]
        torch.testing.assert_close(tuple(steps[-1]), tuple(at_once), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_traced_step_is_the_eager_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first bar on, while a state still grows, and after it was forgotten."""
    checkpoint = checkpoint_of(name, "stream")
    net = live_net(checkpoint, assets=2)
    traced_steps = []
    step = net.step
    net.step = lambda *given: (traced_steps.append(1), step(*given))[1]
    monkeypatch.setattr(nets, "traced", lambda module, *example: module)
    eager = live_net(checkpoint, assets=2)
    for bars in (MARKET.features[20:300], MARKET.features[300:330]):
        net.forget()
        eager.forget()
        for bar in torch.from_numpy(bars)[:, None]:
            found, wanted = net.after(bar), eager.after(bar)
            assert (found is None) == (wanted is None)
            if found is not None and wanted is not None:
                torch.testing.assert_close(tuple(found), tuple(wanted), rtol=1e-5, atol=1e-6)
    assert len(traced_steps) > 40


def test_tracing_is_silent_and_takes_no_gradient() -> None:
    for name, context in (("transformer", "window"), ("mamba", "stream")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            net = live_net(checkpoint_of(name, context), assets=2)
        said = net.after(torch.randn(WINDOW, 2, 4))
        assert said is not None
        assert not any(part.requires_grad for part in said)


def test_refusals() -> None:
    ensemble = ensemble_of("fixed")
    live = LiveEnsemble(ensemble, MARKET.slice(slice(0, 400)))
    time, features, prices = MARKET.time[400], MARKET.features[400], MARKET.prices[400]
    with pytest.raises(UserError, match="does not come after"):
        live.after(MARKET.time[399], features, prices)
    with pytest.raises(UserError, match=r"features \(2, 4\), found \(2, 3\)"):
        live.after(time, features[:, :3], prices)
    with pytest.raises(UserError, match="feature 2 of asset 1 is nan"):
        live.after(time, np.where(np.arange(8).reshape(2, 4) == 6, np.nan, features), prices)
    with pytest.raises(UserError, match=r"missing between 2020-01-17T16\S+ and 2020-01-17T18\S+: give them first"):
        live.after(MARKET.time[401], features, prices)
    with pytest.raises(UserError, match=r"prices of asset 1 at .* or all NaN where it is said to be absent"):
        live.after(time, features, np.where(np.arange(2)[:, None] == 1, np.nan, prices))
    with pytest.raises(UserError, match=r"absent at .* has features: they must be zeros"):
        live.after(time, features, np.where(np.arange(2)[:, None] == 1, np.nan, prices), np.array([False, True]))
    assert live.after(time, features, prices) is not None, "what was refused has changed nothing"
    assert live.after(MARKET.time[402], features, prices, gap=False) is not None
    assert live.after(MARKET.time[404], features, prices, gap=True) is None
    thinned = {**ensemble.members, "gru": dataclasses.replace(ensemble.members["gru"], passes=2)}
    with pytest.raises(UserError, match="gru cannot decide live: it was trained to be asked 2 times"):
        LiveEnsemble(dataclasses.replace(ensemble, members=thinned), MARKET.slice(slice(0, 400)))
