"""`Bundle`: all it takes to act again. Weights are safetensors, settings JSON; nothing in it can run code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from stable_baselines3.common.policies import BasePolicy

from agents import ALGOS
from agents.algos.recipe import Task, make_policy
from agents.config import AgentConfig
from agents.earned import Earned
from agents.feature_table import PUBLISHED, publish
from agents.policy import Policy, StayOut
from agents.sight import Sight, table_for
from agents.weights import Weights, load_weights, save_weights
from configs.errors import UserError
from configs.loader import parse, read_yaml
from configs.registry import check_name
from configs.run import CONFIG, plain, write_json
from data.market import Market
from data.scaling import Scaler
from data.splits import Split
from envs.config import EnvConfig
from envs.engine import Engine
from envs.observations import observation_space

FORMAT = 2  # of the JSON; raise it when the meaning of a key or of the weights changes
SETTINGS, WEIGHTS = "bundle.json", "policy.safetensors"


@dataclass(frozen=True, eq=False)
class Bundle:
    algo: str
    agent: AgentConfig
    env: EnvConfig
    window: int
    scaler: Scaler  # of the market's features
    table_scaler: Scaler  # of what the policy looks up
    trained: dict[str, list[int]]  # spans of rows that taught and chose, by name
    market: str  # fingerprint of the market it was trained on
    assets: tuple[str, ...]
    seed: int
    weights: Weights
    sight: Sight = field(default_factory=Sight)
    validated: Earned | None = None  # by these weights on the validation rows
    halves: Earned | None = None  # by two of its kind on halves of the training rows, where a second look was taken
    stays_out: bool = False  # neither spoke for trading (`agent.stay_out`)

    @property
    def encoder(self) -> str:
        return self.sight.encoder

    @property
    def name(self) -> str:
        return f"{self.algo} + {self.sight.name}"

    def trader(self, market: Market, device: str = "cpu", cache: Path | None = None) -> Policy:
        """Who trades: the trained policy, or nobody where it stays out."""
        if not self.stays_out:
            return self.policy(market, device, cache)
        self.check_fits(market)
        out = self.env.actions(len(market.assets)).out
        assert out is not None
        return StayOut(out)

    def policy(self, market: Market, device: str = "cpu", cache: Path | None = None) -> BasePolicy:
        """The trained policy, looking rows of `market` up; a market it does not fit is refused."""
        self.check_fits(market)
        table = table_for(market, self.sight, self.agent, device, cache, scaler=self.table_scaler)
        engine = Engine(market, self.env, 1, self.window)
        actions = self.env.actions(len(market.assets))
        known = table.key in PUBLISHED
        policy = make_policy(self.algo, Task(self.agent, self.env, 1, market.assets), publish(table),
                             observation_space(engine, "row"), actions.space)
        if not known:  # the policy has it, and nothing of it stays behind once the policy goes
            del PUBLISHED[table.key]
        try:
            policy.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"the bundle's weights do not fit its settings: {reason}") from None
        policy.set_training_mode(False)
        return policy.to(device)

    def check_fits(self, market: Market) -> None:
        """Refuse a market with other columns or another number of assets, by name."""
        if market.columns != self.scaler.columns:
            if sorted(market.columns) == sorted(self.scaler.columns):
                raise UserError("this market has the columns that the bundle was trained on, but in another order: "
                                f"put them as {', '.join(self.scaler.columns[:3])}, ...")
            missing = sorted(set(self.scaler.columns) - set(market.columns))
            extra = sorted(set(market.columns) - set(self.scaler.columns))
            raise UserError(f"this bundle was trained on other columns: missing here {', '.join(missing) or 'none'}; "
                            f"unknown to it {', '.join(extra) or 'none'}")
        if len(market.assets) != len(self.assets):
            raise UserError(f"this bundle trades {len(self.assets)} assets ({', '.join(self.assets)}), the market has "
                            f"{len(market.assets)} ({', '.join(market.assets)})")

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sight.save(folder)
        save_weights(self.weights, folder / WEIGHTS)
        write_json(folder / SETTINGS, {
            "format": FORMAT, "validated": self.validated, "halves": self.halves, "stays_out": self.stays_out,
            "algo": self.algo, "agent": plain(self.agent), "env": plain(self.env), "window": self.window,
            "scaler": self.scaler.plain(), "table_scaler": self.table_scaler.plain(),
            "trained": self.trained, "market": self.market, "assets": self.assets, "seed": self.seed,
            **self.sight.plain(),
        })

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        folder = Path(folder)
        if not (folder / SETTINGS).exists():
            reason = f"{SETTINGS} is missing" if folder.exists() else "there is no such folder"
            raise UserError(f"no bundle in {folder}: {reason}; train one with scripts/train_agent.py")
        try:
            stored = json.loads((folder / SETTINGS).read_text())
            if (found := stored.get("format")) != FORMAT:
                raise UserError(f"the bundle in {folder} was made by an earlier version (format {found}, this one "
                                f"reads {FORMAT}): train again")
            return cls(
                algo=check_name("algo", stored["algo"], ALGOS),
                agent=parse(AgentConfig, [], stored["agent"]),
                env=parse(EnvConfig, [], stored["env"]),
                window=int(stored["window"]),
                scaler=Scaler.of(stored["scaler"]),
                table_scaler=Scaler.of(stored["table_scaler"]),
                trained=stored["trained"],
                market=stored["market"],
                assets=tuple(stored["assets"]),
                seed=int(stored["seed"]),
                weights=load_weights(folder / WEIGHTS),
                sight=Sight.load(folder, stored),
                validated=stored["validated"] and Earned(*stored["validated"]),
                halves=stored["halves"] and Earned(*stored["halves"]),
                stays_out=stored["stays_out"],
            )
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"the bundle in {folder} is damaged ({reason}): train again or restore a copy") from None


def spans_of(split: Split) -> dict[str, list[int]]:
    """The rows that taught and the rows that chose."""
    return {name: [span.start, span.stop] for name, span in (("train", split.train), ("valid", split.valid))}


def places_in(run: Path) -> list[Path]:
    """Folders of a run's bundles: one, or one of each of its seeds; of a run without any, where one would have been. Of
    one seed's folder within a run: its own.

    A folder may hold what an earlier run of its name left there: the run's settings say which seeds are its own.
    """
    settings = read_yaml(run / CONFIG) if (run / CONFIG).exists() else {}
    first, count = settings.get("seed", 0), settings.get("seeds", 1)
    if count == 1:
        return [run / "bundle"]
    places = [run / f"seed{seed}" / "bundle" for seed in range(first, first + count)]
    return [place for place in places if (place / SETTINGS).exists()] or places[:1]


def run_of(folder: Path) -> Path:
    """The run that a folder is, or belongs to as one of its seeds."""
    return folder.parent if not (folder / CONFIG).exists() and (folder.parent / CONFIG).exists() else folder


def place_of(folder: Path) -> tuple[Path, Path]:
    """Where the bundle of a run, or of one seed of it, lies; and the run's folder."""
    places = places_in(folder)
    if len(places) > 1:
        raise UserError(f"{folder} holds {len(places)} agents: name one of them, such as {places[0].parent}")
    return places[0], run_of(folder)
