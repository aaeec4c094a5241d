"""The whole ensemble: trained, stored, loaded, and the same forecast of the same market to the bit."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UserError
from data.dataset import Dataset
from data.labels import LabelConfig
from encoders.checkpoint import Checkpoint
from encoders.ensemble.config import EnsembleConfig, FusionConfig
from encoders.ensemble.ensemble import SETTINGS, Ensemble
from encoders.ensemble.fusion import fit_fusion
from encoders.ensemble.nets import Nets
from encoders.ensemble.train import train_ensemble
from encoders.forecast import Forecast, mean
from encoders.pretrain import pretrain
from encoders.trees.config import TreeConfig
from encoders.trees.fit import fit_trees
from encoders.trees.model import TreeForecaster
from tests.encoders.planted import QUICK, WINDOW, Pieces, tiny

LABELS = LabelConfig(horizon=1)
CONFIG = EnsembleConfig(members=("lstm", "boosting"), seeds=2)


def dataset_of(pieces: Pieces) -> Dataset:
    return Dataset(pieces.market, pieces.labels, pieces.split, pieces.scaler, ())


def net(pieces: Pieces, name: str, seed: int) -> Checkpoint:
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny(name),
                    dataclasses.replace(QUICK, epochs=3), seed=seed, progress=False)


def grown(pieces: Pieces, kind: str) -> TreeForecaster:
    return fit_trees(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW,
                     TreeConfig(name=kind, trees=30, rate=0.1), progress=False)


@pytest.fixture(scope="module")
def trained(pieces: Pieces) -> tuple[Ensemble, dict[str, Forecast]]:
    return train_ensemble(dataset_of(pieces), LABELS, WINDOW, CONFIG, 0, lambda name, seed: net(pieces, name, seed),
                          lambda kind: grown(pieces, kind))


def same(one: Forecast, other: Forecast, rows: slice = slice(None)) -> bool:
    parts = [(getattr(one, name), getattr(other, name))
             for name in ("direction", "quantiles", "volatility", "epistemic", "aleatoric")]
    return all(np.array_equal(a[rows], b[rows], equal_nan=True) for a, b in parts)


def test_members_and_the_fused_forecast_learn_the_lead(trained: tuple[Ensemble, dict[str, Forecast]], pieces: Pieces
                                                       ) -> None:
    ensemble, forecasts = trained
    assert list(forecasts) == ["lstm", "boosting"]
    fused = ensemble.fuse(forecasts, pieces.market)
    rows = pieces.market.decision_rows(WINDOW, pieces.split.test)
    rows = rows[pieces.labels.known[rows]]
    truth = pieces.labels.direction[rows][..., None]

    def log_loss(forecast: Forecast) -> float:
        return float(-np.log(np.take_along_axis(forecast.direction[rows], truth, axis=2)).mean())

    counts = np.bincount(pieces.labels.direction[rows].ravel(), minlength=3) / truth.size
    assert log_loss(fused) < -(counts * np.log(counts)).sum() - 0.1
    assert log_loss(fused) < min(map(log_loss, forecasts.values())) + 0.02
    assert (fused.epistemic[rows] > 0).all()
    assert (fused.aleatoric[rows] > fused.epistemic[rows]).mean() > 0.9


def test_it_comes_back_from_disk_to_the_bit(trained: tuple[Ensemble, dict[str, Forecast]], pieces: Pieces,
                                            tmp_path: Path) -> None:
    ensemble, _ = trained
    again = Ensemble.load(ensemble.save(tmp_path / "e"))
    assert same(again.forecast(pieces.market), ensemble.forecast(pieces.market))
    again.check_fits(pieces.market, pieces.scaler, WINDOW)
    with pytest.raises(UserError, match="reads windows of 6 bars, not 9"):
        again.check_fits(pieces.market, pieces.scaler, 9)


def test_what_comes_later_changes_no_earlier_forecast(trained: tuple[Ensemble, dict[str, Forecast]], pieces: Pieces
                                                      ) -> None:
    """Not the members', and not by way of outcomes that the fusion follows."""
    ensemble, _ = trained
    rng = np.random.default_rng(0)
    for config in (FusionConfig(combiner="recent", volatility="adaptive", interval="adaptive"), None):
        if config is not None:
            fitted, _ = train_ensemble(dataset_of(pieces), LABELS, WINDOW,
                                       dataclasses.replace(CONFIG, seeds=1, fusion=config), 0,
                                       lambda name, seed: ensemble.members["lstm"].checkpoints[0],
                                       lambda kind: ensemble.members["boosting"])
        else:
            fitted = ensemble
        wanted = fitted.forecast(pieces.market)
        for cut in (900, 1390):
            prices, features = pieces.market.prices.copy(), pieces.market.features.copy()
            prices[cut + 1 :] *= np.exp(rng.normal(0, 0.3, (len(prices) - cut - 1, 2, 1)))
            features[cut + 1 :] *= -2
            changed = dataclasses.replace(pieces.market, prices=prices, features=features)
            found = fitted.forecast(changed)
            assert same(found, wanted, slice(0, cut + 1))
            assert not same(found, wanted, slice(cut + 1, None))


def test_seeds_are_one_member_and_disagree(trained: tuple[Ensemble, dict[str, Forecast]], pieces: Pieces) -> None:
    ensemble, forecasts = trained
    nets = ensemble.members["lstm"]
    assert isinstance(nets, Nets)
    assert len(nets.checkpoints) == 2
    assert same(mean([Nets((one,)).forecast(pieces.market) for one in nets.checkpoints]), forecasts["lstm"])
    assert np.nanmin(forecasts["lstm"].epistemic) > 0


def test_dropout_left_on_makes_one_net_disagree_with_itself(trained: tuple[Ensemble, dict[str, Forecast]],
                                                            pieces: Pieces) -> None:
    checkpoint = trained[0].members["lstm"].checkpoints[0]
    whole, thinned = Nets((checkpoint,)).forecast(pieces.market), Nets((checkpoint,), passes=8)
    found = thinned.forecast(pieces.market)
    assert same(found, thinned.forecast(pieces.market)), "the same passes give the same forecast"
    assert np.nanmedian(found.epistemic) > 0
    rows = whole.known
    assert 0.9 < np.corrcoef(found.direction[rows, 0, 2], whole.direction[rows, 0, 2])[0, 1] < 1


def test_what_is_not_whole_is_refused(trained: tuple[Ensemble, dict[str, Forecast]], tmp_path: Path) -> None:
    folder = trained[0].save(tmp_path / "e")
    with pytest.raises(UserError, match=r"no ensemble at .*train_ensemble\.py"):
        Ensemble.load(tmp_path / "nowhere")
    text = (folder / SETTINGS).read_text()
    (folder / SETTINGS).write_text(text[:200])
    with pytest.raises(UserError, match="is damaged"):
        Ensemble.load(folder)
    stored = json.loads(text)
    for changed, said in (({"format": 9}, "has format 9"), ({"fusion": {}}, "not complete"),
                          ({"members": {"../x": {"nets": 1, "passes": 0}}}, "'../x' is no member's name")):
        (folder / SETTINGS).write_text(json.dumps({**stored, **changed}))
        with pytest.raises(UserError, match=said) as caught:
            Ensemble.load(folder)
        assert "\n" not in str(caught.value)
    (folder / SETTINGS).write_text(text)
    trained[0].members["lstm"].checkpoints[1].save(folder / "lstm" / "0")  # as half a save over another would leave it
    with pytest.raises(UserError, match="lstm is not the member that"):
        Ensemble.load(folder)
    (folder / "lstm" / "1" / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="no checkpoint at"):
        Ensemble.load(folder)


@pytest.mark.parametrize(("changes", "said"), [
    ({"members": ("lstm", "lstm")}, "each of its members once"), ({"seeds": 0}, "seeds of at least 1"),
    ({"members": ("forrest",)}, "did you mean 'forest'"),
])
def test_bad_settings_are_named(changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        EnsembleConfig(**changes)


def test_what_a_member_disagrees_within_itself_is_not_lost(trained: tuple[Ensemble, dict[str, Forecast]],
                                                           pieces: Pieces) -> None:
    nets = trained[1]["lstm"]
    rows = nets.known
    for combiner in ("equal", "weights"):
        plain = FusionConfig(combiner=combiner, direction="none", volatility="none", interval="none")
        valid = pieces.market.decision_rows(WINDOW, pieces.split.valid)
        for members in ({"nets": nets}, {"nets": nets, "twin": nets}):
            fused = fit_fusion(members, pieces.labels, valid, plain).apply(members, pieces.labels)
            np.testing.assert_allclose(fused.epistemic[rows], nets.epistemic[rows], rtol=1e-5)
            np.testing.assert_allclose(fused.aleatoric[rows], nets.aleatoric[rows], rtol=1e-5)
