"""What a fitted forecaster was fitted to, and whether a market's numbers mean the same to it."""

from __future__ import annotations

from typing import Protocol

from configs.errors import UserError
from data.market import Market
from data.scaling import Scaler


class Fitted(Protocol):
    """Read-only, so that frozen dataclasses are such."""

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def scaler(self) -> Scaler: ...
    @property
    def window(self) -> int: ...


def check_columns(fitted: Fitted, market: Market, name: str, again: str) -> None:
    """Refuse other features. `name` is what the message calls the fitted thing, `again` how to make another."""
    if market.columns != fitted.columns:
        missing = [column for column in fitted.columns if column not in market.columns]
        extra = [column for column in market.columns if column not in fitted.columns]
        said = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(extra)}"] * bool(extra)
        raise UserError(f"the columns of the {name} do not fit the market: "
                        f"{'; '.join(said) or 'the same names in another order'}; use the market it was trained on or "
                        f"{again}")


def check_fits(fitted: Fitted, market: Market, scaler: Scaler, window: int | None, name: str, again: str) -> None:
    """Refuse a market whose numbers would mean something else."""
    check_columns(fitted, market, name, again)
    if not scaler.same_as(fitted.scaler):
        raise UserError(f"the {name} was trained with another scaler (other training rows or features); scale with the "
                        f"{name}'s own, use the market it was trained on or {again}")
    if window is not None and window != fitted.window:
        raise UserError(f"the {name} reads windows of {fitted.window} bars, not {window}; set the window to "
                        f"{fitted.window} or {again}")
