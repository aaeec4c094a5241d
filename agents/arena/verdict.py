"""One paragraph out of the numbers, by rule: who leads, whether that is more than luck, and where it ends.

A winner is named where all of this holds: the interval of the difference in growth between the two camps, each judged
by what it chose beforehand, leaves out zero; the one that is ahead has an interval of its own growth above zero; it has
not clearly grown less than the market itself; and agents were trained from two seeds at least, for of one alone the
interval knows nothing of the luck of training. Else there is no evidence, and the paragraph says so. Whether a winner
may have been found by trying often is said in the same sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.arena.findings import Duel, Findings, Luck
from agents.arena.report import HOLD
from agents.arena.season import CAMPS

SURE = 0.95  # confidence from which a deflated Sharpe ratio counts as more than luck


@dataclass(frozen=True)
class Verdict:
    winner: str  # a camp; empty: nobody
    text: str


def verdict(found: Findings) -> Verdict:
    if len(found.camps) < 2:
        return Verdict("", "Only one camp has taken part, so there is nothing to compare: " + ", ".join(
            one.name for one in found.camps) + ".")
    duel = found.duels[0]
    ahead, behind = (duel.ours, duel.theirs) if duel.growth >= 0 else (duel.theirs, duel.ours)
    low, high = own_growth(found, ahead)
    luck = next(one for one in found.luck if one.name == ahead)
    beside = next(one for one in found.duels if (one.ours, one.theirs) == (ahead, HOLD))
    behind_market = beside.high < 0
    several = len(found.camps[0].tracks) > 1
    winner = ahead if duel.clear and low > 0 and not behind_market and several else ""
    said = [found.season.record["remarks"], difference(duel, ahead, behind)]
    said += stayed_out(found)
    if winner:
        sure = "" if luck.deflated >= SURE else ", though that may be luck after so many trials"
        said.append(f"**{ahead.capitalize()} win** on these bars{sure}.")
    elif duel.clear and not several:
        said.append("That is no win: the agents are of one seed, so the interval knows nothing of the luck of "
                    "training.")
    elif duel.clear and behind_market:
        said.append("That is no win, for both grew less than the market itself.")
    elif duel.clear:
        said.append(f"That is no win, for what {ahead} earned themselves cannot be told from nothing "
                    f"({signed(low)} to {signed(high)} a year): the others lost more.")
    else:
        said.append("**No evidence** that either is better.")
    said += [power(duel), market(beside, ahead), lucky(found, luck, ahead), ends(found, ahead)]
    return Verdict(winner, " ".join(one for one in said if one))


def difference(duel: Duel, ahead: str, behind: str) -> str:
    if duel.growth == 0 == duel.low == duel.high:
        return f"{ahead.capitalize()} and {behind} made the same of every bar."
    size = abs(duel.growth)
    low, high = sorted((duel.low, duel.high)) if duel.growth >= 0 else sorted((-duel.low, -duel.high))
    return (f"{ahead.capitalize()} grew by {size:.1%} a year more than {behind} (log growth; interval {signed(low)} "
            f"to {signed(high)}, p {p_value(duel.p, sign=True)}).")


def stayed_out(found: Findings) -> list[str]:
    """Who did not trade, or in a part of the windows alone: the rest of what they show is that of cash."""
    said, windows = [], len(found.season.tests)
    for one in found.camps:
        traded = [any(track.turnover.any() for track in season if track.entrant == pick.name)
                  for season, pick in zip(found.season.tests, one.picks, strict=True)]
        if not any(traded):
            said.append(f"{one.name.capitalize()} stayed in cash throughout.")
        elif not all(traded):
            said.append(f"{one.name.capitalize()} traded in {sum(traded)} of {windows} windows, and stayed in cash in "
                        "the others.")
    return said


def own_growth(found: Findings, camp: str) -> tuple[float, float]:
    """Interval of the log growth per year of a camp, over its seeds where it has several."""
    table, name = found.report.table, camp
    teams = [team for team in found.report.teams.index if team.startswith(f"{camp}, ")]
    if teams:
        table, name = found.report.teams, teams[0]
    years = found.tracks[0].years
    low, high = np.log1p(table.loc[name, ["total_return_low", "total_return_high"]].to_numpy(float)) / years
    return float(low), float(high)


def power(duel: Duel) -> str:
    if duel.clear or not np.isfinite(duel.years):
        return ""
    return f"If the difference is what it looks like, {years(duel.years)} years of such bars would show it."


def market(beside: Duel, ahead: str) -> str:
    more = "more" if beside.growth >= 0 else "less"
    told = "" if beside.clear else ", which may be chance"
    return (f"Against {beside.theirs} {ahead} grew by {abs(beside.growth):.1%} a year {more} (interval "
            f"{signed(beside.low)} to {signed(beside.high)}){told}.")


def lucky(found: Findings, luck: Luck, ahead: str) -> str:
    beside = "" if ahead == CAMPS["rl"] else " of agents (what signals chose among is not counted)"
    tried = f"After {found.trials:,} trainings{beside} on this history"
    if not luck.traded:
        return f"{tried} {ahead} never traded, so there is no luck to take out."
    verdict = "more than luck" if luck.deflated >= SURE else "not distinguishable from luck"
    return (f"{tried} the best of as many worthless ones would be expected to show a Sharpe ratio of "
            f"{luck.hurdle:.2f}; {ahead} show {luck.sharpe:.2f}, which is {verdict} (deflated Sharpe ratio "
            f"{luck.deflated:.2f}).")


def ends(found: Findings, camp: str) -> str:
    curve = next(one for one in found.curves if one.name == camp)
    if curve.break_even is None:
        return ""
    if curve.beyond:
        return f"Their growth outlasts {curve.break_even:g} bps an order, the most that was tried."
    if curve.break_even == 0:
        return "Nor would they have grown if orders were free."
    return f"Their growth ends where an order costs {curve.break_even:.1f} bps in all."


def years(count: float) -> str:
    """No more digits than such an estimate has.

    >>> years(4.96), years(118.7), years(19_339.0), years(float("inf"))
    ('5.0', '119', 'over 1,000', 'never')
    """
    if not np.isfinite(count):
        return "never"
    return f"{count:.1f}" if count < 10 else f"{count:.0f}" if count <= 1_000 else "over 1,000"


def p_value(p: float, sign: bool = False) -> str:
    """
    >>> p_value(0.0123), p_value(0.0004), p_value(0.0123, sign=True), p_value(0.0004, sign=True)
    ('0.012', '< 0.001', '= 0.012', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{'= ' * sign}{p:.3f}"


def signed(value: float) -> str:
    return f"{value:+.1%}"
