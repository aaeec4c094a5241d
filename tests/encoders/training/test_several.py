"""Two processes started by torchrun train one model: with equal halves of every batch, the same one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from configs.errors import UserError
from encoders.checkpoint import Checkpoint
from encoders.pretrain import pretrain
from encoders.training.config import PretrainConfig
from encoders.training.hardware import Ranks
from tests.encoders.planted import WINDOW, planted, tiny

CONFIG = PretrainConfig(epochs=2, rows_per_epoch=200, batch=40, lr=5e-3, masked_epochs=1, patience=3, threads=1)
SCRIPT = """
import os
from pathlib import Path
import torch
from encoders.training.hardware import Ranks
from tests.encoders.training.test_several import say, train
with Ranks.joined(torch.device("cpu")) as ranks:
    say(ranks)
    found = train()
if os.environ["RANK"] == "0":
    found.save(Path(os.environ["OUT"]))
"""


def train() -> Checkpoint:
    pieces = planted(lead=0.6)
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny("lstm", dropout=0.0),
                    CONFIG, progress=False)


def say(ranks: Ranks) -> None:
    """Each process has numbers of its own, and both are to say the same in the end."""
    assert ranks.least(40 - ranks.rank) == 39
    assert ranks.agreed({"loss": 0.1 + ranks.rank, "accuracy": 0.7 - ranks.rank}) == {"loss": 0.1, "accuracy": 0.7}
    with pytest.raises(UserError, match=r"^a batch of 1 cannot be shared by 2 processes: set pretrain.batch to"):
        ranks.least(2 - ranks.rank)


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


def test_each_gpu_is_chosen_before_its_process_joins(monkeypatch) -> None:
    """NCCL would otherwise put every process on the first GPU."""
    calls: list[tuple] = []
    device = torch.device("cuda", 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "set_device", lambda chosen: calls.append(("set_device", chosen)))
    monkeypatch.setattr(torch.distributed, "init_process_group",
                        lambda backend, **more: calls.append((backend, more["device_id"])))
    for name, answer in (("get_rank", 1), ("barrier", None), ("destroy_process_group", None)):
        monkeypatch.setattr(torch.distributed, name, lambda answer=answer: answer)
    with Ranks.joined(device) as ranks:
        assert ranks == Ranks(1, 2, device)
    assert calls == [("set_device", device), ("nccl", device)]


def test_what_processes_tell_each_other_is_on_their_device(monkeypatch) -> None:
    """A meta tensor stands for that of a second GPU: where it is can be seen, what it holds cannot."""
    ranks, found = Ranks(1, 2, torch.device("meta")), []

    def told(tensor: torch.Tensor, *_, **__) -> None:
        found.append(tensor.device.type)
        raise InterruptedError

    monkeypatch.setattr(torch.distributed, "all_reduce", told)
    monkeypatch.setattr(torch.distributed, "broadcast", told)
    for work in (lambda: ranks.least(8), lambda: ranks.agreed({"loss": 1.0})):
        with pytest.raises(InterruptedError):
            work()
    assert found == ["meta", "meta"]
