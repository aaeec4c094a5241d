import dataclasses

import numpy as np
import pytest

from configs.errors import UserError
from data.market import Market
from data.scaling import Scaler
from encoders.trees.model import TreeForecaster
from encoders.trees.targets import FLOOR, TARGETS, Examples
from tests.encoders.planted import WINDOW, Pieces
from tests.encoders.trees.quick import fitted, same


@pytest.fixture(scope="module", params=["boosting", "forest"])
def trees(request, pieces: Pieces) -> TreeForecaster:
    return request.getfixturevalue(request.param)


def test_every_decision_row_and_no_other(trees: TreeForecaster, pieces: Pieces) -> None:
    found = trees.forecast(pieces.market)
    inside = np.zeros(len(pieces.market), bool)
    inside[pieces.market.decision_rows(WINDOW)] = True
    assert found.direction.shape == (len(pieces.market), 2, 3)
    assert (found.known == inside).all()


def test_the_lead_leans_the_forecast_its_way(trees: TreeForecaster, pieces: Pieces) -> None:
    """On test rows, for both assets: more of the lead, more of up and a higher median."""
    found = trees.forecast(pieces.market)[pieces.split.test]
    lead = pieces.market.features[pieces.split.test][:, :, 1]
    known = found.known
    for asset in range(2):
        lean = found.direction[known, asset, 2] - found.direction[known, asset, 0]
        assert np.corrcoef(lead[known, asset], lean)[0, 1] > 0.8
        assert np.corrcoef(lead[known, asset], found.median[known, asset])[0, 1] > 0.8


def test_later_features_change_no_earlier_row_to_the_bit(trees: TreeForecaster, pieces: Pieces) -> None:
    wanted = trees.forecast(pieces.market)
    for cut in (27, 300, pieces.split.train.stop):
        features = pieces.market.features.copy()
        features[cut + 1 :] *= -3
        found = trees.forecast(dataclasses.replace(pieces.market, features=features))
        assert same(found, wanted, slice(0, cut + 1))
        assert not same(found, wanted)


def test_the_last_window_alone_is_forecast_as_in_the_whole_market(trees: TreeForecaster, pieces: Pieces) -> None:
    """With the closes before it, which say what volatility to expect."""
    wanted = trees.forecast(pieces.market)[500:501]
    market = pieces.market.slice(slice(0, 501))
    features = market.features.copy()
    features[: 501 - WINDOW] = 7
    assert same(trees.forecast(dataclasses.replace(market, features=features))[500:501], wanted)


def test_one_asset_is_forecast_whatever_stands_beside_it(trees: TreeForecaster, pieces: Pieces) -> None:
    market = pieces.market
    alone = dataclasses.replace(market, assets=("B",), prices=market.prices[:, 1:], features=market.features[:, 1:],
                                carry=market.carry[:, 1:])
    found, both = trees.forecast(alone), trees.forecast(market)
    assert np.array_equal(found.quantiles[:, 0], both.quantiles[:, 1], equal_nan=True)


def test_a_market_without_a_window_has_no_forecast(trees: TreeForecaster, pieces: Pieces) -> None:
    assert not trees.forecast(pieces.market.slice(slice(0, 22))).known.any()


def test_scores_are_those_of_the_forecast(trees: TreeForecaster, pieces: Pieces) -> None:
    """Worked out anew from the forecast of the whole market on the validation rows."""
    found, labels, scale = trees.forecast(pieces.market), pieces.labels, trees.scale
    rows = pieces.market.decision_rows(WINDOW, pieces.split.valid)
    rows = rows[labels.known[rows] & (rows < pieces.split.valid.stop - labels.reach)]
    odds = np.take_along_axis(found.direction[rows], labels.direction[rows][:, :, None], axis=2)
    assert trees.scores["direction"] == pytest.approx(-np.log(odds).mean(), rel=1e-4)
    expected = scale.expected(pieces.market)[rows]
    miss = (labels.forward[rows][:, :, None] - found.quantiles[rows]) / (scale.forward * expected)[:, :, None]
    levels = np.array([0.1, 0.5, 0.9])
    assert trees.scores["quantiles"] == pytest.approx(np.maximum(levels * miss, (levels - 1) * miss).mean(), rel=1e-4)
    unit = scale.volatility * expected
    came, said = ((values[rows] / unit) ** 2 + FLOOR for values in (labels.volatility, found.volatility))
    assert trees.scores["volatility"] == pytest.approx((came / said - np.log(came / said) - 1).mean(), rel=1e-4)


def test_base_rates_are_where_each_loss_is_lowest() -> None:
    """Whatever constant else is said costs more; so trees start from the best that can be said without them."""
    rng = np.random.default_rng(0)
    some = Examples(np.zeros((500, 1)), rng.choice(3, 500, p=[0.5, 0.2, 0.3]), rng.normal(size=500),
                    np.abs(rng.normal(size=500)))
    for target in TARGETS:
        labels = target.labels(some)
        start = np.tile(target.start(labels), (500, 1))
        moves = np.concatenate([np.eye(target.outputs), -np.eye(target.outputs)]) * 0.1
        assert all(target.loss(start, labels) < target.loss(start + move, labels) for move in moves)


def test_what_does_not_fit_is_named(trees: TreeForecaster, pieces: Pieces) -> None:
    market, scaler = pieces.market, pieces.scaler
    trees.check_fits(market, scaler, WINDOW)
    other = dataclasses.replace(market, columns=("noise_a", "rsi", "noise_b", "noise_c"))
    for refused in (lambda: trees.check_fits(other, scaler), lambda: trees.forecast(other)):
        with pytest.raises(UserError, match=r"columns of the trees.*missing lead; unknown rsi.*fit the trees again"):
            refused()
    with pytest.raises(UserError, match="another order"):
        trees.forecast(dataclasses.replace(market, columns=("lead", "noise_a", "noise_b", "noise_c")))
    with pytest.raises(UserError, match="another scaler"):
        trees.check_fits(market, Scaler(market.columns, np.zeros(4) + 1e-9, np.ones(4), 8.0))
    with pytest.raises(UserError, match=f"windows of {WINDOW} bars, not 9"):
        trees.check_fits(market, scaler, 9)
    with pytest.raises(UserError, match="missing noise_a, lead, noise_b, noise_c; unknown nothing"):
        trees.forecast(Market.flat(50))


def test_the_span_it_saw_is_kept(trees: TreeForecaster, pieces: Pieces) -> None:
    assert (trees.trained.start, trees.trained.stop) == (0, pieces.split.train.stop)
    assert trees.trained.last == str(pieces.market.time[pieces.split.train.stop - 1])
    assert trees.market == pieces.market.fingerprint


def test_another_seed_is_another_forecaster(forest: TreeForecaster, pieces: Pieces) -> None:
    assert not same(fitted(pieces, "forest", seed=3).forecast(pieces.market), forest.forecast(pieces.market))
