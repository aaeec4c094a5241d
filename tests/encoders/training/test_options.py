"""What each setting of pretraining switches on does what it says, and training still learns with it."""

import dataclasses

import numpy as np
import pytest
import torch

from configs.errors import UserError
from encoders.batches import LabelTable, Windows, labelled_rows
from encoders.checkpoint import Checkpoint
from encoders.layers import WindowDropout
from encoders.losses import ForecastLoss
from encoders.model import ForecastModel
from encoders.pretrain import make_optimiser, pretrain
from encoders.scale import TargetScale
from encoders.training.averaging import Average
from encoders.training.config import PretrainConfig
from encoders.training.exam import Exam
from encoders.training.feeds import WindowFeed
from encoders.training.hardware import Ranks, fitted_batch
from encoders.training.masked import Reconstruction, hidden_bars, warm_start
from encoders.training.objective import Objective, hurt
from encoders.training.schedules import calmest, momentum, set_dropout
from tests.encoders.planted import QUICK, WINDOW, Pieces, tiny

CPU = torch.device("cpu")


def train(pieces: Pieces, name: str = "lstm", **changes) -> Checkpoint:
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny(name),
                    dataclasses.replace(QUICK, **changes), progress=False)


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    return all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.fixture(scope="module")
def plain(pieces: Pieces) -> Checkpoint:
    return train(pieces)


@pytest.mark.parametrize("changes", [
    {"schedule": "one_cycle", "warmup": 0.3}, {"schedule": "constant"}, {"accumulate": 3, "batch": 17},
    {"label_smoothing": 0.1}, {"focal": 2.0}, {"dropout": (0.5, 0.1)}, {"input_dropout": 0.2},
    {"curriculum": (0.3, 0.6, 1.0, 1.0)}, {"adversarial": 0.05}, {"average": 0.9}, {"masked_epochs": 2},
    {"precision": "bf16"}, {"batch": 0},
    {"context": "stream", "tbptt": 8, "batch": 8},
], ids=lambda changes: next(iter(changes)))
def test_every_setting_changes_the_weights_and_still_learns(pieces: Pieces, plain: Checkpoint, changes: dict) -> None:
    found = train(pieces, **changes)
    assert not same_weights(found, plain)
    assert found.scores["direction"] < found.scores["base_direction"] - 0.08


def objective_of(pieces: Pieces, name: str = "lstm") -> tuple[Objective, WindowFeed, np.ndarray]:
    rows = labelled_rows(pieces.market, pieces.labels, WINDOW, pieces.split.train)
    scale = TargetScale.fit(pieces.market, pieces.labels, rows)
    torch.manual_seed(0)
    model = ForecastModel.build(4, tiny(name), scale, assets=2)
    feed = WindowFeed(Windows(pieces.market, WINDOW, CPU), LabelTable(pieces.market, pieces.labels, scale, CPU),
                      rows, 0)
    return Objective(model, ForecastLoss(), bf16=False, stream=False), feed, rows


def test_accumulated_batches_step_like_a_large_one(pieces: Pieces) -> None:
    """Four batches of ten, added up, move the weights as one of forty does (no dropout, no clipping)."""
    gradients = []
    for parts in (1, 4):
        objective, feed, rows = objective_of(pieces)
        objective.eval()
        for part in np.array_split(rows[:40], parts):
            loss, _, _ = objective(feed.windows(part), feed.labels(part))
            (loss / parts).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_a_push_hurts_more_than_a_random_one_of_its_size(pieces: Pieces) -> None:
    objective, feed, rows = objective_of(pieces)
    with torch.no_grad():
        for parameter in objective.model.heads.parameters():
            parameter.normal_(std=0.3)
    objective.eval()
    x, truth = feed.windows(rows[:64]), feed.labels(rows[:64])
    pushed = hurt(objective, x, truth, None, 0.1)
    at_random = x + 0.1 * torch.randn_like(x).sign()
    loss = [float(objective(part, truth)[0].detach()) for part in (x, at_random, pushed)]
    assert (pushed - x).abs().max() == pytest.approx(0.1, abs=1e-6)
    assert loss[2] > loss[1] + 0.01
    assert loss[2] > loss[0] + 0.01
    assert all(p.grad is None for p in objective.parameters()), "the push leaves no gradients behind"


def test_the_average_follows_the_weights_and_steps_aside(pieces: Pieces) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = Average(model, kept=0.9)
    for value in range(1, 200):
        with torch.no_grad():
            model.weight.fill_(float(value))
        average.update()
    with average.in_place():
        # the mean of an exponential average lags a straight rise by kept / (1 - kept) steps
        assert model.weight.item() == pytest.approx(199 - 9, abs=0.05)
    assert model.weight.item() == 199


def test_the_calmest_rows_teach_first(pieces: Pieces) -> None:
    rows = labelled_rows(pieces.market, pieces.labels, WINDOW, pieces.split.train)
    chosen = calmest(pieces.labels, rows, 0.3)
    left = np.setdiff1d(rows, chosen)
    volatility = pieces.labels.volatility.mean(axis=1)
    assert len(chosen) == pytest.approx(0.3 * len(rows), abs=1)
    assert volatility[chosen].max() <= volatility[left].min()
    assert calmest(pieces.labels, rows, 1.0) is rows


def test_the_dropout_schedule_reaches_every_dropout_but_the_features(pieces: Pieces) -> None:
    objective, _, _ = objective_of(pieces, "transformer")
    encoder = objective.model.encoder
    encoder.hide_features.share = 0.4
    set_dropout(encoder, 0.25)
    shares = {part.share for name, part in encoder.named_modules()
              if isinstance(part, WindowDropout) and name != "hide_features"}
    assert shares == {0.25}
    assert encoder.hide_features.share == 0.4


def test_one_cycle_swings_the_momentum_the_other_way() -> None:
    assert momentum("cosine", 0.5) == 0.9
    assert momentum("one_cycle", 1.0) == pytest.approx(0.85)
    assert momentum("one_cycle", 1 / 25) == pytest.approx(0.95)


def test_matrices_decay_and_nothing_else_does(pieces: Pieces) -> None:
    objective, _, _ = objective_of(pieces)
    decaying, still = make_optimiser(objective, QUICK).param_groups
    assert decaying["weight_decay"] == QUICK.weight_decay
    assert still["weight_decay"] == 0
    assert {p.dim() for p in decaying["params"]} == {2}
    assert {p.dim() for p in still["params"]} == {1}
    assert len(decaying["params"]) + len(still["params"]) == len(list(objective.parameters()))


def test_a_batch_is_fitted_to_the_memory(pieces: Pieces) -> None:
    objective, feed, rows = objective_of(pieces)
    sizes = [fitted_batch(objective, feed, rows, CPU, free=free) for free in (10**4, 10**6, 2 * 10**6, 10**12)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[2] == 2 * sizes[1]
    assert sizes[3] <= len(rows) / 8, "a pass is never fewer than eight batches"


def test_hidden_bars_are_told_from_the_others(pieces: Pieces) -> None:
    """A feature that stays for long can be told where it is hidden; white noise cannot."""
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(size=(200, 2, 1)), 8, axis=0)[: len(pieces.market)].astype(np.float32)
    features = np.concatenate([level, pieces.market.features[:, :, :1]], axis=2)
    features[np.isnan(pieces.market.features).any(axis=(1, 2))] = np.nan
    market = dataclasses.replace(pieces.market, features=features, columns=("level", "noise"))
    rows = labelled_rows(market, pieces.labels, WINDOW, pieces.split.train)
    torch.manual_seed(0)
    encoder = ForecastModel.build(2, tiny("transformer"), TargetScale(1.0, 1.0)).encoder
    config = dataclasses.replace(QUICK, masked_epochs=12, masked_share=0.5)
    errors = warm_start(encoder, Windows(market, WINDOW, CPU), rows, config, 50, 0, Ranks(), False, None)
    assert errors[-1] < 0.85 * errors[0]
    assert errors[-1] > 0.5, "the noise cannot be told"


def test_hidden_runs_cover_their_share() -> None:
    hidden = hidden_bars(500, 48, 0.25, np.random.default_rng(0))
    assert hidden.sum(axis=1).tolist() == [12] * 500
    assert (hidden.mean(axis=0) > 0.15).all(), "every bar is hidden at times"
    assert hidden_bars(3, 2, 0.1, np.random.default_rng(0)).any(axis=1).all()


def test_a_reconstruction_sees_nothing_of_what_is_hidden(pieces: Pieces) -> None:
    torch.manual_seed(0)
    task = Reconstruction(ForecastModel.build(4, tiny("lstm"), TargetScale(1.0, 1.0)).encoder).eval()
    x = torch.randn(2, 1, WINDOW, 4)
    hidden = torch.zeros(2, WINDOW, dtype=torch.bool)
    hidden[:, 2:4] = True
    seen = []
    task.encoder.register_forward_pre_hook(lambda *_: None)
    encode = task.encoder.encode
    task.encoder.encode = lambda given: (seen.append(given), encode(given))[1]  # type: ignore[method-assign]
    task(x, hidden)
    assert (seen[0][:, :, 2:4] == 0).all()
    assert torch.equal(seen[0][:, :, 4:], x[:, :, 4:])


def test_the_exam_counts_every_labelled_asset_once(pieces: Pieces) -> None:
    """Where one asset has no label, its row still counts for the other, and by its number."""
    objective, feed, rows = objective_of(pieces)
    direction = pieces.labels.direction.copy()
    direction[rows[:300], 0] = -1
    labels = dataclasses.replace(pieces.labels, direction=direction)
    table = LabelTable(pieces.market, labels, TargetScale(0.01, 0.01), CPU)
    exam = Exam(objective, feed, feed.windows, table, pieces.market, rows[:700], batch=64)
    objective.eval()
    outputs = objective.model.heads(objective.model.encode(feed.windows(rows[:700]))).direction.detach()
    truth = torch.from_numpy(direction[rows[:700]])
    known = truth >= 0
    wanted = torch.nn.functional.cross_entropy(outputs[known], truth[known])
    assert exam(objective.model)["direction"] == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(("changes", "said"), [
    ({"tbptt": 2, "carried": 2, "context": "stream"}, "shorter than the window of 6"),
    ({"schedule": "linear"}, "unknown schedule 'linear'"),
    ({"curriculum": (0.0, 1.0)}, "curriculum holds shares above 0"),
    ({"dropout": (0.5, 1.0)}, "at least 0 and below 1"),
    ({"average": 1.0}, "average must be at least 0 and below 1, found 1.0"),
    ({"accumulate": 0}, "accumulate must be above 0, found 0"),
])
def test_bad_settings_are_named(pieces: Pieces, changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        train(pieces, **changes)


def test_only_encoders_that_carry_a_state_stream(pieces: Pieces) -> None:
    with pytest.raises(UserError, match="needs an encoder that carries a state, and Transformer reads windows"):
        train(pieces, "transformer", context="stream")
    assert PretrainConfig().context == "window"
