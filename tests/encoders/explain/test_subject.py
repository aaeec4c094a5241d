import numpy as np
import pytest

from configs.errors import UserError
from data.features import FEATURES, GROUPS
from encoders.embed import embed
from encoders.explain.config import ExplainConfig
from encoders.explain.subject import Subject, groups_of
from tests.encoders.explain.conftest import DRAWS


def test_every_column_of_the_table_is_in_its_features_group() -> None:
    columns = [column for feature in FEATURES for column in feature.columns]
    found = groups_of([*columns, "macro_missing", "onchain_age", "mine"])
    assert set(found) == {*GROUPS, "missing", "other"}
    assert sorted(np.concatenate(list(found.values()))) == list(range(len(columns) + 3))
    assert found["missing"].tolist() == [len(columns), len(columns) + 1]
    for feature in FEATURES:
        assert {columns.index(column) for column in feature.columns} <= {*found[feature.group].tolist()}


def test_rows_are_labelled_validation_rows_and_blocks_hold_what_overlaps(subject: Subject, pieces) -> None:
    valid = pieces.split.valid
    assert subject.rows.min() >= valid.start
    assert subject.rows.max() < valid.stop - pieces.labels.reach
    assert (pieces.labels.direction[subject.rows] >= 0).any(axis=1).all()
    spacing = (subject.rows[-1] - subject.rows[0]) / 199
    assert subject.bootstrap.block == pytest.approx(6 / spacing)  # the window is longer than block and labels
    assert subject.bootstrap.draws == DRAWS.draws


def test_what_is_attributed_is_what_the_model_forecasts(subject: Subject, pieces) -> None:
    embeddings = embed(subject.checkpoint, pieces.market)
    forecast = embeddings.forecast[subject.rows]
    lean, volatility = subject.said(subject.windows(subject.rows), subject.expected).T
    chances = forecast.direction.sum(axis=1)  # over the assets
    np.testing.assert_allclose(lean, chances[:, 2] - chances[:, 0], atol=1e-5)
    np.testing.assert_allclose(volatility, forecast.volatility.sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize(("settings", "said"), [
    ({"rows": 5}, "rows must be 0 or at least 16"), ({"repeats": 0}, "repeats must be at least 1"),
    ({"nodes": 0}, "nodes must be at least 1"), ({"seed": -1}, "seed at least 0"),
])
def test_settings_that_explain_nothing_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ExplainConfig(**settings)
