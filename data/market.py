"""`Market`: the one thing everything downstream reads."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from configs.errors import UserError

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


@dataclass(frozen=True, eq=False)
class Market:
    """Prices and features of `N` assets over `T` bars, checked once when it is made.

    Rows outside every segment (the features' warm-up) keep their prices, so that an order can fill and be marked there;
    their features are NaN, so that a mistaken use is loud.

    Where `absent` is true an asset has no bar (its prices are NaN) or not all of its features yet: it shows zeros.

    >>> market = Market.flat(10, assets=("BTC",))
    >>> len(market), market.decision_rows(window=4).tolist()
    (10, [3, 4, 5, 6, 7, 8, 9])
    """

    time: np.ndarray  # (T,) datetime64[us], UTC, bar close
    assets: tuple[str, ...]
    prices: np.ndarray  # (T, N, 5) float64: open high low close volume
    features: np.ndarray  # (T, N, F) float32, scaled with statistics of training rows only
    columns: tuple[str, ...]  # names of F
    carry: np.ndarray  # (T, N) share of a position's value that a long pays, and a short receives, over the bar
    segments: np.ndarray  # (S, 2) row ranges [start, stop) that no window may cross (gaps)
    bars_per_year: float  # never guessed
    spread: np.ndarray | None = None  # (T, N) quoted ask - bid as a share of the price between them; NaN: unknown
    absent: np.ndarray | None = None  # (T, N) bool: no bar, or features not ready; None: every asset is always there
    begins: np.ndarray | None = None  # (M,) rows at which another market begins, with no past in this one

    def __post_init__(self) -> None:
        rows, assets, width = self.features.shape
        if self.prices.shape != (rows, assets, 5) or self.carry.shape != (rows, assets):
            raise UserError(f"prices {self.prices.shape} and carry {self.carry.shape} do not fit features "
                            f"{self.features.shape}")
        if self.time.shape != (rows,) or len(self.assets) != assets or len(self.columns) != width:
            raise UserError(f"{len(self.time)} times, {len(self.assets)} assets and {len(self.columns)} columns do not "
                            f"fit features {self.features.shape}")
        if rows > 1 and not (np.diff(self.time) > np.timedelta64(0)).all():
            row = int(np.argmin(np.diff(self.time) > np.timedelta64(0))) + 1
            raise UserError(f"times must rise: row {row} ({self.time[row]}) does not come after the row before")
        for name, field, kind in (("spread", self.spread, "f"), ("absent", self.absent, "b")):
            if field is not None and (field.shape != (rows, assets) or field.dtype.kind != kind):
                raise UserError(f"{name} must be None or {'numbers' if kind == 'f' else 'bool'} of shape "
                                f"{(rows, assets)}, found {field.dtype} of {field.shape}")
        right = np.isfinite(self.prices).all(axis=2) & (self.prices[:, :, :VOLUME] > 0).all(axis=2)  # (T, N)
        if self.absent is not None:
            right |= self.absent & np.isnan(self.prices).all(axis=2)  # a bar is there whole, or not at all
        if not right.all():
            row = int(np.argmin(right.all(axis=1)))
            raise UserError(f"prices must be positive and finite: row {row} ({self.time[row]}) is not")
        if self.spread is not None:
            share = np.isnan(self.spread) | (self.spread >= 0) & (self.spread < 1)
            if not share.all():
                row = int(np.argmin(share.all(axis=1)))
                raise UserError("spread must be a share, at least 0 and below 1, or NaN where it is unknown: row "
                                f"{row} ({self.time[row]}) is not")
        if not np.isfinite(self.carry).all():
            row = int(np.argmin(np.isfinite(self.carry).all(axis=1)))
            raise UserError(f"carry must be finite: row {row} ({self.time[row]}) is not")
        if not self.bars_per_year > 0:
            raise UserError(f"bars_per_year must be positive, found {self.bars_per_year}")
        self._check_features()

    def _check_features(self) -> None:
        for start, stop in self.segments:
            finite = np.isfinite(self.features[start:stop])
            if not finite.all():
                row, _, column = (int(i) for i in np.argwhere(~finite)[0])
                raise UserError(f"feature {self.columns[column]!r} is not a number at row {start + row} "
                                f"({self.time[start + row]}); mend the source or leave the column out")
            shown = np.zeros(0) if self.absent is None else self.features[start:stop][self.absent[start:stop]]
            if shown.any():
                raise UserError(f"features must be 0 where an asset is absent, found {shown[shown != 0][0]:g} between "
                                f"rows {start} and {stop}")

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def flat(cls, rows: int, assets: tuple[str, ...] = ("BTC",), price: float = 100.0) -> Market:
        """A market where nothing happens: one constant price, one constant feature. For tests and examples."""
        shape = (rows, len(assets))
        return cls(
            time=hourly_times(rows),
            assets=assets,
            prices=np.full((*shape, 5), price),
            features=np.zeros((*shape, 1), np.float32),
            columns=("nothing",),
            carry=np.zeros(shape),
            segments=np.array([[0, rows]]),
            bars_per_year=8760.0,
        )

    def decision_rows(self, window: int, rows: slice | None = None) -> np.ndarray:
        """Rows inside `rows` on which a window of `window` bars fits without crossing a gap."""
        first, last, _ = (rows or slice(None)).indices(len(self))
        found = [np.arange(max(start + window - 1, first), min(stop, last)) for start, stop in self.segments]
        return np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64)

    @property
    def parts(self) -> list[slice]:
        """The rows of each market that this one is joined of: all of them where it is one."""
        borders = [0, *([] if self.begins is None else self.begins.tolist()), len(self)]
        return [slice(first, last) for first, last in pairwise(borders)]

    def window_at(self, row: int, window: int) -> np.ndarray:
        """(W, N, F) features that a decision on `row` may see; a view, never a copy."""
        return self.features[row - window + 1 : row + 1]

    def slice(self, rows: slice) -> Market:
        """The rows of `rows` as a market of their own."""
        start, stop, _ = rows.indices(len(self))
        inside = np.clip(self.segments - start, 0, stop - start)
        begins = None if self.begins is None else self.begins[(self.begins > start) & (self.begins < stop)] - start
        return replace(
            self,
            time=self.time[start:stop],
            prices=self.prices[start:stop],
            features=self.features[start:stop],
            carry=self.carry[start:stop],
            spread=None if self.spread is None else self.spread[start:stop],
            absent=None if self.absent is None else self.absent[start:stop],
            segments=inside[inside[:, 1] > inside[:, 0]],
            begins=begins,
        )

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of everything in it: two markets with one fingerprint are the same market."""
        digest = hashlib.sha256()
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            raw = np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            digest.update(field.name.encode() + raw)
        return digest.hexdigest()[:16]

    def save(self, path: Path | str) -> None:
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: np.asarray(value) for name, value in held.items() if value is not None}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Market:
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {field.name: stored[field.name] for field in fields(cls)
                          if field.default is MISSING or field.name in stored}
        except FileNotFoundError:
            raise UserError(f"no market at {path}") from None
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is not a saved market: {error}") from None
        arrays["assets"] = tuple(arrays["assets"].tolist())
        arrays["columns"] = tuple(arrays["columns"].tolist())
        arrays["bars_per_year"] = float(arrays["bars_per_year"])
        return cls(**arrays)


def hourly_times(rows: int, start: str = "2020-01-01T01:00") -> np.ndarray:
    """(rows,) closes of consecutive hours."""
    return np.datetime64(start, "us") + np.arange(rows) * np.timedelta64(3_600_000_000, "us")
