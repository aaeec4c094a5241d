"""Does anything know the future? The causal test on your own settings, data and features.

    python scripts/audit_leakage.py --encoder mamba --features my_features.py
    python scripts/audit_leakage.py --config runs/mine/config.yaml --bundle runs/mine/bundle

Takes every flag of scripts/train_agent.py. Raw data are changed after each of several moments, and features, labels,
scaler, embeddings, observations and actions up to that moment must stay the same to the bit. Ends with 0 if they do, 1
with a line for each output that does not, 2 on bad input.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

from configs.errors import UserError, run_script
from configs.loader import known_flags, parse


@dataclass(frozen=True)
class AuditConfig:
    """Beside the flags of scripts/train_agent.py, which follow."""

    features: Path | None = None
    """a Python file of yours that defines FEATURES, which are audited with the rest"""
    bundle: Path | None = None
    """a trained agent, such as runs/x/bundle; by default all encoders and the agent with fresh random weights"""
    cuts: int = 4
    """random moments, beside the seven to nine where leaks are known to show"""

    def __post_init__(self) -> None:
        if self.cuts < 0:
            raise UserError(f"cuts must be at least 0, found {self.cuts}")


def others(argv: list[str]) -> list[str]:
    """The words that are not flags of the audit's own, nor their values."""
    own = {field.name for field in fields(AuditConfig)}
    kept, mine = [], False
    for word in argv:
        if word.startswith("--"):
            mine = word[2:].split("=")[0] in own
        if not mine:
            kept.append(word)
    return kept


def main() -> None:
    argv = sys.argv[1:]
    if {"-h", "--help"} & {*argv}:
        with contextlib.suppress(SystemExit):
            parse(AuditConfig, ["--help"])
    flags = known_flags(AuditConfig, argv)

    from agents.experiment import load_experiment

    config = load_experiment(others(argv))
    if flags.features:
        config = replace(config, data=replace(config.data, own_features=flags.features))

    from agents.audit import audit_experiment
    from agents.bundle import Bundle

    started = time.perf_counter()
    found = audit_experiment(config, Bundle.load(flags.bundle) if flags.bundle else None, flags.cuts)
    for line in found.lines():
        print(line)
    looked = (f"{len(found.outputs)} outputs, {found.columns} columns, {found.cuts} cuts x {found.kinds} kinds "
              f"in {time.perf_counter() - started:.0f} s")
    if found.clean:
        print(f"no leak found: {looked}")
        return
    print(f"{len(found.lines())} leaks found, and what they feed: {looked}; mend the first line first")
    sys.exit(1)


if __name__ == "__main__":
    run_script(main)
