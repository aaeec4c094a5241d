"""Against scikit-learn's forest, on problems whose answer is known."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from encoders.trees.boosting import Boosting
from encoders.trees.config import TreeConfig
from encoders.trees.forest import Forest
from encoders.trees.targets import Classes, Examples, Quantile, Variance, probabilities

N = 1500
CONFIG = TreeConfig("forest", trees=60, leaves=31, bag=0.6, columns=0.5)


def problem(rows: int, seed: int) -> tuple[Examples, np.ndarray]:
    """x leads the class by its first column, the return's middle and width by the first two, volatility by the third;
    with the chances (n, 3) that the classes were drawn from."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    chances = probabilities(np.stack([-1.5 * x[:, 0], 0 * x[:, 0], 1.5 * x[:, 0]], axis=1))
    classes = (chances.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    forward = x[:, 0] + np.exp(0.5 * x[:, 1]) * rng.normal(size=rows)
    return Examples(x, classes, forward, np.exp(0.6 * x[:, 2] + 0.3 * rng.normal(size=rows))), chances


@pytest.fixture(scope="module")
def train() -> Examples:
    return problem(N, seed=0)[0]


@pytest.fixture(scope="module")
def fresh() -> tuple[Examples, np.ndarray]:
    return problem(N, seed=1)


def said(kind, target, train: Examples, fresh: Examples, config: TreeConfig = CONFIG) -> np.ndarray:
    """(n, K) for fresh examples, trees believed whole."""
    trees = kind.grower(train, fresh, config, 15, 0)(target)
    labels = target.labels(train)
    start = target.restart(target.start(labels), trees.added(train.x), labels)
    return start + trees.added(fresh.x)


def test_chances_are_as_good_as_scikit_learns(train: Examples, fresh: tuple[Examples, np.ndarray]) -> None:
    examples, chances = fresh
    theirs = RandomForestClassifier(60, min_samples_leaf=15, max_leaf_nodes=31, max_features=0.5, max_samples=0.6,
                                    random_state=0).fit(train.x, train.direction)
    target = Classes()
    found = said(Forest, target, train, examples)
    loss = target.loss(found, examples.direction)
    assert loss == pytest.approx(target.loss(np.log(theirs.predict_proba(examples.x)), examples.direction), abs=0.02)
    assert loss < target.loss(np.tile(target.start(train.direction), (N, 1)), examples.direction) - 0.2
    assert np.abs(probabilities(found) - chances).mean() < 0.07


def test_variances_are_as_good_as_scikit_learns(train: Examples, fresh: tuple[Examples, np.ndarray]) -> None:
    target = Variance()
    labels, truth = target.labels(train), target.labels(fresh[0])
    theirs = RandomForestRegressor(60, min_samples_leaf=15, max_leaf_nodes=31, max_features=0.5, max_samples=0.6,
                                   random_state=0).fit(train.x, labels)
    found = said(Forest, target, train, fresh[0])
    assert target.loss(found, truth) < target.loss(np.log(theirs.predict(fresh[0].x))[:, None], truth) + 0.02
    assert (truth / np.exp(found[:, 0])).mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("kind", [Forest, Boosting])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantiles_find_most_of_what_can_be_found(kind, level: float, train: Examples,
                                                  fresh: tuple[Examples, np.ndarray]) -> None:
    """Between the base rate and the quantile that the examples were drawn from; undercut as often as its level."""
    config = CONFIG if kind is Forest else TreeConfig(trees=150, rate=0.05, columns=0.6, patience=20)
    examples = fresh[0]
    target = Quantile("quantile", level)
    found = said(kind, target, train, examples, config)
    true = examples.x[:, :1] + np.exp(0.5 * examples.x[:, 1:2]) * norm.ppf(level)
    base = np.tile(target.start(train.forward), (N, 1))
    worst, loss, best = (target.loss(each.astype(float), examples.forward) for each in (base, found, true))
    assert (worst - loss) / (worst - best) > 0.6
    assert (examples.forward < found[:, 0]).mean() == pytest.approx(level, abs=0.04)
