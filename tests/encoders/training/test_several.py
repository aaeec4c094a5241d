"""Two processes started by torchrun train one model: with equal halves of every batch, the same one."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from encoders.checkpoint import Checkpoint
from encoders.pretrain import pretrain
from encoders.training.config import PretrainConfig
from tests.encoders.planted import WINDOW, planted, tiny

CONFIG = PretrainConfig(epochs=2, rows_per_epoch=200, batch=40, lr=5e-3, masked_epochs=1, patience=3, threads=1)
SCRIPT = """
import os
from pathlib import Path
from tests.encoders.training.test_several import train
found = train()
if os.environ["RANK"] == "0":
    found.save(Path(os.environ["OUT"]))
"""


def train() -> Checkpoint:
    pieces = planted(lead=0.6)
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny("lstm", dropout=0.0),
                    CONFIG, progress=False)


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OUT": str(tmp_path / "out"),
                   "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
                    str(tmp_path / "both.py")], env=environment, check=True, capture_output=True, timeout=180)
    together, alone = Checkpoint.load(tmp_path / "out"), train()
    assert together.scores["epoch"] == alone.scores["epoch"] > 0
    for name, value in alone.weights.items():
        # sums in another order: equal but for rounding, which AdamW's first steps enlarge
        torch.testing.assert_close(together.weights[name], value, rtol=0.02, atol=2e-3)
