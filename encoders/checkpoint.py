"""A pretrained model on disk: `weights.safetensors` and `checkpoint.json` in one folder. Nothing is unpickled.

Everything the weights mean anything with stands beside them: sizes, columns, scaler, window, target scale and the rows
they were trained on. What does not fit is refused by name, before any number is computed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from configs.errors import UserError
from configs.run import plain
from data.durable import write_durably
from data.labels import Labels
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from encoders.config import EncoderConfig
from encoders.fitting import check_fits
from encoders.model import ForecastModel
from encoders.scale import TargetScale

FORMAT = 6  # of the JSON; raise it when the meaning of a key or of the weights changes
SETTINGS, WEIGHTS = "checkpoint.json", "weights.safetensors"
AGAIN = "pretrain again"


@dataclass(frozen=True)
class TrainedSpan:
    """The rows the weights have seen, early stopping's validation rows not among them."""

    start: int
    stop: int
    first: str  # time of row `start`
    last: str  # time of row `stop - 1`


@dataclass(frozen=True, eq=False)
class Checkpoint:
    encoder: EncoderConfig
    columns: tuple[str, ...]
    scaler: Scaler
    window: int
    reach: int  # bars the farthest-looking label looks ahead
    levels: tuple[float, ...]  # of the quantiles
    scale: TargetScale
    trained: TrainedSpan
    market: str  # fingerprint of the market it was trained on
    assets: tuple[str, ...]  # of that market, in its order
    weights: dict[str, Tensor]  # on the CPU
    scores: dict[str, float] = field(default_factory=dict)  # on validation rows, beside those of the base rates
    context: str = "window"  # what is embedded: windows, or the stream of a carried state

    def model(self, device: torch.device | str = "cpu") -> ForecastModel:
        """A copy to use or to fine-tune, in eval mode; the checkpoint itself stays as it is."""
        model = self._shapes()
        model.load_state_dict({name: value.clone() for name, value in self.weights.items()}, assign=True)
        return model.to(device).eval()

    def _shapes(self) -> ForecastModel:
        with torch.device("meta"):  # no random numbers are drawn for weights about to be replaced
            return ForecastModel.build(len(self.columns), self.encoder, self.scale, self.levels, len(self.assets))

    def settings(self) -> dict[str, Any]:
        return plain({
            "format": FORMAT, "encoder": self.encoder, "columns": self.columns,
            "scaler": self.scaler.plain(),
            "window": self.window, "reach": self.reach, "levels": self.levels, "scale": self.scale,
            "trained": self.trained, "market": self.market, "assets": self.assets, "context": self.context,
            "scores": self.scores,
        })

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of weights and settings."""
        return digest(safetensors.torch.save(self.weights), json.dumps(self.settings()).encode())[:16]

    def save(self, path: Path | str) -> Path:
        """Write the folder. The settings come last and name the weights' digest: half a save is never taken for one."""
        folder = Path(path)
        raw = safetensors.torch.save(self.weights)
        settings = {**self.settings(), "weights": digest(raw)}
        write_durably(folder / WEIGHTS, raw)
        write_durably(folder / SETTINGS, f"{json.dumps(settings, indent=2)}\n".encode())
        return folder

    @classmethod
    def load(cls, path: Path | str) -> Checkpoint:
        folder = Path(path)
        try:
            stored = json.loads((folder / SETTINGS).read_text())
            raw = (folder / WEIGHTS).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"no checkpoint at {folder}: {SETTINGS} and {WEIGHTS} must be there; pretrain again or "
                            "give another folder") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{folder / SETTINGS} is damaged ({error}); delete the folder and pretrain again") from None
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            found = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
            raise UserError(f"{folder / SETTINGS} has format {found!r}, this version reads {FORMAT}; pretrain again")
        if digest(raw) != stored.get("weights"):
            raise UserError(f"{folder / WEIGHTS} is damaged: its {len(raw)} bytes are not those that {SETTINGS} was "
                            "written for; delete the folder and pretrain again")
        try:
            weights = safetensors.torch.load(raw)
        except SafetensorError as error:
            raise UserError(f"{folder / WEIGHTS} is no safetensors file ({error}); delete the folder and pretrain "
                            "again") from None
        try:
            checkpoint = cls._from_settings(stored, weights)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{folder / SETTINGS} is not complete ({type(error).__name__}: {error}); delete the folder "
                            "and pretrain again") from None
        checkpoint._check_weights(folder)
        return checkpoint

    @classmethod
    def _from_settings(cls, stored: dict[str, Any], weights: dict[str, Tensor]) -> Checkpoint:
        columns = tuple(stored["columns"])
        if stored["context"] not in ("window", "stream") or type(stored["window"]) is not int or stored["window"] < 1:
            raise ValueError(f"no checkpoint embeds a {stored['context']!r} of {stored['window']!r} bars")
        return cls(
            encoder=EncoderConfig(**tuples(stored["encoder"])), columns=columns, scaler=Scaler.of(stored["scaler"]),
            window=stored["window"], reach=stored["reach"], levels=tuple(stored["levels"]),
            scale=TargetScale(**tuples(stored["scale"])),
            trained=TrainedSpan(**stored["trained"]), market=stored["market"], assets=tuple(stored["assets"]),
            weights=weights,
            scores=stored["scores"], context=stored["context"],
        )

    def _check_weights(self, folder: Path) -> None:
        wanted = {name: tuple(value.shape) for name, value in self._shapes().state_dict().items()}
        found = {name: tuple(value.shape) for name, value in self.weights.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise UserError(f"{folder / WEIGHTS}: {name!r} has shape {found.get(name, 'missing')}, this "
                                f"{self.encoder.name} needs {wanted.get(name, 'none')}; "
                                "pretrain again")
        for name, value in self.weights.items():
            if not torch.isfinite(value).all():
                raise UserError(f"{folder / WEIGHTS}: {name!r} holds NaN or infinite weights; pretrain again")

    def check_fits(self, market: Market, scaler: Scaler, window: int | None = None) -> None:
        """Refuse a market whose numbers would mean something else to these weights."""
        check_fits(self, market, scaler, window, "checkpoint", AGAIN)
        if self.encoder.name == "graph" and market.assets != self.assets:
            raise UserError(f"a graph encoder knows its assets by their places: trained on {', '.join(self.assets)}, "
                            f"given {', '.join(market.assets)}; use the market it was trained on or {AGAIN}")


def tuples(stored: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them; its lists are tuples of ours."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()


def settings_digest(*settings: Any) -> str:
    """Sixteen hex digits of any mix of dataclasses, numbers and names."""
    return digest(json.dumps([plain(asdict(s) if hasattr(s, "__dataclass_fields__") else s) for s in settings],
                             sort_keys=True).encode())[:16]


def ingredients_digest(market: Market, labels: Labels, split: Split, *settings: Any) -> str:
    """Sixteen hex digits of the rows that teach and choose, their labels, and whatever settings come beside."""
    spans = [(span.start, span.stop) for span in (split.train, split.valid)]
    labelled = digest(*(part.tobytes() for part in (labels.direction, labels.forward, labels.volatility)))
    return settings_digest(market.fingerprint, spans, labelled, labels.reach, *settings)
