"""One forecast from many: members are combined, and the result is made to keep its word.

Members -> combine -> calibrate the direction -> calibrate the volatility -> calibrate the interval, which is measured
in that volatility (`fusion.py`). Each stage is a choice from a table below; adding one is a class and a line here. What
a stage learnt are plain numbers that JSON can hold.

Two rules hold throughout. What is *fitted* saw the given rows only, and is judged on blocks of time that it was not
fitted on (`crossfit.py`). What *follows* the market from row to row may use, on row `t`, the labels of rows up to
`t - reach` and no later one, for those are the ones that are known at its close (`online.py`).

`M` members, `B` rows, `N` assets, `Q` quantiles, `P` pairs of a row and an asset, `F` inputs of the gate.
"""

from __future__ import annotations

# Each table in order of preference, the plainest first: "auto" takes the first that none beats by more than a
# standard error, and of the combiners the best.
COMBINERS: dict[str, str] = {
    "equal": "encoders.ensemble.combining:Equal",
    "weights": "encoders.ensemble.weights:Weighted",
    "recent": "encoders.ensemble.recent:Recent",
    "gated": "encoders.ensemble.gating:Gated",
    "vote": "encoders.ensemble.combining:Vote",
}
DIRECTIONS: dict[str, str] = {
    "none": "encoders.ensemble.fitted:Unchanged",
    "temperature": "encoders.ensemble.probabilities:Temperature",
    "temperature_biases": "encoders.ensemble.probabilities:BiasedTemperature",
    "isotonic": "encoders.ensemble.probabilities:Isotonic",
}
# A correction by a constant costs next to nothing, and to leave an interval or a volatility as a net said it is the
# bolder claim: so "none" comes last here.
VOLATILITIES: dict[str, str] = {
    "static": "encoders.ensemble.volatility:StaticScale",
    "adaptive": "encoders.ensemble.volatility:AdaptiveScale",
    "none": "encoders.ensemble.fitted:Unchanged",
}
INTERVALS: dict[str, str] = {
    "static": "encoders.ensemble.intervals:StaticMargins",
    "adaptive": "encoders.ensemble.intervals:AdaptiveMargins",
    "none": "encoders.ensemble.fitted:Unchanged",
}

STAGES: dict[str, dict[str, str]] = {
    "combiner": COMBINERS,
    "direction": DIRECTIONS,
    "volatility": VOLATILITIES,
    "interval": INTERVALS,
}
"""in the order in which they are gone through"""
