"""Print the table of encoders, and write it as a page: what each is, what it promises, and how large it is.

    python scripts/list_encoders.py                           # to the terminal
    python scripts/list_encoders.py --out docs/encoders.md
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import run_script
from configs.loader import PRESETS, flags, parse, preset
from configs.registry import lookup
from encoders import ENCODERS
from encoders.config import EncoderConfig

HEAD = """# Encoders

Made by `python scripts/list_encoders.py --out docs/encoders.md`; the table itself is `ENCODERS` in
`encoders/__init__.py`. *Causal*: what is found at a bar depends on no later bar, even inside the window. *Stateful*: a
state is carried from bar to bar, so live use costs one bar, not a window. *Small* and *full* count the weights of the
presets `configs/encoder/<name>.<size>.yaml`, heads included, at the bundled market's {features} features; the number
of assets changes nothing.
"""

FURTHER = """
`--encoder` and `--preset` choose among these. Any size can be changed by flags, or in the `net:` section of a file
that is given with `--config`. That is how the further presets of `configs/encoder` are chosen:

| preset | flags | weights |
|---|---|--:|"""


@dataclass(frozen=True)
class PageConfig:
    """List the encoders."""

    out: Path | None = None
    """where the page is written, beside being printed"""


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


def main() -> None:
    config = parse(PageConfig, sys.argv[1:])

    from data.dataset import BUNDLED
    from data.features import FEATURES

    features = sum(len(feature.columns) for feature in FEATURES if feature.group in BUNDLED)
    text = page([line_of(name, features) for name in ENCODERS], features)
    print(text, end="")
    if config.out:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(text)
        print(f"\n{config.out} written")


def line_of(name: str, features: int) -> Line:
    found = lookup("encoder", name, ENCODERS)
    meaning = (inspect.getdoc(found) or "").partition("\n")[0]
    small, full = (weights(f"{name}.{size}", features) for size in ("small", "full"))
    return Line(name, meaning, found.causal, found.stateful, small, full)


def weights(preset_name: str, features: int) -> int:
    """How many numbers the preset learns."""
    import torch

    from encoders.model import ForecastModel
    from encoders.scale import TargetScale

    config = parse(EncoderConfig, [], preset("encoder", preset_name))
    with torch.device("meta"):  # sizes without numbers
        model = ForecastModel.build(features, config, TargetScale(1.0, 1.0))
    return sum(parameter.numel() for parameter in model.parameters())


def page(lines: list[Line], features: int) -> str:
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


if __name__ == "__main__":
    run_script(main)
