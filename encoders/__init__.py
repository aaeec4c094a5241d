"""Encoders: networks that read a window of features and forecast what comes next; agents trade on what they found.

Pretrained with labels on training rows only (`pretrain.py`), then a whole market is embedded in one pass (`embed.py`).
Adding an encoder is a new file with a class, and a new line here; `docs/encoders.md` compares them.
"""

from __future__ import annotations

STATEFUL = ("lstm", "gru", "residual_lstm", "deep_lstm", "cnn_lstm", "tcn", "mamba", "mamba_mhsa")
"""those that can carry a state from bar to bar"""

ENCODERS: dict[str, str] = {
    "lstm": "encoders.recurrent:LSTM",
    "gru": "encoders.recurrent:GRU",
    "residual_lstm": "encoders.recurrent:ResidualLSTM",
    "deep_lstm": "encoders.recurrent:DeepLSTM",
    "attention_lstm": "encoders.attention_lstm:AttentionLSTM",
    "bilstm": "encoders.attention_lstm:BiLSTM",
    "cnn_lstm": "encoders.cnn_lstm:CNNLSTM",
    "tcn": "encoders.tcn:TCN",
    "transformer": "encoders.transformer:Transformer",
    "mamba": "encoders.mamba:Mamba",
    "mamba_mhsa": "encoders.mamba:MambaMHSA",
    "tft": "encoders.tft:TFT",
    "graph": "encoders.graph:Graph",
}
