"""Markets: where bars and context come from, and how they become what everything downstream reads.

The timing contract
-------------------
Row `t` is the bar that has just closed. Everything with `known_at <= close time of t` is visible, nothing else: a
daily metric is joined on when it was *known*, never on the day it describes. The policy decides on row `t`. The order
fills at the **open of `t+1`**, worse by spread and slippage. Reward is equity at close `t+1` against close `t`. A test
perturbs all raw data after `t` and demands bit-identical features, scalers, embeddings, observations and actions up to
`t`.

Letters, here and everywhere: `B` batch (accounts or windows), `T` time, `N` assets, `F` features, `W` window,
`D` embedding, `Q` quantiles.
"""
