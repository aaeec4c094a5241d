"""`Sight`: what a policy sees the market through, in memory, on disk, and as the table that it looks up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import AgentConfig, ExtractorConfig
from agents.feature_table import FeatureTable, encoder_block, ensemble_block, make_table, market_block
from configs.errors import UserError
from configs.registry import check_name
from data.market import Market
from data.scaling import Scaler
from encoders import ENCODERS
from encoders.batches import Windows
from encoders.checkpoint import Checkpoint
from encoders.embed import embed
from encoders.ensemble.ensemble import Ensemble
from encoders.forecast import Forecast

CHOSEN, BESIDE, ENSEMBLE = "encoder", "beside", "ensemble"  # folders


@dataclass(frozen=True, eq=False)
class Sight:
    """The chosen encoder, those beside it, and the supervised ensemble.

    The ensemble's members were taught on the training rows, and their forecasts are better there than they will be on
    later ones: an agent that learns from those comes to trust them too much. `said` are forecasts of the market that
    the agent is trained on, to stand in their place: `encoders.ensemble.heldout` makes such in which no training row is
    forecast by an ensemble that was taught on it. Fusion and early stopping know the validation rows.
    """

    checkpoint: Checkpoint | None = None  # None: the features of the last bar
    beside: tuple[Checkpoint, ...] = ()
    ensemble: Ensemble | None = None
    said: Forecast | None = None  # never stored: on later markets the ensemble speaks for itself

    @classmethod
    def of(cls, seen: Sight | Checkpoint | None) -> Sight:
        """A lone checkpoint, or none, is a sight as well."""
        return seen if isinstance(seen, Sight) else cls(seen)

    @property
    def encoder(self) -> str:
        """Name of the chosen one."""
        return self.checkpoint.encoder.name if self.checkpoint else "none"

    @property
    def name(self) -> str:
        names = (self.encoder, *(one.encoder.name for one in self.beside), *([ENSEMBLE] if self.ensemble else []))
        return "+".join(names)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """Every encoder by name."""
        return {one.encoder.name: one for one in (self.checkpoint, *self.beside) if one}

    def check(self, wanted: ExtractorConfig) -> None:
        """Refuse settings that ask for another sight than this."""
        if wanted.finetune and self.checkpoint is None:
            raise UserError("agent.extractor.finetune needs an encoder to train on: choose one with --encoder")
        if wanted.finetune and self.checkpoint and self.checkpoint.context == "stream":
            raise UserError("agent.extractor.finetune reads windows, and this checkpoint embeds a carried stream: "
                            "pretrain with --pretrain.context window, or leave finetune out")
        beside = tuple(one.encoder.name for one in self.beside)
        if beside != wanted.beside:
            raise UserError(f"agent.extractor.beside asks for {', '.join(wanted.beside) or 'no encoder'}, given "
                            f"{', '.join(beside) or 'none'}: agents.supervised.sight_of gives what is asked for")
        if self.encoder in beside:
            raise UserError(f"{self.encoder} is the chosen encoder and cannot stand beside itself: leave it out of "
                            "agent.extractor.beside")
        if wanted.ensemble != (self.ensemble is not None):
            raise UserError(f"agent.extractor.ensemble is {wanted.ensemble}, and "
                            f"{'an' if self.ensemble else 'no'} ensemble is given: agents.supervised.sight_of gives "
                            "what is asked for")

    def forecast(self, market: Market, device: str, cache: Path | None) -> Forecast:
        """The ensemble's, of every row."""
        assert self.ensemble is not None
        if self.said is not None:
            if len(self.said) != len(market):
                raise UserError(f"the forecasts of {len(self.said)} rows are not of this market of {len(market)}: give "
                                "a sight without `said`")
            return self.said
        return self.ensemble.at(device, cache).forecast(market)

    def save(self, folder: Path) -> None:
        if self.checkpoint:
            self.checkpoint.save(folder / CHOSEN)
        for one in self.beside:
            one.save(folder / BESIDE / one.encoder.name)
        if self.ensemble:
            self.ensemble.save(folder / ENSEMBLE)

    def plain(self) -> dict[str, Any]:
        """What JSON holds of it: what to look for in the folder."""
        return {"encoder": self.encoder, "beside": [one.encoder.name for one in self.beside],
                "ensemble": self.ensemble is not None}

    @classmethod
    def load(cls, folder: Path, stored: dict[str, Any]) -> Sight:
        """What `plain` told of, out of the folder; nothing in it can run code."""
        beside = [check_name("encoder beside", name, ENCODERS) for name in stored["beside"]]
        return cls(None if stored["encoder"] == "none" else Checkpoint.load(folder / CHOSEN),
                   tuple(Checkpoint.load(folder / BESIDE / name) for name in beside),
                   Ensemble.load(folder / ENSEMBLE) if stored["ensemble"] else None)


def table_for(market: Market, seen: Sight | Checkpoint | None, agent: AgentConfig, device: str, cache: Path | None,
              train_rows: np.ndarray | None = None, scaler: Scaler | None = None) -> FeatureTable:
    """What a policy looks up on `market`: features or the embeddings of checkpoints, the first of them frozen or to be
    fine-tuned, and the ensemble's forecast."""
    sight, wanted = Sight.of(seen), agent.extractor
    sight.check(wanted)
    chosen = sight.checkpoint
    blocks = [market_block(market) if chosen is None else
              encoder_block(embed(chosen, market, device, cache), forecast=not wanted.finetune)]
    blocks += [encoder_block(embed(one, market, device, cache), f"{one.encoder.name}.") for one in sight.beside]
    if sight.ensemble:
        blocks.append(ensemble_block(sight.forecast(market, device, cache)))
    if chosen is None or not wanted.finetune:
        return make_table(market, blocks, train_rows, scaler, wanted.shared)
    return make_table(market, blocks, train_rows, scaler, wanted.shared, chosen.model(device),
                      Windows(market, chosen.window, device))
