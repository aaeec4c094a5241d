"""Live decisions: an ensemble's forecast of the bar that has just closed, from what the bars before it left behind.

`nets.py` keeps a window or a state for each net and `trees.py` a window for trees, `past.py` the last bars and what
they make known, `fusion.py` carries what followed the market that far, and `ensemble.py` puts them together. The
forecast is the one that `Ensemble.forecast` gives of the same row, to the rounding of float32, since a net alone in a
batch may add up its products in another order; where an isotonic calibration is steep, it makes more of that.
"""
