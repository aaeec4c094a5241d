import dataclasses
import importlib.util
import os

import numpy as np
import pytest
import torch

from configs.errors import UserError
from configs.loader import parse, preset
from data.labels import LabelConfig, make_labels
from encoders.trees import TREES, library
from encoders.trees.config import TreeConfig
from encoders.trees.fit import fit_trees, fitted_trees, trees_key
from encoders.trees.model import TreeForecaster
from tests.encoders.planted import WINDOW, Pieces, planted
from tests.encoders.trees.quick import QUICK, fitted, same

KINDS = [pytest.param(name, marks=pytest.mark.skipif(
    name == "xgboost" and importlib.util.find_spec("xgboost") is None, reason="XGBoost is not installed"))
    for name in TREES]


def files(trees: TreeForecaster) -> list[bytes]:
    return [file for part in trees.parts if part.trees for file in part.trees.files]


def announced() -> Pieces:
    """The planted market, but returns four times as wild on half of the rows, which a feature of the row before tells
    and the past does not."""
    pieces = planted(lead=0.0)
    rows = len(pieces.market)
    wild = np.random.default_rng(1).random(rows) < 0.5
    returns = np.diff(np.log(pieces.market.prices), axis=0, prepend=np.log(pieces.market.prices[:1]))
    prices = 100 * np.exp(np.cumsum(returns * np.where(wild, 4.0, 1.0)[:, None, None], axis=0))
    features = pieces.market.features.copy()
    features[:-1, :, 2] += 4 * wild[1:, None]
    labels = make_labels(prices, pieces.market.segments, LabelConfig(horizon=1))
    return dataclasses.replace(pieces, market=dataclasses.replace(pieces.market, prices=prices, features=features),
                               labels=labels)


@pytest.mark.parametrize("name", KINDS)
def test_a_planted_lead_is_learnt(pieces: Pieces, name: str) -> None:
    scores = fitted(pieces, name).scores
    assert scores["direction"] < scores["base_direction"] - 0.08
    assert scores["quantiles"] < 0.9 * scores["base_quantiles"]
    assert scores["accuracy"] > scores["base_accuracy"] + 0.08


@pytest.mark.parametrize("name", KINDS)
def test_volatility_that_a_feature_announces_is_learnt(name: str) -> None:
    pieces = announced()
    trees = fitted(pieces, name)
    assert trees.scores["volatility"] < trees.scores["base_volatility"] - 0.2
    said = trees.forecast(pieces.market).volatility
    rows = pieces.market.decision_rows(WINDOW, pieces.split.train)
    rows = rows[pieces.labels.known[rows] & (rows < pieces.split.train.stop - pieces.labels.reach)]
    ratio = (pieces.labels.volatility[rows] / said[rows]) ** 2
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)  # neither too calm nor too wild where it has learnt


@pytest.mark.parametrize("name", KINDS)
def test_noise_teaches_nothing(name: str) -> None:
    scores = fitted(planted(lead=0.0), name).scores
    assert abs(scores["direction"] - scores["base_direction"]) < 0.01
    assert scores["loss"] <= scores["base_loss"] + 1e-6  # the base rates are kept when nothing beats them


@pytest.mark.parametrize("name", KINDS)
def test_too_few_labels_to_branch_leave_the_base_rates(pieces: Pieces, name: str) -> None:
    scores = fitted(pieces, name, least=2000).scores
    assert {key: scores[f"base_{key}"] for key in ("direction", "quantiles", "volatility")} == pytest.approx(
        {key: scores[key] for key in ("direction", "quantiles", "volatility")}, rel=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_gives_the_same_trees(pieces: Pieces, name: str) -> None:
    first = fitted(pieces, name, trees=5)
    assert files(fitted(pieces, name, trees=5)) == files(first)
    assert fitted(pieces, name, trees=5).fingerprint == first.fingerprint
    assert files(fitted(pieces, name, trees=5, seed=1)) != files(first)


def test_torch_keeps_its_threads_and_its_randomness(pieces: Pieces) -> None:
    before = torch.get_num_threads()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    fitted(pieces, "boosting", trees=3, threads=2).forecast(pieces.market)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("name", ["boosting", "forest"])
def test_lightgbms_trees_are_the_same_with_any_number_of_threads(pieces: Pieces, name: str) -> None:
    assert files(fitted(pieces, name, trees=3, threads=2)) == files(fitted(pieces, name, trees=3))


def test_no_threads_are_all_there_are_whatever_openmp_was_told(monkeypatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert (TreeConfig(threads=0).cores, TreeConfig().cores) == (12, 1)
    assert library.settings(TreeConfig(threads=0), least=1, seed=0)["num_threads"] == 12


@pytest.mark.parametrize("name", ["boosting", "forest"])
def test_only_training_rows_teach(pieces: Pieces, name: str) -> None:
    """Whatever happens in the test rows, or to the features between the spans, the trees stay to the bit."""
    features = pieces.market.features.copy()
    features[pieces.split.test] *= -3
    features[pieces.split.train.stop : pieces.split.valid.start - WINDOW + 1] += 7
    forward = pieces.labels.forward.copy()
    forward[pieces.split.test] = 9
    other = dataclasses.replace(pieces, market=dataclasses.replace(pieces.market, features=features),
                                labels=dataclasses.replace(pieces.labels, forward=forward))
    one, two = fitted(pieces, name, trees=5), fitted(other, name, trees=5)
    assert files(one) == files(two)
    assert [part.start.tolist() for part in one.parts] == [part.start.tolist() for part in two.parts]
    assert one.scores == two.scores


def test_an_asset_without_a_label_does_not_silence_the_other(pieces: Pieces) -> None:
    """None of the NaN that stand for its labels reaches a tree."""
    direction, forward, volatility = (values.copy() for values in (pieces.labels.direction, pieces.labels.forward,
                                                                   pieces.labels.volatility))
    direction[::3, 1], forward[::3, 1], volatility[::3, 1] = -1, np.nan, np.nan
    holes = dataclasses.replace(pieces.labels, direction=direction, forward=forward, volatility=volatility)
    scores = fitted(dataclasses.replace(pieces, labels=holes), "boosting").scores
    assert scores["direction"] < scores["base_direction"] - 0.08
    assert np.isfinite(list(scores.values())).all()


def test_thinned_rows_teach_too(pieces: Pieces) -> None:
    scores = fitted(pieces, "boosting", rows=400).scores
    assert scores["direction"] < scores["base_direction"] - 0.05


def test_a_leaf_holds_labels_that_share_no_bar() -> None:
    config = TreeConfig("boosting", least=20, bag=0.5)
    assert config.least_rows(reach=1, assets=1, drawn=1.0) == 10
    assert config.least_rows(reach=24, assets=2, drawn=1.0) == 480
    assert config.least_rows(reach=24, assets=1, drawn=1 / 24) == 10
    assert config.least_rows(reach=24, assets=1, drawn=1 / 96) == 10  # further apart than that they share none


def test_fitting_trees_are_used_again(pieces: Pieces, tmp_path, monkeypatch, capsys) -> None:
    config = dataclasses.replace(QUICK["boosting"], trees=3)
    arguments = (pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, config, tmp_path)
    first = fitted_trees(*arguments, progress=False)
    folder = tmp_path / trees_key(*arguments[:3], WINDOW, config)
    (folder / "trees.json").write_text("{")
    assert fitted_trees(*arguments, progress=False).fingerprint == first.fingerprint
    assert "growing boosting anew" in capsys.readouterr().err

    def never(*_, **__):
        raise AssertionError("grown twice")

    monkeypatch.setattr("encoders.trees.fit.fit_trees", never)
    again = fitted_trees(*arguments, progress=False)
    assert again.fingerprint == first.fingerprint
    assert same(again.forecast(pieces.market), first.forecast(pieces.market))
    with pytest.raises(AssertionError, match="grown twice"):
        fitted_trees(*arguments, seed=1, progress=False)


def test_the_key_knows_every_ingredient(pieces: Pieces) -> None:
    base = (pieces.market, pieces.labels, pieces.split, WINDOW, QUICK["forest"])
    other = planted(lead=0.5)
    keys = [trees_key(*base), trees_key(*base, seed=1), trees_key(*base[:3], WINDOW + 1, base[4]),
            trees_key(*base[:4], QUICK["boosting"]), trees_key(*base[:4], dataclasses.replace(QUICK["forest"], l2=0)),
            trees_key(other.market, *base[1:]), trees_key(base[0], other.labels, *base[2:]),
            trees_key(*base[:2], dataclasses.replace(pieces.split, train=slice(0, 500)), *base[3:])]
    assert len(set(keys)) == len(keys)
    assert trees_key(*base) == keys[0]


@pytest.mark.parametrize("name", TREES)
def test_presets(name: str) -> None:
    for size in ("small", "full"):
        assert parse(TreeConfig, [], preset("trees", f"{name}.{size}")).name == name


@pytest.mark.parametrize(("changes", "said"), [
    ({"name": "forrest"}, "unknown kind of trees 'forrest'.*did you mean 'forest'"),
    ({"leaves": 1}, "leaves must be at least 2, found 1"),
    ({"rate": 0.0}, "rate must be above 0 and at most 1, found 0"),
    ({"bag": 1.5}, "bag must be above 0 and at most 1, found 1.5"),
    ({"name": "forest", "bag": 1}, "give a bag below 1"),
    ({"least": 0}, "least must be above 0"),
])
def test_settings_that_cannot_be_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        TreeConfig(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("trouble", "said"), [
    (OSError("libgomp.so.1: cannot open shared object file"), "libgomp.so.1.*apt-get install libgomp1"),
    (ImportError("No module named 'lightgbm'"), "pip install lightgbm"),
])
def test_a_library_that_is_not_there_is_named(monkeypatch, trouble: Exception, said: str) -> None:
    def failing(name: str, *rest):
        if name == "lightgbm":
            raise trouble
        return original(name, *rest)

    original = __import__
    monkeypatch.setattr("builtins.__import__", failing)
    with pytest.raises(UserError, match=said):
        library.lightgbm_library()


@pytest.mark.skipif(importlib.util.find_spec("xgboost") is not None, reason="XGBoost is installed")
def test_the_extra_is_named_where_it_is_missing(pieces: Pieces) -> None:
    with pytest.raises(UserError, match=r"pip install 'coinarena\[xgboost\]', or choose forest or boosting"):
        fit_trees(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, QUICK["xgboost"])
