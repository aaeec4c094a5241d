"""What a tournament's report says, section by section: the verdict first, then everything that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.arena.findings import Findings, by_kind, by_window, find, intervals
from agents.arena.meeting import NOISE, OWN, at_cost
from agents.arena.page import Section, write_report
from agents.arena.pictures import pictures
from agents.arena.report import BESIDE, HOLD, ORACLE, readable
from agents.arena.season import CAMPS, Season, growth_per_year, whole
from agents.arena.statistics.runs import iqm
from agents.arena.verdict import Verdict, p_value, signed, verdict, years
from configs.run import plain, write_json
from data.bootstrap import BootstrapConfig
from encoders.score_table import as_markdown

FACTS = "findings.json"


def report(folder: Path, bootstrap: BootstrapConfig) -> str:
    """Everything that the tracks in `folder` say, written into it anew; returns the verdict and the camps."""
    found = find(Season.load(folder), bootstrap)
    drawn = pictures(found)
    by_window(found.season).to_csv(folder / "windows.csv", index=False)
    by_kind(found.season, whole(found.season)).to_csv(folder / "kinds.csv", index=False)
    found.report.save(folder)
    judged = verdict(found)
    write_json(folder / FACTS, finite(plain(facts(found, judged))))
    write_report(f"{folder.name}: agents against signals", sections(found, judged, [*drawn]), drawn, folder)
    return f"{judged.text}\n\n{as_markdown(leaders(found))}"


def facts(found: Findings, judged: Verdict) -> dict[str, object]:
    """For programs, unrounded."""
    return {
        "winner": judged.winner, "verdict": judged.text, "trials": found.trials,
        "chosen": {one.name: [{"window": pick.window, "name": pick.name, "validated": pick.validated}
                              for pick in one.picks] for one in found.camps},
        "duels": list(found.duels), "luck": list(found.luck),
        "overfitting": found.overfitting and {"probability": found.overfitting.probability,
                                              "contestants": found.overfitting.contestants,
                                              "blocks": found.overfitting.blocks},
        "superior": {name: one._asdict() for name, one in found.superior.items()},
        "curves": list(found.curves), "regimes": found.regimes, "confidences": list(found.confidences),
    }


def finite(value: Any) -> Any:
    """What is not a number, or endless, as null: JSON knows neither.

    >>> finite({"years": [1.0, float("inf"), float("nan")]})
    {'years': [1.0, None, None]}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def sections(found: Findings, judged: Verdict, drawn: Sequence[str]) -> list[Section]:
    return [told for told in (
        Section("Verdict", (judged.text,)), leading(found), everybody(found), chosen(found), duels(found),
        luck(found), over_time(), sensitivity(found, drawn), kinds(found, drawn), sure(found), trust(found),
        again(found),
    ) if told is not None]


def leaders(found: Findings) -> pd.DataFrame:
    """The camps, over their seeds, and holding."""
    names = [*(one.name for one in found.camps), HOLD]
    rows = pd.concat([found.report.teams, found.report.table])
    wanted = [name for name in rows.index if any(name == one or (name.startswith(f"{one}, ") and " seeds" in name)
                                                 for one in names)]
    return readable(rows.loc[wanted])


def leading(found: Findings) -> Section:
    return Section("The camps", (
        found.report.about,
        f"By these rules an order costs {found.season.record['unit'] * 1e4:g} bps of its value, fee, fixed spread and "
        f"slippage together. {found.season.record['remarks']}".strip(),
        "Each camp is judged by what could have been traded: before each window the contestant that had grown most on "
        "the validation rows, whatever it then made of the test rows.",
        "`turnover/year`: value traded over equity. `costs`: all that was paid, of the starting capital. `trades`: "
        "bars with an order; everybody begins each window in cash, so that who buys and holds buys in each. "
        "`exposure`: what is held over equity, long or short. `win_rate`: bars that gained among those on which "
        "something was held.",
    ), (("", leaders(found)),), (("equity", "Equity of the camps and of holding"),))


def everybody(found: Findings) -> Section:
    table = with_seeds(found.report.table) if len(found.report.teams) else found.report.table
    mine = [name for name in table.index if not any(name.startswith(camp) for camp in CAMPS.values())]
    tables = [("Means over seeds; of four or more, over the middle half of them", readable(found.report.teams))]
    return Section("Everybody", (
        f"{len(mine)} contestants, losers included, best first. Who is best here is known only afterwards: of so many "
        f"worthless ones the best looks good as well. {in_cash(found)} {best_there_is(found)}".strip(),
    ), (*(tables if len(found.report.teams) else []), ("Each alone", readable(table.loc[mine])),
        ("What else is asked of each (`information_ratio`: against buying and holding; `value_at_risk`: what one bar "
         "in twenty falls short of; `expected_shortfall`: the mean of those)", readable(table.loc[mine], BESIDE))))


def with_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Every agent with its seed in its name: what goes without is all seeds together."""
    return table.rename(index={name: f"{name}, seed {seed}" for name, kind, seed in
                               zip(table.index, table["kind"], table["seed"], strict=True)
                               if kind == "rl" and not name.endswith(f", seed {seed}")})


def best_there_is(found: Findings) -> str:
    return ("The oracle knows the law of this market and sees its state: nobody can be expected to do better. It is "
            "beside the comparisons, and in none of the tests.") if ORACLE in found.report.table.index else ""


def in_cash(found: Findings) -> str:
    """How many trainings left an agent that never traded."""
    agents = [track for window in found.season.tests for track in window if track.kind == "rl"]
    idle = [track for track in agents if not track.turnover.any()]
    return (f"Of {len(agents)} trained agents {len(idle)} stayed in cash through their window: nothing on its "
            "validation rows spoke for trading (`agent.stay_out`).") if idle else ""


def chosen(found: Findings) -> Section:
    """Who stood for each camp, and how that was chosen."""
    rows = [{"window": pick.window, "camp": one.name,
             "chosen": pick.name if pick.alike == 1 else f"{pick.name}, the first of {pick.alike} alike",
             "growth a year on the validation rows": signed(pick.validated),
             "on the test rows": signed(tested(found, pick.window, pick.name))}
            for one in found.camps for pick in one.picks]
    return Section("Who was chosen", (
        "By log growth per year after costs on the validation rows of the window; of several seeds the interquartile "
        "mean. Thresholds, sizes and weights were chosen on the same rows, so that everybody looks better there than "
        "on the test rows.",
    ), (("", pd.DataFrame(rows).set_index("window")),))


def tested(found: Findings, window: int, name: str) -> float:
    tracks = [track for track in found.season.tests[window - 1] if track.entrant == name]
    return iqm(np.array([growth_per_year(track) for track in tracks]))


def duels(found: Findings) -> Section | None:
    if not found.duels:
        return None
    rows = [{"": duel.ours, "against": duel.theirs, "log growth a year [interval]":
             f"{signed(duel.growth)} [{signed(duel.low)}, {signed(duel.high)}]", "p": p_value(duel.p),
             "p, of all with that opponent": p_value(duel.held), "ahead in a window": f"{duel.better:.0%}",
             "years to show it": years(duel.years)} for duel in found.duels]
    text = ["Differences on the same bars, in the same resampled histories. `p, of all with that opponent` counts that "
            "there are several (Holm). `ahead in a window` is how probable it is that a run of the first ends a window "
            "ahead of one of the second. The last column is how long one would have to watch for a difference of this "
            "size to show in four of five cases: what a short history cannot show it has not refuted either."]
    for name, test in found.superior.items():
        text.append(f"Is anybody better than {name}? If nobody were, so good a best contestant would come with "
                    f"p = {test.consistent:.3f} (test of superior predictive ability, all contestants; from "
                    f"{test.lower:.3f} to {test.upper:.3f}, as those that look worse count as being so or not).")
    return Section("One against the other", tuple(text), (("", pd.DataFrame(rows).set_index("")),),
                   (("profiles", "Share of runs that grew by more than so much"),))


def luck(found: Findings) -> Section:
    rows = [{"": one.name, "Sharpe": f"{one.sharpe:+.2f}", "above zero": share(one.probable),
             "the best by luck": f"{one.hurdle:.2f}",
             "above the best by luck": share(one.deflated),
             "years that show it": years(one.years)} for one in found.luck]
    text = [f"{found.trials:,} agents that could have been chosen were trained on this history so far, those of each "
            "window counted for themselves (`trials.jsonl` beside the runs); what signals chose among is not in it. "
            "The best of so many worthless ones would be expected to show the Sharpe ratio of the column `the best by "
            "luck`, were theirs as different from one another as those of everybody else here. The probabilistic "
            "Sharpe ratio is the confidence that the true one is above zero, the deflated one that it is above that."]
    if found.overfitting is not None:
        text.append(f"The contestant that is best on one half of this history is in the lower half on the other with "
                    f"probability {found.overfitting.probability:.2f} ({found.overfitting.contestants} contestants, "
                    f"{found.overfitting.blocks} blocks). Of a table in which all are worthless this may come out "
                    "anywhere, so it decides nothing alone.")
    return Section("How much may be luck", tuple(text), (("", pd.DataFrame(rows).set_index("")),))


def share(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "never traded"


def over_time() -> Section:
    return Section("Over time", pictures=(
        ("drawdown", "How far each lies below its highest equity so far"),
        ("months", "Returns of calendar months"), ("exposure", "What is held, by month"),
        ("decisions", "The last bars as candles, with what is held over them")))


def sensitivity(found: Findings, drawn: Sequence[str]) -> Section:
    noise = [rule for rule in found.curves[0].growth if rule.startswith(NOISE)]
    rules = [rule for rule in found.curves[0].growth if rule not in noise]
    camps = [one.name for one in found.camps]
    curves = sorted(found.curves, key=lambda one: one.name not in camps)
    dearer = [{"": curve.name, **{rule: signed(curve.growth[rule]) for rule in rules}, "breaks even at": broken(
        curve.break_even, curve.beyond)} for curve in curves]
    windows = len(found.season.tests)
    older = [{"": curve.name, OWN: signed(curve.growth[OWN]), **{rule: signed(curve.growth[rule]) for rule in noise},
              **{taught(every, windows): signed(curve.old[every]) if curve.old else "" for every in intervals(windows)},
              "least of its seeds": signed(curve.least), "most": signed(curve.most)} for curve in curves]
    costs = [at_cost(float(bps)) for bps in found.season.record["costs"]]
    return Section("If trading were dearer, later or unluckier, and data noisier or older", (
        "Log growth a year, nobody trained or chosen anew. "
        + (f"From {costs[0]} to {costs[-1]}: all that an order costs, in place of fee, spread and slippage. " if costs
           else "")
        + "Late: orders fill so many bars later than they do. Worst fills: every purchase at the high of its bar and "
          "every sale at the low. Noise: on every feature, of so many of the spreads that it is scaled by. Taught "
          "every so many windows: whoever was trained and chosen last trades on until then, on the same bars.",
    ), (("", pd.DataFrame(dearer).set_index("")), ("", pd.DataFrame(older).set_index(""))),
        (("costs", "Growth as orders cost more"),) if "costs" in drawn else ())


def taught(every: int, windows: int) -> str:
    return "taught once" if every == windows else f"taught every {every} windows"


def broken(bps: float | None, beyond: bool) -> str:
    if bps is None:
        return ""
    return f"above {bps:g} bps" if beyond else f"{bps:.1f} bps" if bps else "never"


def kinds(found: Findings, drawn: Sequence[str]) -> Section | None:
    if "regimes" not in drawn:
        return None
    rows = [{"": name, **{kind: f"{signed(one.value)} [{signed(one.low)}, {signed(one.high)}]"
                          for kind, one in estimates.items()}} for name, estimates in found.regimes.items()]
    return Section("By kind of market", (
        "Log growth per year of time spent in it: up, down or neither by the 720 bars before a decision, and thirds of "
        "the volatility of the 168 before it among each window's own bars. Kinds that came up for less than two blocks "
        "of the bootstrap are left out. `kinds.csv` has every measure of every contestant by kind.",
    ), (("", pd.DataFrame(rows).set_index("")),), (("regimes", "Growth by kind of market"),))


def sure(found: Findings) -> Section | None:
    if not found.confidences:
        return None
    rows = [{"": one.name, "calls": f"{one.calls:,}", "right": f"{one.right:.1%}", "sure": f"{one.sure:.1%}",
             "calibration error": f"{one.off:.1%}", "precision": f"{one.precision:.1%}", "recall": f"{one.recall:.1%}",
             "F1": f"{one.f1:.1%}"} for one in found.confidences]
    return Section("How sure the forecasters were", (
        "Of the direction that each called (down, flat or up) on every test row whose label is known: how often it was "
        "right, and how sure it was of that. The calibration error is their mean distance in ten bins of equal size. "
        "Precision, recall and F1 are means over those directions that came or were called.",
    ), (("", pd.DataFrame(rows).set_index("")),), (("confidence", "Share of right calls by how sure they were"),))


def trust(found: Findings) -> Section:
    """What was looked at so that the future stays out."""
    record = found.season.record
    audited = record["audit"]
    looked = (f"as {audited['agent']} sees and trades, {audited['outputs']} outputs of {audited['columns']} features, "
              f"{audited['cuts']} moments x {audited['kinds']} ways to change what comes after them")
    text = [f"No leak found, {looked}." if not audited["leaks"] else
            f"**{audited['leaks']} leaks found**, the first: {audited['worst']}. Nothing else on this page can be "
            "believed until it is mended.",
            "The causal test changes every number after a moment, and everything that was known by then must stay the "
            "same to the bit: features, labels, scaler, embeddings, observations, actions. Each window was trained on "
            "its own rows, with a gap before its validation and its test rows as long as windows and labels reach."]
    rows = pd.DataFrame(record["meetings"]).set_index("window")
    return Section("What keeps the future out", tuple(text), (("The data that each window was made of", rows),))


def again(found: Findings) -> Section:
    record = found.season.record
    libraries = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if name != "platform")
    return Section("How to repeat it", (
        f"Seeds {record['seed']} to {record['seed'] + record['seeds'] - 1}; {libraries}. Every number here is made of "
        "`window<n>/tracks.parquet`, `validation.parquet`, `scenarios.parquet`, `bars.parquet` and "
        "`forecasts.parquet`, and of `run.json` (trainings, causal test, rows); the second command makes them anew "
        "from these.",
    ), code=f"{record['command']}\npython scripts/evaluate.py --from {record['folder']}")
