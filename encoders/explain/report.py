"""Where an explanation is written: a page for people, JSON for programs, TensorBoard beside the training's curves."""

from __future__ import annotations

import os
from pathlib import Path

from configs.run import write_json
from encoders.explain.explanation import Explanation
from encoders.explain.page import explanation_page
from encoders.explain.pictures import Picture, pictures


def write_explanation(found: Explanation, folder: Path) -> Path:
    """`explain.json`, `explain.html` and `tensorboard/explain`; the way to the page."""
    drawn = pictures(found)
    plain = found.plain()
    write_json(folder / "explain.json", plain)
    page = folder / "explain.html"
    beside = page.with_suffix(".html.tmp")
    beside.write_text(explanation_page(plain, drawn), encoding="utf-8")
    os.replace(beside, page)
    log(found, drawn, folder / "tensorboard" / "explain")
    return page


def log(found: Explanation, drawn: list[Picture], folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter  # a second of import that only logging needs

    with SummaryWriter(str(folder)) as writer:
        for name, value in scalars(found).items():
            writer.add_scalar(name, value, 0)
        for picture in drawn:
            writer.add_figure(f"explain/{picture.name}", picture.figure, 0)


def scalars(found: Explanation) -> dict[str, float]:
    """By tag: what the tables of groups and hours hold."""
    told = {f"hours/{hour.age}": hour.weight.value for hour in found.hours.hours}
    for one in found.selection.groups if found.selection else ():
        told[f"selection/{one.name}"] = one.weight.value
    for rise in found.importance.groups:
        told |= {f"importance_{loss}/{rise.name}": estimate.value for loss, estimate in rise.losses.items()}
    for output, attribution in found.gradients.items():
        told |= {f"gradients_{output}/{part.name}": part.size.value for part in attribution.groups}
        told[f"gradients_{output}/error_of_the_sum"] = attribution.completeness.error
    return told
