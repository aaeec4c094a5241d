import numpy as np
import pytest

from configs.errors import UserError
from encoders.ensemble.combining import Equal, Shares, Vote, check_members, pool
from encoders.ensemble.contest import HEADS, Units, contest, losses
from encoders.ensemble.online import fixed_share
from encoders.ensemble.recent import Recent
from encoders.ensemble.weights import Weighted, solve
from encoders.forecast import Forecast, mean, own_spread
from encoders.scores import Pairs, log_loss, pinball, qlike
from tests.encoders.ensemble.members import CONFIG, knowing, outcomes, with_label

ROWS = np.arange(2000)


def noise(rows: int, seed: int = 9) -> Forecast:
    """Calls as bold as those of one who knows, about nothing."""
    return knowing(np.random.default_rng(seed).normal(size=(rows, 1)), volatility=4.0)


def test_the_law_of_total_variance():
    """Against draws from the mixture itself: a member by its weight, then a return from that member's normal law."""
    rng = np.random.default_rng(0)
    middles, spreads, weights = np.array([-0.5, 0.1, 0.8]), np.array([0.2, 0.5, 1.0]), np.array([0.5, 0.3, 0.2])
    members = [knowing(np.full((1, 1), middle), spread) for middle, spread in zip(middles, spreads)]
    found = pool(members, Shares(*np.tile(weights[:, None, None], (3, 1, 1, 1))))
    who = rng.choice(3, size=400_000, p=weights)
    drawn = rng.normal(middles[who], spreads[who])
    assert found.epistemic[0, 0] ** 2 + found.aleatoric[0, 0] ** 2 == pytest.approx(drawn.var(), rel=0.01)
    assert found.epistemic[0, 0] == pytest.approx(np.sqrt(weights @ middles**2 - (weights @ middles) ** 2))
    assert own_spread(members[1])[0, 0] == pytest.approx(0.5)


def test_equal_is_the_mean_and_a_pool_at_equal_weights():
    members = [noise(50, seed) for seed in range(3)]
    found, same = Equal().apply(members, None), pool(members, Shares(*np.full((3, 3, 1, 1), 1 / 3)))
    np.testing.assert_array_equal(found.quantiles, mean(members).quantiles)
    for name in ("direction", "quantiles", "volatility", "epistemic", "aleatoric"):
        np.testing.assert_allclose(getattr(found, name), getattr(same, name), atol=1e-12)


def test_a_vote_counts_calls_and_splits_ties():
    calls = ([0.1, 0.2, 0.7], [0.0, 0.4, 0.6], [0.4, 0.2, 0.4])
    members = [Forecast(np.array([[call]]), np.zeros((1, 1, 3)), np.ones((1, 1))) for call in calls]
    np.testing.assert_allclose(Vote().apply(members, None).direction[0, 0], np.array([1.5, 1.0, 3.5]) / 6)


def test_losses_are_those_of_the_scores():
    labels, signal = outcomes(400, assets=2)
    said, rows = knowing(signal + 0.1, volatility=0.7), np.arange(300)
    units = Units.fit(labels, rows)
    found = losses(said, labels, rows, units)
    pairs = Pairs.of(said, labels, np.repeat(rows, 2), np.tile([0, 1], 300))
    assert found["direction"] == pytest.approx(log_loss(pairs).mean())
    assert found["quantiles"] == pytest.approx((pinball(pairs) / units.forward[pairs.asset]).mean())
    assert found["volatility"] == pytest.approx(qlike(pairs).mean())


@pytest.mark.parametrize("name", HEADS)
def test_slopes_are_those_of_the_losses(name):
    labels, signal = outcomes(60)
    head = contest([knowing(signal, volatility=0.7)], labels, np.arange(50), Units(np.ones(1), np.ones(1))).heads[name]
    at, small = head.said[0], 1e-6
    for k in range(at.shape[1]):
        up, down = (head.loss(at + sign * small * np.eye(at.shape[1])[k])[0] for sign in (1, -1))
        np.testing.assert_allclose(head.loss(at)[1][:, k], (up - down) / (2 * small), atol=1e-4)


def test_weights_leave_noise_for_the_one_who_knows():
    labels, signal = outcomes(2500)
    members = [noise(2500), knowing(signal)]
    fitted = Weighted.fit(members, labels, ROWS, CONFIG)
    assert (fitted.weights[:, 1] > 0.9).all()
    np.testing.assert_allclose(fitted.weights.sum(axis=1), 1)
    found = fitted.apply(members, labels)
    later, units = np.arange(2000, 2499), Units(np.ones(1), np.ones(1))
    assert losses(found, labels, later, units)["total"] < losses(mean(members), labels, later, units)["total"] - 0.1


def test_members_of_one_worth_are_drawn_back_to_equal_weights():
    labels, signal = outcomes(1500)
    rng = np.random.default_rng(3)
    members = [knowing(signal + rng.normal(scale=0.5, size=signal.shape), 0.9) for _ in range(4)]
    found = Weighted.fit(members, labels, np.arange(1000), CONFIG)
    np.testing.assert_allclose(found.weights, 0.25, atol=0.03)
    assert found.shrinkage.max() == 1.0


def test_the_solver_finds_the_weights_of_a_known_mixture():
    """Of 7,000 rows the classes were drawn from the first member's chances, of 3,000 from the second's."""
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet([0.5] * 3, size=(2, 10_000, 1))
    who = np.where(rng.random((10_000, 1, 1)) < 0.7, first, second)
    labels, _ = outcomes(10_001)
    labels.direction[:-1] = (rng.random((10_000, 1, 1)) > who.cumsum(axis=-1)).sum(axis=-1)
    members = [Forecast(part, np.zeros((10_000, 1, 3)), np.ones((10_000, 1))) for part in (first, second)]
    head = contest(members, labels, np.arange(10_000), Units(np.ones(1), np.ones(1))).heads["direction"]
    odds = solve(head, np.ones((10_000, 1)), np.zeros((2, 1)), 10.0, 10_000)
    assert 1 / (1 + np.exp(odds[1] - odds[0])) == pytest.approx(0.7, abs=0.03)


def test_fixed_share_by_hand():
    news = np.array([[0.0, 1.0], [np.nan, np.nan], [1.0, 0.0]])
    first = np.array([1.0, np.exp(-1)]) / (1 + np.exp(-1)) * 0.9 + 0.05
    second = first * [np.exp(-1), 1.0]
    expected = [first, first, second / second.sum() * 0.9 + 0.05]
    np.testing.assert_allclose(fixed_share(news, 1.0, 0.1), expected)


def test_recent_changes_horses_when_they_tire():
    rows = 4000
    labels, signal = outcomes(rows)
    swap = (np.arange(rows) // 500 % 2 == 1)[:, None]
    other = noise(rows).median
    members = [knowing(np.where(swap, other, signal)), knowing(np.where(swap, signal, other))]
    fitted = Recent.fit(members, labels, ROWS, CONFIG)
    assert (fitted.rate[:2] > 0).all()
    recent, fixed = (one.apply(members, labels) for one in (fitted, Weighted.fit(members, labels, ROWS, CONFIG)))
    later, units = np.arange(2000, rows - 1), Units(np.ones(1), np.ones(1))
    assert losses(recent, labels, later, units)["total"] < losses(fixed, labels, later, units)["total"] - 0.1


@pytest.mark.parametrize("reach", [1, 7])
def test_recent_goes_by_labels_up_to_t_minus_reach(reach):
    labels, signal = outcomes(600, assets=2, reach=reach)
    members = [knowing(signal), knowing(-signal)]
    fitted = Recent(np.ones(3), np.full(3, 0.01), np.ones(2), np.ones(2))
    changed = (fitted.apply(members, with_label(labels, 20)).direction
               != fitted.apply(members, labels).direction)
    assert not changed[: 20 + reach].any()
    assert changed[20 + reach].any()


def test_recent_begins_even_where_nothing_is_known():
    labels, signal = outcomes(100, reach=100)
    members = [knowing(signal), knowing(-signal)]
    found = Recent(np.ones(3), np.full(3, 0.01), np.ones(1), np.ones(1)).apply(members, labels)
    np.testing.assert_allclose(found.quantiles, mean(members).quantiles, atol=1e-12)


def test_members_that_do_not_fit_together_are_refused():
    with pytest.raises(UserError, match="at least one"):
        check_members([])
    with pytest.raises(UserError, match=r"same rows .* \(40, 1, 3\), \(50, 1, 3\)"):
        check_members([noise(50), noise(40)])
    five = Forecast(np.full((1, 1, 3), 1 / 3), np.zeros((1, 1, 5)), np.ones((1, 1)))
    with pytest.raises(UserError, match="at the quantiles"):
        check_members([five])
