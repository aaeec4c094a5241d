"""Tree forecasters: a random forest and gradient boosting that read a summary of the window instead of its bars.

Fitted with the labels the nets are pretrained with, on the same rows (`fit.py`), and forecasting the same three things
(`model.py`). Adding a kind is a new file with a class, and a new line here.
"""

from __future__ import annotations

TREES: dict[str, str] = {
    "forest": "encoders.trees.forest:Forest",
    "boosting": "encoders.trees.boosting:Boosting",
    "xgboost": "encoders.trees.extreme:Extreme",
}
"""the last one needs the extra of its name: pip install 'coinarena[xgboost]'"""
