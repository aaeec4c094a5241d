"""Encoders: networks that read a window of features and forecast what comes next; agents trade on what they found.

Pretrained with labels on training rows only (`pretrain.py`), then a whole market is embedded in one pass (`embed.py`).
Adding an encoder is a new file with a class, and a new line here.
"""

from __future__ import annotations

ENCODERS: dict[str, str] = {
    "lstm": "encoders.recurrent:LSTM",
    "attention_lstm": "encoders.attention_lstm:AttentionLSTM",
    "transformer": "encoders.transformer:Transformer",
    "mamba": "encoders.mamba:Mamba",
}
