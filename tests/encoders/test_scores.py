"""Scores against scikit-learn, scipy and numbers worked out by hand; their intervals against many known histories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from configs.errors import UserError
from data.bootstrap import BootstrapConfig, stationary_indices
from data.labels import DOWN, FLAT, UNKNOWN, UP, Labels
from encoders.forecast import LEVELS, Forecast
from encoders.score_table import histories, score_table
from encoders.scores import SCORES, Score, qlike_loss

QUICK = BootstrapConfig(draws=100, block=1)


def score(forecast: Forecast, labels: Labels, rows: np.ndarray, config: BootstrapConfig, block: float | None = None,
          **more) -> dict[str, Score]:
    table = score_table({"": forecast}, labels, rows, config, block, **more)
    return {name: table.score("", name) for name in table.measures}


def labels_of(forward, direction=None, volatility=None, reach: int = 1) -> Labels:
    """Flat where the return is within 0.3, unless `direction` says otherwise."""
    forward = np.asarray(forward, float)
    forward = forward[:, None] if forward.ndim == 1 else forward
    if direction is None:
        direction = np.where(forward > 0.3, UP, np.where(forward < -0.3, DOWN, FLAT))
    volatility = np.abs(forward) if volatility is None else np.asarray(volatility, float).reshape(forward.shape)
    return Labels(np.asarray(direction).reshape(forward.shape), forward, volatility, reach)


def forecast_of(chances, middle=0.0, half: float = 1.0, volatility=1.0) -> Forecast:
    chances = np.asarray(chances, float)
    chances = chances[:, None] if chances.ndim == 2 else chances
    shape = chances.shape[:2]
    middle = np.broadcast_to(np.asarray(middle, float).reshape(-1, *([1] * (np.ndim(middle) > 0))), shape)
    quantiles = np.stack([middle - half, middle, middle + half], axis=-1)
    return Forecast(chances, quantiles, np.broadcast_to(np.asarray(volatility, float), shape))


def random_case(rows: int = 400, assets: int = 1, seed: int = 0) -> tuple[Forecast, Labels]:
    """Forecasts that know a little; volatility and forecasts of it are positive."""
    rng = np.random.default_rng(seed)
    forward = rng.normal(size=(rows, assets))
    logits = rng.normal(size=(rows, assets, 3))
    logits[..., UP] += forward / 2
    logits[..., DOWN] -= forward / 2
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    quantiles = np.sort(rng.normal(size=(rows, assets, 3)), axis=-1)
    said = Forecast(chances, quantiles, rng.uniform(0.5, 2, (rows, assets)))
    return said, labels_of(forward, volatility=rng.uniform(0.5, 2, (rows, assets)))


def values(said: Forecast, labels: Labels, **more) -> dict[str, float]:
    found = score(said, labels, np.arange(len(said)), QUICK, block=1, **more)
    return {name: one.value for name, one in found.items()}


@pytest.mark.parametrize("kept", [(DOWN, FLAT, UP), (FLAT, UP), (UP,)])
def test_classes_against_scikit_learn(kept):
    """With all classes, and with one or two that never come: those may still be called."""
    from sklearn import metrics

    said, labels = random_case()
    rows = np.flatnonzero(np.isin(labels.direction[:, 0], kept))
    said, labels = said[rows], labels_of(labels.forward[rows])
    came, chances = labels.direction[:, 0], said.direction[:, 0]
    called = chances.argmax(axis=1)
    found = values(said, labels)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(came, called))
    # scikit-learn warns where a call never came, and means it
    recalls = [np.mean(called[came == k] == k) for k in kept]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    more = {"average": "macro", "zero_division": 0}
    assert found["precision"] == pytest.approx(metrics.precision_score(came, called, **more))
    assert found["recall"] == pytest.approx(metrics.recall_score(came, called, **more))
    assert found["f1"] == pytest.approx(metrics.f1_score(came, called, **more))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(came, chances, labels=[0, 1, 2]))
    brier = metrics.brier_score_loss(came, chances, labels=[0, 1, 2], scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    if len(kept) == 3:
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(came, called))


def test_a_class_that_neither_came_nor_was_called_is_no_class():
    from sklearn import metrics

    came, called = np.array([UP, UP, FLAT, UP]), np.array([UP, FLAT, FLAT, UP])
    found = values(forecast_of(0.1 + 0.7 * np.eye(3)[called]), labels_of(np.ones(4), came))
    assert found["f1"] == pytest.approx(metrics.f1_score(came, called, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(came, called))


@pytest.mark.parametrize("digits", [12, 1])
def test_rank_correlation_against_scipy(digits):
    """Rounded to one digit, hundreds of values are equal."""
    said, labels = random_case(assets=2)
    forward = np.round(labels.forward, digits)
    found = values(said, labels_of(forward), assets=("A", "B"))
    lean = said.direction[..., UP] - said.direction[..., DOWN]
    assert found["rank_ic"] == pytest.approx(stats.spearmanr(lean.ravel(), forward.ravel()).statistic)
    for n, name in enumerate("AB"):
        assert found[f"rank_ic:{name}"] == pytest.approx(stats.spearmanr(lean[:, n], forward[:, n]).statistic)


def test_perfect_and_worthless():
    rng = np.random.default_rng(0)
    forward = rng.normal(size=300)
    labels = labels_of(forward)
    sure = np.eye(3)[labels.direction[:, 0]]
    perfect = values(forecast_of(sure, forward, 0.0, np.abs(forward)[:, None]), labels)
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "coverage"):
        assert perfect[name] == 1, name
    for name in ("brier", "log_loss", "calibration_error", "pinball", "width", "qlike"):
        assert perfect[name] == pytest.approx(0, abs=1e-12), name
    assert perfect["rank_ic"] > 0.9

    uniform = values(forecast_of(np.full((300, 3), 1 / 3)), labels)
    assert uniform["log_loss"] == pytest.approx(np.log(3))
    assert uniform["brier"] == pytest.approx(2 / 3)
    assert uniform["accuracy"] == pytest.approx(1 / 3)  # three classes share each call
    assert uniform["hit_rate"] == uniform["weighted_hit_rate"] == 0.5
    assert np.isnan(uniform["rank_ic"])


def test_classes_that_are_equally_likely_share_the_call():
    found = values(forecast_of([[0.4, 0.2, 0.4]] * 4), labels_of(np.zeros(4), [UP, UP, FLAT, UP]))
    assert found["accuracy"] == pytest.approx(3 / 8)
    assert found["hit_rate"] != found["hit_rate"]  # nothing moved: there is no sign to hit


def test_one_sure_mistake_is_not_infinite():
    found = values(forecast_of([[1.0, 0.0, 0.0]] * 2), labels_of([1.0, -1.0]))
    assert found["log_loss"] == pytest.approx(-np.log(1e-6) / 2)


def test_hits_by_hand():
    up, down = [0.1, 0.2, 0.7], [0.5, 0.2, 0.3]
    found = values(forecast_of([up, up, down, down, up]), labels_of([0.1, -0.2, -0.4, 0.3, 0.0]))
    assert found["hit_rate"] == 0.5  # a move of zero is nobody's
    assert found["weighted_hit_rate"] == pytest.approx((0.1 + 0.4) / 1.0)


def test_ranges_by_hand():
    said = Forecast(np.full((3, 1, 3), 1 / 3), np.array([[[0.0, 1.0, 2.0]]] * 3), np.ones((3, 1)))
    found = values(said, labels_of([-1.0, 1.0, 2.0]))
    # misses of -1, -2, -3; 1, 0, -1; 2, 1, 0
    assert found["pinball"] == pytest.approx((0.9 + 1.0 + 0.3 + 0.1 + 0 + 0.1 + 0.2 + 0.5 + 0) / 9)
    assert found["coverage"] == pytest.approx(2 / 3)  # the border belongs to the range
    assert found["width"] == 2


def test_qlike_by_hand_and_whatever_the_unit():
    assert qlike_loss(np.array(4.0), np.array(1.0), 0.0) == pytest.approx(4 - np.log(4) - 1)
    volatility = np.array([0.0, 1.0, 2.0])  # a mean square of 5/3
    floor = 1e-3 * 5 / 3
    wanted = np.mean([share - np.log(share) - 1 for share in (floor / (1 + floor), 1.0, (4 + floor) / (1 + floor))])
    uniform = np.full((3, 3), 1 / 3)
    for unit in (1.0, 1e-4):
        labels = labels_of(np.zeros(3), [FLAT] * 3, unit * volatility)
        assert values(forecast_of(uniform, volatility=unit), labels)["qlike"] == pytest.approx(wanted)
    still = values(forecast_of(uniform, volatility=0.0), labels_of(np.zeros(3), [FLAT] * 3, np.zeros(3)))
    assert still["qlike"] == 0


def test_calibration_error_by_hand():
    """Two confidences, 0.5 and 0.8, right in 3 of 4 and in 2 of 4: off by 0.25 and by 0.3."""
    chances = [[0.3, 0.2, 0.5]] * 4 + [[0.1, 0.1, 0.8]] * 4
    came = [UP, UP, UP, DOWN, UP, UP, DOWN, FLAT]
    assert values(forecast_of(chances), labels_of(np.ones(8), came))["calibration_error"] == pytest.approx(0.275)


def test_a_calibrated_forecaster_has_a_small_calibration_error_and_a_boastful_one_has_not():
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), 20_000)
    came = (rng.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert values(forecast_of(chances), labels_of(np.ones(20_000), came))["calibration_error"] < 0.015
    boast = chances**3 / (chances**3).sum(axis=1, keepdims=True)
    assert values(forecast_of(boast), labels_of(np.ones(20_000), came))["calibration_error"] > 0.1


def test_a_resampled_history_scores_as_its_rows_do():
    """Weighted sums against the same score of the rows drawn, written out: equal but for what is fixed on all rows."""
    said, labels = random_case(rows=600, assets=2, seed=3)
    config = replace(QUICK, block=20.0, seed=5)
    table = score_table({"it": said}, labels, np.arange(600), config)
    rows = stationary_indices(600, 100, 20.0, np.random.default_rng(5))
    roughly = {"rank_ic": 0.02, "calibration_error": 0.02, "qlike": 0.002}  # ranks, bins and floor of all rows
    for draw in (0, 1, 99):
        drawn = Labels(labels.direction[rows[draw]], labels.forward[rows[draw]], labels.volatility[rows[draw]], 1)
        plain = values(said[rows[draw]], drawn)
        for s, name in enumerate(SCORES):
            close = {"abs": roughly[name]} if name in roughly else {"rel": 1e-9}
            assert table.found[1 + draw, 0, s] == pytest.approx(plain[name], **close), name
    assert table.found[1:, 0, 0].std() > 0.01


def test_histories_count_the_rows_that_were_drawn():
    counts = np.concatenate(list(histories(50, replace(QUICK, draws=130, block=5, seed=1))))
    assert counts.shape == (131, 50)
    assert (counts.sum(axis=1) == 50).all()
    rng = np.random.default_rng(1)
    first = stationary_indices(50, 100, 5, rng)[99]
    np.testing.assert_array_equal(counts[100], np.bincount(first, minlength=50))
    last = stationary_indices(50, 30, 5, rng)[29]
    np.testing.assert_array_equal(counts[130], np.bincount(last, minlength=50))


def overlapping(rng: np.random.Generator, rows: int, reach: int) -> Labels:
    """Returns over the next `reach` bars of a fair game: up on half of the rows, neighbours alike."""
    path = np.concatenate([[0.0], np.cumsum(rng.normal(size=rows + reach))])
    forward = path[reach : reach + rows] - path[:rows]
    return labels_of(forward, np.where(forward > 0, UP, DOWN), np.ones(rows), reach)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Some nine in ten, as the docstring has it. Drawn bar by bar, as if labels did not overlap, in far fewer."""
    rng = np.random.default_rng(7)
    said = forecast_of([[0.2, 0.2, 0.6]] * 600)
    inside = np.zeros(2)
    for _ in range(150):
        labels = overlapping(rng, 600, reach=12)
        for n, block in enumerate((None, 1.0)):
            found = score(said, labels, np.arange(600), replace(QUICK, draws=200), block)["accuracy"]
            inside[n] += found.low <= 0.5 <= found.high
    assert 0.84 <= inside[0] / 150 <= 0.98
    assert inside[1] / 150 < 0.6


def test_the_block_is_twice_the_reach_unless_longer_or_given():
    labels = overlapping(np.random.default_rng(0), 400, reach=12)
    table = {block: score_table({"it": forecast_of([[0.2, 0.2, 0.6]] * 400)}, labels, np.arange(400),
                                BootstrapConfig(draws=100, block=config), block)
             for config, block in ((5, None), (48, 6.0))}
    assert table[None].config.block == 24
    assert "mean block 24 rows (17 blocks; so few blocks make intervals too narrow)" in table[None].about
    assert table[6.0].config.block == 6
    assert "too narrow" not in table[6.0].about


def test_all_meet_the_same_histories_in_whatever_company():
    (one, labels), (other, _) = random_case(seed=0), random_case(seed=1)
    together = score_table({"one": one, "other": other, "twin": one}, labels, np.arange(400), QUICK)
    alone = score(one, labels, np.arange(400), QUICK)
    assert together.score("twin", "f1") == together.score("one", "f1") == alone["f1"]
    found = together.differences("brier", "one")
    assert list(found.index) == ["other", "twin"]
    assert found.loc["twin"].tolist() == [0.0, 0.0, 0.0]
    gap = together.score("other", "brier").value - together.score("one", "brier").value
    assert found.loc["other", "value"] == pytest.approx(gap)
    assert found.loc["other", "low"] > 0  # it forecasts another market


def test_paired_differences_are_surer_than_scores():
    """Two forecasts whose medians differ by a constant, where all that varies between histories is the return."""
    rng = np.random.default_rng(0)
    forward = np.abs(rng.normal(size=500)) + 5
    uniform = np.full((500, 3), 1 / 3)
    table = score_table({"near": forecast_of(uniform, 1.0), "far": forecast_of(uniform, 0.0)}, labels_of(forward),
                        np.arange(500), QUICK)
    gap = table.differences("pinball", "near").loc["far"]
    one = table.score("near", "pinball")
    assert one.high - one.low > 0.02
    assert gap["high"] - gap["low"] < 1e-9
    assert gap["value"] == pytest.approx((0.1 + 0.5 + 0.9) / 3)


def test_the_share_of_what_can_be_learnt():
    """Quantiles that miss by 4, by 1 and by nothing: three quarters are recovered in every history."""
    forward = np.random.default_rng(0).normal(size=200)
    uniform = np.full((200, 3), 1 / 3)
    forecasts = {name: forecast_of(uniform, forward - miss, 0.0) for name, miss in
                 (("naive", 4.0), ("model", 1.0), ("best", 0.0))}
    table = score_table(forecasts, labels_of(forward), np.arange(200), QUICK)
    assert table.recovered("naive", "model", "best", "pinball") == pytest.approx((0.75, 0.75, 0.75))
    assert table.recovered("naive", "best", "best", "pinball") == pytest.approx((1, 1, 1))
    nothing = table.recovered("naive", "model", "best")  # in log loss they are all the same
    assert np.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (-np.inf, np.inf)


def test_what_one_forecast_misses_is_left_out_for_all_and_counted():
    said, labels = random_case(rows=300, assets=2)
    holes = [part.copy() for part in (said.direction, said.quantiles, said.volatility)]
    for part in holes:
        part[:50, 1] = np.nan
        part[120] = np.nan
    direction = labels.direction.copy()
    direction[:20, 1] = UNKNOWN  # no label there: nothing to leave out
    labels = replace(labels, direction=direction)
    table = score_table({"whole": said, "holes": Forecast(*holes)}, labels, np.arange(300), QUICK)
    assert (table.rows, table.dropped) == (299, 30 + 2)
    assert table.score("whole", "log_loss") == table.score("holes", "log_loss")
    seen = np.full((300, 2), True)
    seen[:50, 1] = seen[120] = False
    chances = np.take_along_axis(said.direction, direction.clip(0)[..., None], axis=-1)[seen]
    assert table.score("whole", "log_loss").value == pytest.approx(-np.log(chances).mean())


def test_only_the_rows_that_were_asked_for():
    said, labels = random_case(rows=300)
    found = score(said, labels, np.arange(100, 300, 2), QUICK)["accuracy"].value
    assert found == pytest.approx(np.mean(said.direction[100::2, 0].argmax(-1) == labels.direction[100::2, 0]))


def test_the_table_reads_well():
    said, labels = random_case()
    table = score_table({"it": said, "even": forecast_of(np.full((400, 3), 1 / 3))}, labels, np.arange(400), QUICK)
    frame = table.frame
    assert frame.loc["it", ["brier", "brier_low", "brier_high"]].tolist() == list(table.score("it", "brier"))
    assert isinstance(table.score("it", "brier"), Score)
    assert len(frame.columns) == 3 * len(SCORES)
    text = table.markdown()
    assert "coverage of 80% is right" in text
    brier = table.score("it", "brier")
    assert f"| {brier.value:.4f} [{brier.low:.4f}, {brier.high:.4f}] |" in text
    assert "log_loss ↓ [interval]" in text
    assert "none" in text  # the rank correlation of what never leans
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({len(line) for line in block.strip().split("\n")}) == 1


def test_refusals():
    said, labels = random_case(rows=60)
    rows = np.arange(60)
    with pytest.raises(UserError, match="at least one forecast"):
        score_table({}, labels, rows, QUICK)
    for wrong in (rows[::-1], np.array([3, 3]), np.array([59, 60]), rows[:0]):
        with pytest.raises(UserError, match="must rise from at least 0 to at most 59"):
            score(said, labels, wrong, QUICK)
    with pytest.raises(UserError, match=r"'it' has quantiles of shape \(59, 1, 3\)"):
        score_table({"it": said[:59]}, labels, rows, QUICK)
    with pytest.raises(UserError, match="fewer than 2 blocks of 48"):
        score(said, labels, rows, BootstrapConfig())
    silent = Forecast(np.full((60, 1, 3), np.nan), np.full((60, 1, 3), np.nan), np.full((60, 1), np.nan))
    with pytest.raises(UserError, match=r"none of 60 labelled rows.*'silent' has the fewest, 0"):
        score_table({"it": said, "silent": silent}, labels, rows, QUICK)
    table = score_table({"it": said}, labels, rows, QUICK)
    with pytest.raises(UserError, match=r"unknown score 'brie'.*did you mean 'brier'"):
        table.score("it", "brie")
    with pytest.raises(UserError, match="unknown forecast 'us'"):
        table.differences("brier", "us")


def test_levels_are_those_of_the_forecasts():
    said, labels = random_case()
    two = Forecast(said.direction, said.quantiles[..., ::2], said.volatility)
    table = score_table({"it": two}, labels, np.arange(400), QUICK, levels=(0.25, 0.75))
    assert "coverage of 50% is right" in table.about
    miss = labels.forward[..., None] - two.quantiles
    wanted = np.maximum(miss * [0.25, 0.75], miss * [-0.75, -0.25]).mean()
    assert table.score("it", "pinball").value == pytest.approx(wanted)
    assert len(LEVELS) == 3
