"""What tracks allow to be said: how much of a result is the luck of the period, of training, and of having tried often.

`resampling` of histories in blocks, `runs` of one agent, `luck` of a Sharpe ratio and of the best among many,
`overfitting` of a choice, `several` hypotheses at once, `power` of a period. Formulas stand with the paper they are
from; Sharpe ratios are of one bar unless a name says that they are of a year.
"""
