"""Settings of pretraining; without torch, so that a script's --help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from configs.errors import UserError
from configs.registry import check_name

Schedule = Literal["cosine", "one_cycle", "constant"]
Context = Literal["window", "stream"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class PretrainConfig:
    """
    >>> PretrainConfig(lr=1e-3, accumulate=4).batch
    128
    """

    epochs: int = 16
    """most passes; early stopping usually ends before"""
    rows_per_epoch: int = 2048
    """windows of one pass, one at random from each of as many equal stretches of the training rows, since the labels
    of neighbours look at almost the same bars; 0 takes every row. In a stream every labelled row teaches in each pass,
    and only what is validated is thinned"""
    context: Context = "window"
    """what a decision is read from: window, so many bars and no more, or stream, a state carried from bar to bar (lstm,
    gru, mamba and others that can), trained by truncated backpropagation through time"""
    tbptt: int = 64
    """bars of a stream that gradients flow through (stream)"""
    carried: int = 8
    """such chunks that follow one another with the state carried on, until it begins anew (stream)"""
    pieces: int = 8
    """runs of `carried` chunks that are read side by side in a step, what `batch` is to windows (stream); 0: as many as
    the memory can hold, which differs from machine to machine, and the weights with it"""
    batch: int = 128
    """windows per step, in a stream those of its masked passes; 0: as many as the memory can hold (window)"""
    accumulate: int = 1
    """batches whose gradients are added up before a step"""
    lr: float = 1e-3
    """highest learning rate"""
    schedule: Schedule = "cosine"
    """of the learning rate: cosine and one_cycle rise during the warm-up and fall as a cosine, to 1e-4 of the highest;
    one_cycle starts at a 25th of it and swings the momentum the other way; constant stays after the warm-up"""
    warmup: float = 0.05
    """share of the steps on which the learning rate rises"""
    weight_decay: float = 1e-2
    """AdamW's, on matrices only"""
    clip: float = 1.0
    """largest norm of the gradient"""
    patience: int = 4
    """passes without a better validation loss before the training stops"""
    label_smoothing: float = 0.0
    """share of each class label that is spread over the three classes"""
    focal: float = 0.0
    """how much less rows that are foreseen already count in the loss of the direction; 0 is the plain cross-entropy"""
    dropout: tuple[float, float] | None = None
    """the encoder's dropout at the first and at the last pass, in equal steps between; None: its own throughout"""
    input_dropout: float | None = None
    """share of the features hidden from a whole window; None: as the encoder's settings have it"""
    curriculum: tuple[float, ...] = ()
    """share of the training rows, calmest first, that each of as many equal stages learns from, such as
    0.3 0.6 1 1; empty: all of them throughout"""
    adversarial: float = 0.0
    """how far, in scaled units, each input is pushed the way that hurts most; the loss is then the mean of both; 0: no
    pushing"""
    average: float = 0.0
    """share of the averaged weights kept at each step; they are what is validated and stored; 0: no averaging"""
    masked_epochs: int = 0
    """passes before the first label is seen, in which hidden bars are told from the rest of the window"""
    masked_share: float = 0.3
    """share of each window's bars that those passes hide"""
    precision: Precision = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU"""
    compile: bool = False
    """have torch compile the model: minutes once, then faster steps on a GPU"""
    threads: int = 0
    """CPU threads; 0 leaves torch's own number"""

    def __post_init__(self) -> None:
        for field in ("epochs", "tbptt", "carried", "accumulate", "lr", "clip", "patience"):
            if not getattr(self, field) > 0:
                raise UserError(f"pretrain {field} must be above 0, found {getattr(self, field)}")
        for field in ("rows_per_epoch", "pieces", "batch", "threads", "weight_decay", "focal", "adversarial",
                      "masked_epochs"):
            if not getattr(self, field) >= 0:
                raise UserError(f"pretrain {field} must be at least 0, found {getattr(self, field)}")
        for field in ("warmup", "label_smoothing", "average", "masked_share"):
            if not 0 <= getattr(self, field) < 1:
                raise UserError(f"pretrain {field} must be at least 0 and below 1, found {getattr(self, field)}")
        if self.context == "stream" and self.masked_epochs and not self.batch:
            raise UserError("pretrain batch 0 is fitted to what labelled windows take, of which a stream has none: say "
                            "how many windows a masked pass reads per step")
        if not all(0 < share <= 1 for share in self.curriculum):
            raise UserError(f"pretrain curriculum holds shares above 0 and up to 1, found {self.curriculum}")
        if self.dropout is not None and not all(0 <= share < 1 for share in self.dropout):
            raise UserError("pretrain dropout is two shares at least 0 and below 1, the first and the last pass's, "
                            f"found {self.dropout}")
        if self.input_dropout is not None and not 0 <= self.input_dropout < 1:
            raise UserError(f"pretrain input_dropout must be at least 0 and below 1, found {self.input_dropout}")
        for field, kind in (("schedule", Schedule), ("context", Context), ("precision", Precision)):
            check_name(field, getattr(self, field), get_args(kind))

    @property
    def at_once(self) -> int:
        """What a step reads side by side: windows, or pieces of the stream; 0: as many as fit."""
        return self.batch if self.context == "window" else self.pieces
