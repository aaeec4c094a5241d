"""How fast the parts are, each as a ratio to a stated baseline in the same run; medians of several rounds.

    python scripts/benchmark.py                 # everything, about half an hour on two cores
    python scripts/benchmark.py --parts engine agents
    python scripts/benchmark.py --against-peers # other projects' environments instead; `make peers` installs them
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseCounterAction

from configs.errors import UserError, run_script
from configs.loader import parse
from configs.registry import check_name, lookup

PARTS = {
    "engine": "benchmarks.engine:engine_part",
    "agents": "benchmarks.agents:agents_part",
    "captured": "benchmarks.captured:captured_part",
    "embedding": "benchmarks.embedding:embedding_part",
    "pretraining": "benchmarks.pretraining:pretraining_part",
    "scan": "benchmarks.scan:scan_part",
    "live": "benchmarks.live:live_part",
    "gpu": "benchmarks.gpu:gpu_part",
    "features": "benchmarks.features:features_part",
}


@dataclass(frozen=True)
class BenchmarkConfig:
    """Time the engine, agents, the pretraining and embedding of encoders, live decisions and the features."""

    parts: tuple[str, ...] = tuple(PARTS)
    """what to time: engine, agents, captured, embedding, pretraining, scan, live, gpu, features"""
    rounds: int = 5
    """rounds of each measurement; the median counts, the range stands beside it"""
    threads: int = 1
    """torch threads"""
    against_peers: UseCounterAction[int] = 0  # a count is the one kind of setting that the parser takes without a value
    """time our environments and the peers' on one market, in place of the parts"""
    peers_python: Path = Path(".peers/bin/python")
    """the Python that has the peers installed; they pin other versions than ours"""

    def __post_init__(self) -> None:
        if min(self.rounds, self.threads) < 1:
            raise UserError(f"--rounds and --threads must be at least 1, found {self.rounds} and {self.threads}")
        for part in self.parts:
            check_name("part", part, PARTS)


def main() -> None:
    config = parse(BenchmarkConfig, sys.argv[1:])
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, median of "
          f"{config.rounds} rounds (at most 3 for training and features), range in brackets")
    if config.against_peers:
        lookup("part", "peers", {"peers": "benchmarks.peers:compare_with_peers"})(config.rounds, config.peers_python)
        return
    for part in config.parts:
        lookup("part", part, PARTS)(config.rounds, config.threads)


if __name__ == "__main__":
    run_script(main)
