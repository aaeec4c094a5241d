"""A peer in a process of its own: another Python, asked to step over a pipe, so that rounds can be interleaved."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

from benchmarks.timing import Work
from configs.errors import UserError

PEERS = ("gym-trading-env", "gym-anytrading", "torchtrade")
BUILD = "`make peers` builds their environment, --peers-python names another one"
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}


class Peer:
    """It sleeps until it is asked, and so takes no time from the others."""

    def __init__(self, name: str, python: Path, market: Path) -> None:
        self.name = name
        self._said = market.with_name(f"{name}.txt")
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [python, "-W", "ignore", "-m", "benchmarks.peer_worker", name, market], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=said, text=True, cwd=Path(__file__).parents[1],
                env={**os.environ, **ONE_THREAD})
        self.about = self._answer()  # its version, or why it is absent

    def _answer(self) -> dict:
        assert self.process.stdout  # a pipe, as asked for above
        line = self.process.stdout.readline()
        if not line:
            said = self._said.read_text().strip().splitlines() or ["no reason given"]
            raise UserError(f"{self.name} stopped: {said[-1]}; {BUILD}")
        return json.loads(line)

    def steps(self, accounts: int, steps: int) -> Work:
        def work() -> int:
            assert self.process.stdin
            self.process.stdin.write(json.dumps({"accounts": accounts, "steps": steps}) + "\n")
            self.process.stdin.flush()
            return self._answer()["done"]

        return work

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def started(python: Path, market: Path, stack: ExitStack) -> list[Peer]:
    """The peers that `python` has; what is missing is said in one line."""
    if not python.exists():
        print(f"no peers to compare with, there is no {python}: {BUILD}")
        return []
    found = []
    for name in PEERS:
        peer = Peer(name, python.absolute(), market)
        stack.callback(peer.close)
        if "version" in peer.about:
            found.append(peer)
        else:
            print(f"{name} is left out, {python} says {peer.about['absent']!r}: {BUILD}")
    return found
