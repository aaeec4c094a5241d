"""Which moments a column of times means: found where only one reading is possible, and otherwise asked for."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import pandas as pd

from configs.errors import UserError

SINCE_1970 = ("s", "ms", "us", "ns")  # date formats of numbers
PERIODS = (pd.Timedelta("1h"), pd.Timedelta("1D"))  # between rows of everything that is stored
ISO = r"^\d{4}-?\d{2}"
ZONE = r":\d{2}(?:\.\d+)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})$"  # after a time of day: 2024 in 01-02-2024 is none
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I-%p")


def utc_times(column: pd.Series, date_format: str, assume_utc: bool, where: str) -> tuple[pd.Series, tuple[str, ...]]:
    """(rows,) of UTC microseconds, and notes on how they were read. Days without a time of day need no zone.

    >>> times, notes = utc_times(pd.Series(["13/02/2024", "12/02/2024"]), "", False, "a.csv")
    >>> str(times[1]), notes
    ('2024-02-12 00:00:00+00:00', ('dates read as %d/%m/%Y',))
    """
    column = column.reset_index(drop=True)
    if column.isna().any():
        raise UserError(f"{where}: {column.name} is missing in row {int(column.isna().to_numpy().argmax())}; remove or "
                        "mend the row")
    notes: tuple[str, ...] = ()
    if pd.api.types.is_numeric_dtype(column):
        times = of_numbers(column, date_format, where)
    elif pd.api.types.is_datetime64_any_dtype(column):
        times = column
    else:
        text = column.astype(str).str.strip()
        zoned = text.str.contains(ZONE).to_numpy()
        if zoned.any() and not zoned.all():
            raise UserError(f"{where}: {column.name} has a time zone in some rows but none in row "
                            f"{int((~zoned).argmax())} ({text[(~zoned).argmax()]!r}); write all of them alike")
        if not date_format and not text.str.match(ISO).all():
            date_format = day_and_month(text, where)
            notes = (f"dates read as {date_format}",)
        times = of_text(text, date_format or "ISO8601", bool(zoned.all()), where)
    if times.dt.tz is None:
        if not assume_utc and (times != times.dt.normalize()).any():
            raise UserError(f"{where}: {column.name} has no time zone, found {str(column.iloc[0])[:40]!r} in row 0; if "
                            "it is UTC say --assume-utc True")
        times = times.dt.tz_localize("UTC")
    return times.dt.tz_convert("UTC").astype("datetime64[us, UTC]"), notes


def of_numbers(column: pd.Series, date_format: str, where: str) -> pd.Series:
    if "%" in date_format:
        return of_text(column.map("{:.0f}".format), date_format, True, where)
    if date_format not in SINCE_1970:
        raise UserError(f"{where}: {column.name} holds numbers such as {column.iloc[0]}, whose unit is not guessed; if "
                        f"they count from 1970 say --date-format with one of {', '.join(SINCE_1970)}, and if they are "
                        "written dates their form, such as %Y%m%d")
    return pd.to_datetime(column, unit=cast(Literal["s"], date_format), utc=True)


def of_text(text: pd.Series, date_format: str, zoned: bool, where: str) -> pd.Series:
    times = pd.to_datetime(text, format=date_format, utc=zoned, errors="coerce")
    wrong = times.isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{where}: {text.name} {text[row][:40]!r} in row {row} is no date of the form {date_format}; "
                        "say the form as in --date-format %d-%m-%Y, or mend the row")
    return times


def day_and_month(text: pd.Series, where: str) -> str:
    """The one form that every row has, or, if there are two, the one that sets the rows an hour or a day apart.

    Days of up to 12 pass for months: 01/02, 02/02, 03/02 are three days in a row or three months apart, and only days
    and hours are stored.

    >>> day_and_month(pd.Series(["01/02/2024", "02/02/2024", "03/02/2024"]), "a.csv")
    '%d/%m/%Y'
    >>> day_and_month(pd.Series(["02/01/2024", "02/02/2024", "02/03/2024"]), "a.csv")
    '%m/%d/%Y'
    """
    divider = next((sign for sign in "-/." if sign in text[0]), "-")
    forms = [form.replace("-", divider, 2) + clock for form in ("%d-%m-%Y", "%m-%d-%Y") for clock in CLOCKS]
    read = {form: pd.to_datetime(text, format=form, errors="coerce") for form in forms}
    possible = {form: times for form, times in read.items() if times.notna().all()}
    likely = possible if len(possible) < 2 else {
        form: times for form, times in possible.items() if len(times) > 1 and usual_step(times) in PERIODS}
    if len(likely) == 1:
        return next(iter(likely))
    why = "in more than one way" if possible else "as no date that is known"
    raise UserError(f"{where}: {text.name} such as {text[0][:40]!r} can be read {why}, and the rows do not decide it; "
                    "say the form as in --date-format %d-%m-%Y")


def usual_step(times: pd.Series) -> pd.Timedelta:
    """The median distance of one row to the next as they stand in the file.

    >>> usual_step(pd.Series(pd.to_datetime(["2024-01-05", "2024-01-04", "2024-01-01"])))
    Timedelta('2 days 00:00:00')
    """
    return pd.Timedelta(np.median(np.abs(np.diff(times.to_numpy("datetime64[us]").astype("int64")))), unit="us")
