"""Where a diagnosis is written: `report.md` for people, `diagnosis.json` for programs, a picture for each view."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agents.diagnosis.ablation import ALL, Ablated
from agents.diagnosis.band import Band, Borders, Edge, named
from agents.diagnosis.best import Best
from agents.diagnosis.diagnosis import Diagnosis
from agents.diagnosis.pictures import pictures
from agents.diagnosis.regimes import Regime
from agents.diagnosis.sensitivity import BreakEven, Sensitivity
from agents.plots import save_figure
from configs.run import write_json
from encoders.explain.estimates import Estimate
from encoders.score_table import as_markdown

BPS = 1e4
PAST = ("Growth is log growth after all costs. These rows chose the agent's weights, so that its growth here flatters "
        "it; the test rows were cut off before anything was asked.")
OUT = ("**This agent stays in cash**: nothing that it earned on these rows speaks for trading (`agent.stay_out`), nor "
       "does a second look, where one was taken. What follows is of the weights that it would trade by, and of no "
       "trade that it makes.")
STARS = "A star marks an interval that leaves out zero; of twenty groups that mean nothing one gets it by chance."


def write_diagnosis(found: Diagnosis, folder: Path) -> str:
    """Everything into `folder`; returns what `report.md` says."""
    for name, figure in pictures(found).items():
        save_figure(figure, folder / f"{name}.png")
    write_json(folder / "diagnosis.json", found.plain())
    text = markdown(found)
    (folder / "report.md").write_text(text)
    return text


def markdown(found: Diagnosis) -> str:
    about = found.about
    return "\n\n".join([
        f"# {about.agent}: a diagnosis",
        *([OUT] if about.stays_out else []),
        f"{about.decisions:,} decisions on validation rows of {', '.join(about.assets)}, {about.first} to {about.last} "
        f"UTC, {about.years:.2f} years. {PAST} Intervals: {about.level:.0%}, stationary bootstrap, {about.histories} "
        f"draws, mean block {about.block:g} bars.",
        "\n".join(f"- {line}" for line in in_short(found)),
        *traded_on(found), *when_it_trades(found), *in_regimes(found), *to_costs(found), *of_the_best(found),
    ]) + "\n"


def in_short(found: Diagnosis) -> list[str]:
    """One sentence for each section."""
    about, priced = found.about, found.sensitivity
    groups = [one for one in found.ablation.groups if one.name != ALL]
    clear = [shown(one) for one in groups if one.growth.clear and one.growth.value < 0]
    most = max(groups, key=lambda one: one.changed)
    told = [f"owes growth, beyond chance, to: {', '.join(clear) or 'nothing that was tried'}; most decisions hang on "
            f"{shown(most)} ({most.changed:.0%} change without it)"]
    if hurts := [shown(one) for one in groups if one.growth.clear and one.growth.value > 0]:
        told.append(f"would grow more, beyond chance, without: {', '.join(hurts)}")
    if found.band is not None:
        told.append(f"would keep what it holds, whatever that is, on {found.band.keeps_all:.0%} of the rows, and on "
                    f"{found.band.keeps_ends:.0%} if it holds the lowest level or the highest; wants one level, "
                    f"whatever it holds, on {found.band.same:.0%}")
    holding = "" if found.trading.holding is None else f", positions last {found.trading.holding:.1f} bars"
    told.append(f"asks for another position on {found.trading.moves:.1%} of the bars{holding}")
    every, growth = found.regimes[0], priced.growth
    told.append(f"mean weight {signed(every.weight)}, exposure {every.exposure:.2f}; grows by {bps(growth)} bps per "
                f"bar, {signed(growth.value * about.per_year)} a year")
    late = "; ".join(f"{delay.name} {bps(delay.change)}" for delay in priced.delays)
    told.append(f"breaks even at {broken(priced.curves[0].break_even, priced)} (its own costs are {priced.own:g} bps); "
                f"change in growth with {late} bps per bar")
    told.append(captured(found.best))
    return told


def traded_on(found: Diagnosis) -> list[str]:
    about, ablation = found.about, found.ablation
    table = pd.DataFrame({
        "columns": [one.columns for one in ablation.groups],
        "change in growth, bps per bar": [starred(one.growth) for one in ablation.groups],
        "log growth per year": [signed(one.growth.value * about.per_year) for one in ablation.groups],
        "decisions that change": [f"{one.changed:.1%}" for one in ablation.groups],
        "mean change of weights": [f"{one.moved:.3f}" for one in ablation.groups],
    }, index=pd.Index([shown(one) for one in ablation.groups], name="without"))
    return ["## 1. What it trades on",
            f"Each group's columns are shuffled over the {ablation.rows:,} rows that these decisions see, in blocks of "
            f"about {ablation.block:.0f} bars, {about.draws} times, and the agent looks at the market again. The "
            f"growth that is missing then it owes to what the group says about now. {STARS}",
            as_markdown(table), "![Change in growth and in decisions without each group](ablation.png)"]


def when_it_trades(found: Diagnosis) -> list[str]:
    trading = found.trading
    size = "" if trading.size is None else f", by {trading.size:.2f} of equity in the mean"
    holding = ("It held no position." if trading.holding is None else
               f"It took {trading.positions:,} positions, which lasted {trading.holding:.1f} bars in the mean.")
    parts = ["## 2. When it trades",
             f"{trading.moves:.1%} of the decisions ask for another position than is held{size}; with those that bring "
             f"a drifted weight back, orders fill on {trading.trades:.1%} of the bars. Turnover "
             f"{trading.turnover * found.about.per_year:,.0f} times the equity a year. {holding}"]
    if found.band is None:
        return parts
    band = found.band
    levels = [named(level) for level in band.levels]
    table = pd.DataFrame({f"wants {level}": [f"{share:.1%}" for share in band.chosen[:, place]]
                          for place, level in enumerate(levels)}, index=pd.Index(levels, name="holding"))
    parts += [f"Asked on each row from every level: on {band.keeps_all:.1%} of the rows it would keep any level "
              f"(its no-trade band), on {band.keeps_ends:.1%} both the lowest and the highest, and on {band.same:.1%} "
              "it wants one level whatever it holds.", as_markdown(table)]
    if band.borders:
        parts += [f"Where it leaves a level, by the market's state ({band.state}), beside the oracle's borders:",
                  as_markdown(borders(band))]
    return [*parts, "![What it wants from each position](band.png)"]


def borders(band: Band) -> pd.DataFrame:
    def rule(edge: Edge | None) -> str:
        if edge is None:
            return "never"
        wrong = f" ({edge.errors:.1%} of rows otherwise)" if edge.errors >= 0.0005 else ""
        return f"{'above' if edge.above else 'below'} {edge.state:+.3f}{wrong}"

    rows: tuple[Borders, ...] = band.borders
    return pd.DataFrame({"wants more": [rule(one.up) for one in rows], "oracle": [rule(one.oracle_up) for one in rows],
                         "wants less": [rule(one.down) for one in rows],
                         "oracle ": [rule(one.oracle_down) for one in rows]},
                        index=pd.Index([named(one.held) for one in rows], name="holding"))


def in_regimes(found: Diagnosis) -> list[str]:
    kinds: tuple[Regime, ...] = found.regimes
    table = pd.DataFrame({
        "share of time": [f"{one.share:.1%}" for one in kinds],
        "mean weight": [signed(one.weight) for one in kinds],
        "exposure": [f"{one.exposure:.2f}" for one in kinds],
        "growth, bps per bar": ["too few rows" if one.growth is None else starred(one.growth) for one in kinds],
        "the market": [signed(one.market * BPS) for one in kinds],
        "turnover a year": [f"{one.turnover * found.about.per_year:,.0f}" for one in kinds],
    }, index=pd.Index([one.name for one in kinds], name="market"))
    return ["## 3. What it holds in which market",
            "Bull, bear and sideways by the trend of the last 720 bars, thirds by the volatility of the last 168; mean "
            "weight is long less short, exposure both together.", as_markdown(table),
            "![What it holds and earns by kind of market](regimes.png)"]


def to_costs(found: Diagnosis) -> list[str]:
    priced = found.sensitivity
    columns = {f"{curve.name}, bps per bar" if place == 0 else curve.name: [
        bps(one) if place == 0 else signed(one.value * BPS) for one in curve.growth]
        for place, curve in enumerate(priced.curves)}
    turnover = priced.curves[0].turnover
    columns["turnover a year"] = [f"{one * found.about.per_year:,.0f}" for one in turnover]
    ends = [f"{curve.name}: breaks even at {broken(curve.break_even, priced)}" for curve in priced.curves]
    table = pd.DataFrame(columns, index=pd.Index([f"{cost:g} bps" for cost in priced.costs], name="a unit costs"))
    delays = [f"At its own costs growth is {bps(priced.growth)} bps per bar."]
    delays += [f"With {one.name}: {bps(one.growth)}, a change of {starred(one.change)}." for one in priced.delays]
    return ["## 4. What costs and delays do to it",
            "All costs of an order in one proportional fee, the policy left as it is" + (
                "; told the cost, it counts that fee where it weighs an order" if len(priced.curves) > 3 else "") + ".",
            as_markdown(table), "\n".join(f"- {line}" for line in ends), " ".join(delays),
            "![Growth by cost](costs.png)"]


def of_the_best(found: Diagnosis) -> list[str]:
    best, about = found.best, found.about
    parts = ["## 5. Against the best"]
    if best.growth is not None and best.promised is not None and best.behind is not None:
        parts.append(
            f"The oracle of {best.law} knows its law and what an order costs, but neither interest nor delays. It "
            f"grows by {bps(best.growth)} bps per bar on these rows ({signed(best.promised * BPS)} in the long run), "
            f"the agent by {bps(found.sensitivity.growth)}, which is {starred(best.behind)} against it, bar by bar: "
            f"{captured(best)}. "
            f"Holding what the agent holds, the oracle wants the same position on {best.agrees:.1%} of the rows; over "
            f"{best.together:.1%} of the bars both accounts hold the same.")
    reached = "nothing to reach" if best.of_bound is None else f"{best.of_bound:.1%} of it reached"
    parts.append(f"Perfect foresight, which nobody has, is bounded by {best.bound * BPS:.2f} bps per bar "
                 f"({best.bound * about.per_year:.1f} a year) on these rows: {reached}.")
    return [*parts, "![Equity over the validation rows](equity.png)"]


def captured(best: Best) -> str:
    if not best.law:
        return ("perfect foresight has nothing to reach" if best.of_bound is None else
                f"{best.of_bound:.1%} of perfect foresight, a bound that nobody comes near")
    if best.captured is None:
        return "what share is captured cannot be said, for on these rows the oracle's own growth may be chance"
    one = best.captured
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] of the oracle's growth captured"


def shown(one: Ablated) -> str:
    return one.name if one.kind == "market" else f"account: {one.name}"


def bps(one: Estimate) -> str:
    value, low, high = (signed(part * BPS) for part in (one.value, one.low, one.high))
    return f"{value} [{low}, {high}]"


def signed(value: float) -> str:
    """
    >>> [signed(value) for value in (1.234, -0.004, -0.5)]
    ['+1.23', '0.00', '-0.50']
    """
    text = f"{value:+.2f}"
    return text if text.strip("+-0.") else "0.00"


def starred(one: Estimate) -> str:
    return bps(one) + (" *" if one.clear else "")


def broken(one: BreakEven, priced: Sensitivity) -> str:
    most = priced.costs[-1]
    if one.beyond:
        return f"more than {most:g} bps"
    if one.bps == 0:
        return "no cost at all, for it loses without costs too"
    high = f"{most:g} or more" if one.high >= most else f"{one.high:.1f}"
    return f"{one.bps:.1f} [{one.low:.1f}, {high}] bps"
