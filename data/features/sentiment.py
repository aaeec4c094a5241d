"""What the crowd feels and writes.

`search_volume` is not used, in any form. It is a share of its own highest value over the whole collection, the future
included, and stitched from pieces that were scaled one by one: even its change across a seam tells of later days. The
caps and the CRIX of the same table only follow the price.
"""

from __future__ import annotations

import pandas as pd

from data.features.base import Feature, Series, log, one, zscore

FEAR, GREED = 25, 76  # up to the one the index calls it extreme fear, from the other on extreme greed
WRITTEN = (("stocktwits", "stocktwits_posts"), ("reddit_posts", "reddit_posts_count"),
           ("reddit_comments", "reddit_comments_count"))


def mood(f: pd.DataFrame) -> pd.Series:
    """-1 fear to 1 greed."""
    return f["fear_greed"] / 50 - 1


def extremes(f: pd.DataFrame) -> pd.Series:
    sides = (f["fear_greed"] >= GREED).astype(float) - (f["fear_greed"] <= FEAR).astype(float)
    return sides.rolling(30).mean()


def weighted(score: str, count: str) -> Series:
    """Mean of a week by posts, as the score of a day with three of them says little.

    >>> days = pd.DataFrame({"mood": [0.0] * 6 + [1.0], "posts": [1.0] * 6 + [3.0]})
    >>> weighted("mood", "posts")(days).round(3).iloc[-1]
    np.float64(0.333)
    """

    def mean(f: pd.DataFrame) -> pd.Series:
        posts = f[count].rolling(7).sum()
        return (f[score] * f[count]).rolling(7).sum() / posts.where(f[count].rolling(7).max() > 0)

    return mean


def score_z(score: str) -> Series:
    return lambda f: zscore(f[score], 90)


def count_z(count: str) -> Series:
    return lambda f: zscore(log(1 + f[count]), 90)


def line(name: str, group: str, on: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None) -> Feature:
    return Feature(name, group, lookback, needs, meaning, one(name, value), neutral, on=on)


INDEX = ("fear_greed",)

SENTIMENT = [
    line("fear_greed_level", "sentiment", "fear_greed", 1, INDEX, "-1 fear to 1 greed", mood),
    line("fear_greed_7", "sentiment", "fear_greed", 8, INDEX, "its change over 7 days", lambda f: mood(f).diff(7)),
    line("fear_greed_30", "sentiment", "fear_greed", 30, INDEX, "its mean of 30 days",
         lambda f: mood(f).rolling(30).mean()),
    line("fear_greed_extremes", "sentiment", "fear_greed", 30, INDEX,
         "share of 30 days in extreme greed less that in extreme fear", extremes),
]

SOCIAL = [
    *(line(f"{score}_score", "social", "sentiment", 7, (score, count), "mean score of 7 days by posts, -1 to 1",
           weighted(score, count), 0.0) for score, count in WRITTEN),
    *(line(f"{score}_score_z", "social", "sentiment", 90, (score,), "score of a day in deviations of its last 90",
           score_z(score), 0.0) for score, _ in WRITTEN),
    *(line(f"{count}_z", "social", "sentiment", 90, (count,), "log of 1 + posts in deviations of their last 90 days",
           count_z(count), 0.0) for _, count in WRITTEN),
]
