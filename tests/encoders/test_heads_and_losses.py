import numpy as np
import pytest
import torch

from configs.errors import UserError
from data.labels import UNKNOWN
from encoders.batches import spread_rows
from encoders.forecast import Forecast, mean
from encoders.heads import Heads, Outputs, Targets
from encoders.losses import ForecastLoss, pinball, qlike


def test_quantiles_never_cross_and_volatility_is_positive() -> None:
    torch.manual_seed(0)
    heads = Heads(8)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.normal_(std=20)
    outputs = heads(torch.randn(500, 2, 8) * 10)
    assert (outputs.quantiles.diff(dim=-1) >= 0).all()
    assert (outputs.volatility >= 0).all()
    assert outputs.direction.shape == (500, 2, 3)


def test_heads_start_at_the_base_rates() -> None:
    rng = np.random.default_rng(0)
    direction, forward = rng.choice(3, size=4000, p=[0.2, 0.3, 0.5]), rng.normal(size=4000)
    volatility = np.abs(rng.normal(size=4000))
    heads = Heads(8)
    unknown = np.full(1000, np.nan)
    heads.start_at(Targets(*(torch.from_numpy(np.append(values, left)[:, None]) for values, left in (
        (direction, np.full(1000, UNKNOWN)), (forward, unknown), (volatility, unknown)))))
    outputs = heads(torch.randn(2, 1, 8))
    np.testing.assert_allclose(torch.softmax(outputs.direction, -1)[0, 0].detach(), np.bincount(direction) / 4000,
                               atol=1e-3)
    np.testing.assert_allclose(outputs.quantiles[1, 0].detach(), np.quantile(forward, [0.1, 0.5, 0.9]), atol=1e-5)
    np.testing.assert_allclose(outputs.volatility[0, 0].detach(), np.sqrt(np.mean(volatility**2)), atol=1e-5)


def test_losses_by_hand() -> None:
    # 3 above a forecast of 1 at level .9 costs .9 x 2, below one of 4 at level .1 costs .9 x 1: mean 1.35
    quantiles, target = torch.tensor([[[1.0, 4.0]]]), torch.tensor([[3.0]])
    assert pinball(quantiles, target, torch.tensor([0.9, 0.1])).item() == pytest.approx((1.8 + 0.9) / 2)
    assert qlike(torch.tensor([2.0]), torch.tensor([2.0])).item() == 0
    assert qlike(torch.tensor([1.0]), torch.tensor([2.0]), floor=0.0).item() == pytest.approx(4 - np.log(4) - 1)


def test_the_weighted_sum_by_hand() -> None:
    loss = ForecastLoss()
    outputs = Outputs(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), torch.ones(1, 1))
    targets = Targets(torch.tensor([[2]]), torch.tensor([[1.0]]), torch.ones(1, 1))
    with torch.no_grad():
        loss.log_variance.copy_(torch.tensor([0.5, -1.0]))
    total, parts = loss(outputs, targets)
    assert parts["direction"].item() == pytest.approx(np.log(3))
    assert parts["quantiles"].item() == pytest.approx(0.5)  # (.1 + .5 + .9) / 3
    assert total.item() == pytest.approx(np.exp(-0.5) * np.log(3) + 0.5 + (np.e * 0.5 - 1.0) / 2, rel=1e-5)


def test_label_smoothing_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0, 2.0]]])
    log_p = torch.log_softmax(logits, -1)[0, 0]
    targets = Targets(torch.tensor([[2]]), torch.zeros(1, 1), torch.ones(1, 1))
    outputs = Outputs(logits, torch.zeros(1, 1, 3), torch.ones(1, 1))
    wanted = -(0.9 * log_p[2] + 0.1 * log_p.mean())
    assert ForecastLoss(0.1)(outputs, targets)[1]["direction"].item() == pytest.approx(wanted.item())


def forecast(rows: int = 4, middle: float = 0.0) -> Forecast:
    return Forecast(np.full((rows, 2, 3), 1 / 3), np.tile([middle - 0.1, middle, middle + 0.1], (rows, 2, 1)),
                    np.full((rows, 2), 0.02))


def test_a_forecast_is_checked_and_cut_by_rows() -> None:
    good = forecast()
    assert len(good[1:3]) == 2
    assert len(good[np.array([True, False, False, True])]) == 2
    with pytest.raises(UserError, match="must not cross"):
        Forecast(good.direction, good.quantiles[..., ::-1], good.volatility)
    with pytest.raises(UserError, match="sum to 1"):
        Forecast(good.direction * 2, good.quantiles, good.volatility)
    with pytest.raises(UserError, match=r"\(B, N, 3\)"):
        Forecast(good.direction[0], good.quantiles, good.volatility)
    with pytest.raises(UserError, match="negative"):
        Forecast(good.direction, good.quantiles, -good.volatility)
    half = good.volatility.copy()
    half[0] = np.nan
    with pytest.raises(UserError, match="all NaN"):
        Forecast(good.direction, good.quantiles, half)


def test_the_mean_knows_how_far_members_disagree() -> None:
    found = mean([forecast(middle=-0.05), forecast(middle=0.05)])
    np.testing.assert_allclose(found.median, 0, atol=1e-12)
    assert found.epistemic is not None
    np.testing.assert_allclose(found.epistemic, 0.05)
    np.testing.assert_allclose(found.direction.sum(-1), 1)
    with pytest.raises(UserError, match="at least one"):
        mean([])
    with pytest.raises(UserError, match="same rows"):
        mean([forecast(4), forecast(5)])


def test_spread_rows_take_one_of_each_stretch() -> None:
    rows = np.arange(1000)
    found = spread_rows(rows, 50, np.random.default_rng(0))
    assert (found // 20 == np.arange(50)).all()
    assert len(spread_rows(rows, 0)) == 1000
