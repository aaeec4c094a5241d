"""The page of the encoders: what each is, what it promises, and how large it is."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch

from configs.loader import PRESETS, flags, parse, preset
from configs.registry import lookup
from encoders import ENCODERS
from encoders.config import EncoderConfig
from encoders.model import ForecastModel
from encoders.scale import TargetScale

HEAD = """# Encoders

Made by `python scripts/list_encoders.py --out docs/encoders.md`; the table itself is `ENCODERS` in
`encoders/__init__.py`. *Causal*: what is found at a bar depends on no later bar, even inside the window. *Stateful*: a
state can be carried from bar to bar, so that live use of one trained with `--pretrain.context stream` costs one bar,
not a window. *Small* and *full* count the weights of the presets `configs/encoder/<name>.<size>.yaml`, heads included,
at the bundled market's {features} features; the number of assets changes nothing.
"""

FURTHER = """
`--encoder` and `--preset` choose among these. Any size can be changed by flags, or in the `net:` section of a file
that is given with `--config`. That is how the further presets of `configs/encoder` are chosen:

| preset | flags | weights |
|---|---|--:|"""


@dataclass(frozen=True)
class Line:
    name: str
    meaning: str
    causal: bool
    stateful: bool
    small: int
    full: int

    @property
    def cells(self) -> tuple[str, ...]:
        return (f"`{self.name}`", self.meaning, "yes" if self.causal else "", "yes" if self.stateful else "",
                f"{self.small:,}", f"{self.full:,}")


def line_of(name: str, features: int) -> Line:
    found = lookup("encoder", name, ENCODERS)
    meaning = (inspect.getdoc(found) or "").partition("\n")[0]
    small, full = (weights(f"{name}.{size}", features) for size in ("small", "full"))
    return Line(name, meaning, found.causal, found.stateful, small, full)


def weights(preset_name: str, features: int) -> int:
    """How many numbers the preset learns."""
    config = parse(EncoderConfig, [], preset("encoder", preset_name))
    with torch.device("meta"):  # sizes without numbers
        model = ForecastModel.build(features, config, TargetScale(1.0, 1.0))
    return sum(parameter.numel() for parameter in model.parameters())


def encoders_page(features: int) -> str:
    """Counted at so many features."""
    lines = [line_of(name, features) for name in ENCODERS]
    table = ["| encoder | what it is | causal | stateful | small | full |", "|---|---|---|---|--:|--:|",
             *(f"| {' | '.join(line.cells)} |" for line in lines)]
    more = [path.stem for path in sorted((PRESETS / "encoder").glob("*.yaml"))
            if not path.stem.endswith((".small", ".full"))]
    others = [f"| `{name}` | `{' '.join(chosen_by(name))}` | {weights(name, features):,} |" for name in more]
    return "\n".join([HEAD.format(features=features), *table, FURTHER, *others]) + "\n"


def chosen_by(name: str) -> list[str]:
    """The flags that turn the full preset into another one.

    >>> chosen_by("transformer.large")
    ['--encoder', 'transformer', '--preset', 'full', '--net.width', '512', '--net.ff', '2048']
    """
    encoder = name.partition(".")[0]
    full = preset("encoder", f"{encoder}.full")
    changed = {key: value for key, value in preset("encoder", name).items() if full.get(key) != value}
    return ["--encoder", encoder, "--preset", "full", *flags({"net": changed})]
