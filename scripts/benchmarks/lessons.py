"""Ways to train one net, each a pass at a time: the loop that everybody writes, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.timing import WINDOW, Work

Context = Literal["window", "stream"]
BATCH, PASS, PASSES = 128, 2048, 8  # windows of a step and of a pass; passes until losses are compared


@dataclass
class Lesson:
    """One way to train one net: `once` goes through the rows and says how many labels taught."""

    once: Callable[[int], int]
    exam: Callable[[], dict[str, float]]

    def work(self) -> Work:
        return lambda: self.once(1)


def lessons(dataset, name: str, seed: int = 0) -> dict[str, Lesson]:
    from benchmarks.copied import copied
    from configs.loader import parse, preset
    from encoders.base import make_encoder
    from encoders.config import EncoderConfig

    config = parse(EncoderConfig, [], preset("encoder", f"{name}.small"))
    stateful = make_encoder(1, config).stateful
    found = {"a DataLoader that copies windows": copied(dataset, config, seed),
             "windows, ours": ours(dataset, config, "window", seed)}
    if stateful:
        found["stream, ours"] = ours(dataset, config, "stream", seed)
    return found


def begun(dataset, config, context: Context, seed: int):
    """A net that says the base rates, with its loss, feed and exam: what `pretrain` begins with."""
    import torch

    from configs.loader import parse, preset
    from encoders.batches import LabelTable, Windows, labelled_rows
    from encoders.losses import ForecastLoss
    from encoders.model import ForecastModel
    from encoders.pretrain import make_feed
    from encoders.scale import TargetScale
    from encoders.training.config import PretrainConfig
    from encoders.training.exam import Exam
    from encoders.training.hardware import Ranks
    from encoders.training.objective import Objective

    torch.manual_seed(seed)
    settings = replace(parse(PretrainConfig, [], preset("pretrain", "small")), context=context, batch=BATCH,
                       rows_per_epoch=PASS, epochs=PASSES, schedule="constant", warmup=0.0)  # as the plain loop's
    device = torch.device("cpu")
    market, labels = dataset.market, dataset.labels
    rows, unseen = (labelled_rows(market, labels, WINDOW, span) for span in (dataset.split.train, dataset.split.valid))
    scale = TargetScale.fit(market, labels, rows)
    windows, targets = Windows(market, WINDOW, device), LabelTable(market, labels, scale, device)
    model = ForecastModel.build(len(market.columns), config, scale)
    model.encoder.prepare(market, rows)
    model.heads.start_at(targets(rows))
    objective = Objective(model, ForecastLoss(), bf16=False, stream=context == "stream")
    feed = make_feed(objective, market, windows, targets, rows, WINDOW, settings, device, Ranks())
    return objective, feed, Exam(objective, feed, windows, targets, market, unseen, BATCH), rows, settings


def ours(dataset, config, context: Context, seed: int) -> Lesson:
    """A pass as `pretrain` makes it."""
    from encoders.pretrain import learn, make_optimiser, reseed
    from encoders.training.averaging import Average
    from encoders.training.hardware import Ranks

    objective, feed, exam, rows, settings = begun(dataset, config, context, seed)
    optimiser, average = make_optimiser(objective, settings), Average(objective.model, 0.0)

    def once(number: int) -> int:
        batches = list(feed.passes(rows, reseed(seed, number, 0), settings.at_once))
        learn(objective, feed, batches, optimiser, average, settings, number, Ranks())
        return sum(int(batch.teaches.sum()) for batch in batches)

    return Lesson(once, lambda: exam(objective.model))
