"""Algorithms of Stable-Baselines3, sb3-contrib and our own, on row numbers, for many accounts and large minibatches.

On two cores SB3's defaults (8 environments, minibatches of 64) spend most of their time between the arithmetic. All
presets keep the number of *updates* in sight: it is shown beside the steps, for a run with a dozen updates has learnt
nothing however many steps it took.
"""
