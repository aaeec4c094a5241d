import json

import numpy as np
import pytest

from configs.errors import UserError
from configs.registry import lookup
from encoders.ensemble import COMBINERS, STAGES
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.crossfit import plainest, time_blocks
from encoders.ensemble.fusion import Fusion, fit_fusion
from encoders.forecast import Forecast
from tests.encoders.ensemble.members import coverage, knowing, outcomes, sharpened, with_label

PARTS = ("direction", "quantiles", "volatility", "epistemic", "aleatoric")
ALWAYS = {"direction": "isotonic", "volatility": "adaptive", "interval": "adaptive"}


def market(rows: int = 1200, assets: int = 2, reach: int = 4, warm_up: int = 30):
    labels, signal = outcomes(rows, assets, reach)
    rng = np.random.default_rng(7)
    members = {"loud": sharpened(knowing(signal, 0.4, 0.6), 2.5), "blind": knowing(0 * signal, 1.0),
               "noisy": knowing(signal + rng.normal(size=signal.shape), 1.2, 2.0)}
    for part in (members["noisy"].direction, members["noisy"].quantiles, members["noisy"].volatility):
        part[:warm_up] = np.nan
    return members, labels


def test_the_tables_name_what_there_is():
    for stage, table in STAGES.items():
        for name in table:
            assert hasattr(lookup(stage, name, table), "fit")


@pytest.mark.parametrize("combiner", COMBINERS)
def test_every_combiner_gives_a_whole_forecast_that_json_keeps_to_the_bit(combiner):
    members, labels = market()
    fusion = fit_fusion(members, labels, np.arange(50, 800), FusionConfig(combiner, **ALWAYS, memory=50))
    found = fusion.apply(members, labels)
    again = Fusion.of(json.loads(json.dumps(fusion.plain(), allow_nan=False)))
    assert again.plain() == fusion.plain()
    restored = again.apply(members, labels)
    for name in PARTS:
        part = getattr(found, name)
        assert np.isnan(part[:30]).all()
        assert np.isfinite(part[30:]).all()
        np.testing.assert_array_equal(part, getattr(restored, name))
    np.testing.assert_allclose(found.direction[30:].sum(axis=-1), 1, atol=1e-12)
    assert (np.diff(found.quantiles[30:], axis=-1) >= 0).all()
    assert coverage(found, labels, slice(800, None)) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("combiner", ["recent", "gated"])
def test_row_t_goes_by_labels_up_to_t_minus_reach(combiner):
    members, labels = market()
    fusion = fit_fusion(members, labels, np.arange(50, 700), FusionConfig(combiner, **ALWAYS, memory=50))
    before, after = (fusion.apply(members, one) for one in (labels, with_label(labels, 900)))
    for name in PARTS:
        np.testing.assert_array_equal(getattr(before, name)[:904], getattr(after, name)[:904])
    assert (before.volatility[904] != after.volatility[904]).all()
    assert (before.quantiles[904] != after.quantiles[904]).any()


def test_fitting_looks_at_the_labels_of_its_rows_alone():
    members, labels = market()
    config = FusionConfig("recent", **ALWAYS, memory=50)
    for outside in (20, 800):
        one, other = (fit_fusion(members, some, np.arange(50, 800), config).plain()
                      for some in (labels, with_label(labels, outside)))
        assert one == other
    assert fit_fusion(members, with_label(labels, 400), np.arange(50, 800), config).plain() != one


def test_outcomes_of_rows_that_taught_a_member_can_be_left_out():
    members, labels = market()
    fusion = fit_fusion(members, labels, np.arange(500, 900), FusionConfig("recent", **ALWAYS, memory=50))
    before, after = (fusion.apply(members, one, since=500) for one in (labels, with_label(labels, 499)))
    for name in PARTS:
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_auto_takes_what_the_rows_left_out_speak_for_and_keeps_the_scores():
    members, labels = market(3000)
    fusion = fit_fusion(members, labels, np.arange(50, 2000), FusionConfig())
    assert {stage: list(scores) for stage, scores in fusion.scores.items()} == {
        stage: list(table) for stage, table in STAGES.items()}
    assert fusion.chosen["combiner"] in ("weights", "gated")
    scores = fusion.scores["direction"]
    assert fusion.chosen["direction"] == "none" or (
        scores[fusion.chosen["direction"]]["direction"] < scores["none"]["direction"])
    assert fusion.chosen["interval"] == "static"  # nothing drifts


def test_auto_leaves_what_is_right_and_calibrates_what_is_not():
    labels, signal = outcomes(2500)
    right = fit_fusion({"right": knowing(signal)}, labels, np.arange(2000), FusionConfig())
    loud = fit_fusion({"loud": sharpened(knowing(signal), 3.0)}, labels, np.arange(2000), FusionConfig())
    assert (right.chosen["combiner"], right.chosen["direction"]) == ("equal", "none")
    assert loud.chosen["combiner"] == "equal"  # not the vote, which is timid but knows less
    assert loud.chosen["direction"] == "temperature"
    assert loud.scores["direction"]["temperature"]["direction"] < loud.scores["direction"]["none"]["direction"] - 0.1


def test_auto_follows_a_drift():
    spread = np.exp(np.linspace(0, 2, 3000))[:, None]
    labels, signal = outcomes(3000, spread=spread)
    fusion = fit_fusion({"still": knowing(0 * signal)}, labels, np.arange(2900), FusionConfig(memory=100))
    assert fusion.chosen["volatility"] == "adaptive"


def test_blocks_do_not_touch_what_they_are_judged_by():
    rows = np.concatenate([np.arange(100, 300), np.arange(340, 500)])
    blocks = time_blocks(rows, reach=10, count=4)
    np.testing.assert_array_equal(np.concatenate([block.test for block in blocks]), rows)
    for block in blocks:
        assert np.abs(block.teach[:, None] - block.test).min() > 10
    with pytest.raises(UserError, match=r"too few for 5 blocks .* reach 24 bars"):
        time_blocks(np.arange(100), 24, 5)


def test_the_plainest_gives_way_only_to_more_than_noise():
    noisy = np.array([[1.0, 1.0, 1.0, 1.0], [0.5, 1.4, 0.6, 1.4]])
    assert plainest(noisy) == 0
    assert plainest(noisy - [[0.0], [0.4]]) == 1
    assert plainest(np.array([[np.pi] * 3, [np.pi] * 3])) == 0


def test_what_does_not_fit_is_refused():
    members, labels = market()
    config = FusionConfig("equal")
    fusion = fit_fusion(members, labels, np.arange(800), config)
    with pytest.raises(UserError, match="the fusion is of loud, blind, noisy, found forecasts of loud"):
        fusion.apply({"loud": members["loud"]}, labels)
    with pytest.raises(UserError, match="same rows and of 2 assets"):
        fusion.apply({name: member[:10] for name, member in members.items()}, labels)
    with pytest.raises(UserError, match="no row to fuse on"):
        fit_fusion(members, labels, np.arange(20), config)
    with pytest.raises(UserError, match="at least one"):
        fit_fusion({}, labels, np.arange(20), config)
    for setting, said in (({"combiner": "gate"}, "did you mean 'gated'"), ({"blocks": 1}, "at least 2 blocks"),
                          ({"memory": 3}, "memory of at least 20")):
        with pytest.raises(UserError, match=said):
            FusionConfig(**setting)


def test_a_broken_description_is_refused():
    members, labels = market()
    stored = fit_fusion(members, labels, np.arange(800), FusionConfig("equal")).plain()
    with pytest.raises(ValueError, match="no combiner"):
        Fusion.of({**stored, "stages": {**stored["stages"], "combiner": {"name": "os", "fitted": {}}}})
    with pytest.raises(ValueError, match="not the description"):
        Fusion.of({"members": []})


def test_one_member_and_float32_forecasts_will_do():
    members, labels = market()
    alone = members["loud"]
    alone = Forecast(*(part.astype(np.float32) for part in (alone.direction, alone.quantiles, alone.volatility)))
    found = fit_fusion({"alone": alone}, labels, np.arange(800), FusionConfig()).apply(
        {"alone": alone}, labels)
    np.testing.assert_array_equal(found.epistemic, 0)
