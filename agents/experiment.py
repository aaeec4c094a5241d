"""What the scripts share: the settings of one experiment, out of presets, a file and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from agents import ALGOS, LEVELS, WEIGHTS, check_actions, check_clone, check_seeds, check_shared, check_teacher
from agents.config import AgentConfig, CurriculumConfig
from configs.errors import UserError
from configs.loader import HELP, flags, known_flags, parse, preset, presets, read_yaml
from configs.registry import check_name
from configs.run import CONFIG, plain
from data.bootstrap import BootstrapConfig
from data.dataset import DataConfig
from encoders import ENCODERS, STATEFUL
from encoders.config import EncoderConfig
from encoders.ensemble.config import EnsembleConfig
from encoders.training.config import PretrainConfig
from encoders.trees.config import TreeConfig
from envs.config import EnvConfig
from envs.episodes import ANYWHERE
from envs.execution import COSTS
from envs.outcomes import why_not

PRESETS = ("small", "full")
PRETRAIN = {name: {"full": f"{name}.full"} for name in ("deep_lstm", "mamba", "mamba_mhsa")}
"""presets of pretraining, by encoder and size, that stand over those of the size"""
KEPT = {"cache", "evaluation", "known", "fair_game", "planted_edge"}
"""folders under --runs that are not one run's"""


def markets() -> tuple[str, ...]:
    """What --market can name."""
    return ("bundled", *presets("data"))


@dataclass(frozen=True)
class Choice:
    """The flags that decide which presets are read."""

    algo: str = "ppo"
    """learns to trade: ppo, a2c, dqn, all_q, qrdqn, trpo, maskable_ppo, recurrent_ppo, sac, td3 or tqc"""
    encoder: str = "transformer"
    """what the agent sees through, a name of encoders.ENCODERS (docs/encoders.md); none: the features of the last
    bar"""
    preset: str = "small"
    """sizes: small runs in minutes on a laptop, full is meant for a GPU"""
    market: str = "bundled"
    """what is traded: the bundled simulated market, or btc_hourly, btc_daily, ... (the files of configs/data) out of a
    store that scripts/import_data.py has filled"""
    costs: str = ""
    """what trading costs: spot_taker, perp or free in place of the preset's; env.costs sets single numbers"""
    config: Path | None = None
    """a YAML file of settings over the presets; flags stand over both"""

    def __post_init__(self) -> None:
        check_name("algo", self.algo, ALGOS)
        check_name("encoder", self.encoder, (*ENCODERS, "none"))
        check_name("preset", self.preset, PRESETS)
        check_name("market", self.market, markets())
        if self.costs:
            check_name("costs", self.costs, COSTS)


@dataclass(frozen=True)
class ExperimentConfig(Choice):
    """A market, pretrained encoders, an agent, and the head-to-head table."""

    name: str | None = None
    """folder of the run under --runs; by default <algo>-<encoder>-seed<seed>, with the market if it is not the
    bundled one"""
    runs: Path = Path("runs")
    """where runs are written; pretrained encoders are kept for the next run in <runs>/cache"""
    seed: int = 0
    """of pretraining and of the agent; the simulated market has its own, data.simulator.seed"""
    seeds: int = 1
    """agents that are trained, from `seed` on, each in a folder of its own; they share the encoders of `seed`"""
    jobs: int = 0
    """agents that are trained side by side, each of agent.threads threads; 0: one for every two cores"""
    device: str = "auto"
    """auto, cpu or cuda"""
    progress: bool = True
    """show progress bars"""
    data: DataConfig = field(default_factory=DataConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    net: EncoderConfig = field(default_factory=EncoderConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0 or self.seeds < 1 or self.jobs < 0:
            raise UserError("--seed and --jobs must be at least 0 and --seeds at least 1, found --seed "
                            f"{self.seed}, --jobs {self.jobs} and --seeds {self.seeds}")
        check_seeds(self.seed, self.seeds)
        check_name("device", self.device, ("auto", "cpu", "cuda"))
        self._check_place()
        if LEVELS not in ALGOS[self.algo].chooses or self.env.action == "weights":  # how many assets the data will say
            check_actions(self.algo, self.env.action)
        if self.env.risk.kelly or self.env.risk.confidence:
            raise UserError("env.risk.kelly and env.risk.confidence size by forecasts that only code can give an "
                            "environment so far (outlook=): leave them out of a training run")
        self._check_extractor()
        self._check_algo()
        if self.agent.warm.teacher:
            check_clone(self.algo)
            check_teacher(self.agent.warm.teacher, self.env.action,
                          forecast=self.encoder != "none" or self.agent.extractor.ensemble)
        if self.pretrain.context == "stream" and self.encoder not in (*STATEFUL, "none"):
            raise UserError(f"pretrain.context stream needs an encoder that carries a state, and {self.encoder} reads "
                            f"windows: choose one of {', '.join(STATEFUL)}, or leave context at window")
        if self.encoder not in ("none", self.net.name):
            raise UserError(f"net.name is {self.net.name!r} but the encoder is {self.encoder!r}: give --encoder alone")

    def _check_place(self) -> None:
        """A run is written among the others and over nothing else, and is called by what it is trained on."""
        place = Path(self.name or "")
        if place.is_absolute() or ".." in place.parts or KEPT & {*place.parts[:1]}:
            raise UserError(f"--name is a folder under --runs for this run alone, found {self.name!r}: take another")
        asked = preset("data", self.market).get("source", DataConfig.source) if self.market != "bundled" else ""
        if asked not in ("", self.data.source):
            raise UserError(f"--market {self.market} is of the source {asked!r}, and other flags ask for "
                            f"{self.data.source!r} (--data.path, --data.source): leave one of them out")

    def check_assets(self, assets: tuple[str, ...]) -> None:
        """What could not be told before the market was read."""
        check_actions(self.algo, self.env.action, len(assets))
        if self.agent.extractor.shared:
            check_shared(self.algo, assets)

    def _check_extractor(self) -> None:
        wanted = self.agent.extractor
        if wanted.finetune and self.pretrain.context == "stream":
            raise UserError("agent.extractor.finetune reads windows, and a stream is asked for (by a flag or by the "
                            "encoder's preset): set --pretrain.context window, or leave finetune out")
        if wanted.finetune and self.encoder == "none":
            raise UserError("agent.extractor.finetune needs an encoder to train on: choose one with --encoder")
        if self.encoder in wanted.beside:
            raise UserError(f"{self.encoder} is the chosen encoder and cannot stand beside itself: leave it out of "
                            "agent.extractor.beside")
        if wanted.ensemble and not self.ensemble.members:
            raise UserError("agent.extractor.ensemble shows an ensemble's forecast, and ensemble.members is empty: "
                            "name some, or leave it out")
        if wanted.shared:
            check_shared(self.algo)

    def _check_algo(self) -> None:
        """Nothing that was asked for goes unheeded, and nothing impossible is found out after hours of pretraining."""
        agent, episodes = self.agent, self.env.episodes
        if self.algo == "all_q":
            if reason := why_not(self.env, assets=1):  # how many there are the data will say
                raise UserError(f"all_q learns every position from one bar, which cannot teach all here ({reason}): "
                                "leave that out, or take another --algo")
            if agent.curriculum != CurriculumConfig():
                raise UserError("agent.curriculum is about accounts that trade, and all_q steps none: leave it out, or "
                                "take another --algo")
            if agent.all_q.fees > 1 and episodes.cost_scale[0] == episodes.cost_scale[1]:
                raise UserError(f"agent.all_q.fees {agent.all_q.fees} spreads costs over env.episodes.cost_scale, "
                                "which is a single one: give a range, such as 0.5 2.0, or leave fees at 1")
        if agent.ppo.compile and self.algo in ("maskable_ppo", "recurrent_ppo"):
            raise UserError(f"agent.ppo.compile is for ppo alone, and {self.algo} goes without: leave it out")
        if agent.curriculum.volatility and episodes.band != ANYWHERE:
            raise UserError("agent.curriculum.volatility sets the band of volatility itself, stage by stage: leave "
                            "env.episodes.band out, or the curriculum")

    @classmethod
    def of_run(cls, run: Path) -> Self:
        """A run's own settings; the encoders that it was trained with lie beside it, wherever this is started."""
        return replace(parse(cls, [], read_yaml(run / CONFIG)), runs=run.parent)

    def called(self, what: str) -> Self:
        """With a name: the one that was given, or what it is, of which market and from which seed."""
        data = self.data
        names = {"file": data.path and data.path.stem, "known": data.known.market}
        market = "" if (name := names.get(data.source, self.market)) == "bundled" else f"-{name}"
        seeds = f"seed{self.seed}" if self.seeds == 1 else f"seeds{self.seed}-{self.seed + self.seeds - 1}"
        return replace(self, name=self.name or f"{what}{market}-{seeds}")

    @property
    def folder(self) -> Path:
        seen = "+".join((self.encoder, *self.agent.extractor.beside))
        return self.runs / str(self.called(f"{self.algo}-{seen}").name)

    def folder_of(self, seed: int) -> Path:
        """Where the agent of one seed is kept: the run's own folder, unless there are several."""
        return self.folder if self.seeds == 1 else self.folder / f"seed{seed}"

    def within(self, folder: Path) -> Self:
        """The same, with a folder of its own inside this run's."""
        return replace(self, name=str(folder.relative_to(self.runs)))

    @property
    def cache(self) -> Path:
        return self.runs / "cache"

    def net_of(self, encoder: str) -> EncoderConfig:
        """Settings of one encoder: the chosen one's may have been changed by flags, the others are their presets."""
        if encoder == self.encoder:
            return self.net
        return parse(EncoderConfig, [], preset("encoder", f"{encoder}.{self.preset}"))

    def pretrain_of(self, encoder: str) -> PretrainConfig:
        """How one encoder is trained: by its own preset, but for what flags or a file have changed for all.

        A flag that repeats the chosen encoder's preset has changed nothing. Where a stream is asked for, members that
        carry no state read windows all the same.
        """
        mine, its = (parse(PretrainConfig, [], pretrain_preset(name, self.preset)) for name in (self.encoder, encoder))
        changed = {f.name: getattr(self.pretrain, f.name) for f in fields(PretrainConfig)
                   if getattr(self.pretrain, f.name) != getattr(mine, f.name)}
        if encoder != self.encoder and encoder not in STATEFUL:
            changed["context"] = "window"
        return replace(its, **changed)

    def trees_of(self, kind: str) -> TreeConfig:
        return parse(TreeConfig, [], preset("trees", f"{kind}.{self.preset}"))

    @property
    def encoders(self) -> tuple[str, ...]:
        """Every encoder the experiment needs, each once."""
        chosen = () if self.encoder == "none" else (self.encoder,)
        return tuple(dict.fromkeys((*chosen, *self.agent.extractor.beside,
                                    *(name for name in self.ensemble.members if name in ENCODERS))))


Experiment = TypeVar("Experiment", bound=ExperimentConfig)


def load_experiment(argv: Sequence[str]) -> ExperimentConfig:
    """Flags over `--config` over presets over defaults.

    >>> load_experiment(["--algo", "dqn", "--env.costs.fee_bps", "7"]).env.costs.fee_bps
    7.0
    """
    return load_as(ExperimentConfig, argv)


def load_as(cls: type[Experiment], argv: Sequence[str]) -> Experiment:
    """`load_experiment` for a script that adds sections of its own."""
    named = known_flags(Choice, argv).config
    file: dict[str, Any] = read_yaml(named) if named else {}
    if named and (named.parent / "run.json").exists():
        file.pop("name", None)  # another run with that run's settings, which stays as it is
    choices = {f.name for f in fields(Choice)}
    chosen = known_flags(Choice, ["--encoder", cls.encoder, *flags({k: v for k, v in file.items() if k in choices}),
                                  *argv])
    settings: dict[str, Any] = {
        "data": preset("data", chosen.preset if chosen.market == "bundled" else chosen.market),
        "env": preset("env", chosen.preset),
        "pretrain": pretrain_preset(chosen.encoder, chosen.preset),
        "ensemble": preset("ensemble", chosen.preset),
        "agent": preset("agent", f"{chosen.algo}.{chosen.preset}"),
    }
    if ALGOS[chosen.algo].chooses == (WEIGHTS,):
        settings["env"]["action"] = "weights"
    if chosen.costs:
        settings["env"]["costs"] = plain(COSTS[chosen.costs])
    if chosen.encoder != "none":
        settings["net"] = preset("encoder", f"{chosen.encoder}.{chosen.preset}")
    if HELP & {*argv}:
        return parse(cls, ["--help"], {**settings, **{f.name: getattr(chosen, f.name) for f in fields(Choice)
                                                      if getattr(chosen, f.name) is not None}})
    return parse(cls, [*flags(file, cls), *argv], settings)


def pretrain_preset(encoder: str, size: str) -> dict[str, Any]:
    """Settings of pretraining for a size, and over them those that an encoder wants otherwise."""
    own = PRETRAIN.get(encoder, {}).get(size)
    return {**preset("pretrain", size), **(preset("pretrain", own) if own else {})}
