"""Tables of choices: unknown names are refused with a hint, known ones are imported when asked for."""

from __future__ import annotations

import sys

import pytest

from agents import ALGOS
from agents.strategies import STRATEGIES
from configs.errors import UserError
from configs.registry import check_name, did_you_mean, lookup, resolve
from encoders import ENCODERS


def test_a_name_in_the_table_is_returned():
    assert check_name("colour", "red", ["red", "blue"]) == "red"
    assert check_name("colour", "red", {"red": 1}) == "red"
    assert check_name("colour", "red", (name for name in ("blue", "red"))) == "red"


def test_an_unknown_name_lists_the_allowed_ones_and_the_closest():
    with pytest.raises(UserError) as caught:
        check_name("colour", "bleu", ["red", "blue"])
    assert str(caught.value) == "unknown colour 'bleu': choose from red, blue; did you mean 'blue'?"


def test_without_a_close_name_nothing_is_suggested():
    assert did_you_mean("xyz", ["red", "blue"]) == ""


def test_a_module_is_imported_only_when_its_name_is_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    table = {"rgb": "colorsys:hls_to_rgb", "broken": "no.such.module:thing"}
    assert "colorsys" not in sys.modules
    assert lookup("space", "rgb", table)(0, 1, 0) == (1, 1, 1)
    with pytest.raises(ModuleNotFoundError):
        lookup("space", "broken", table)


@pytest.mark.parametrize(("kind", "table"), [("encoder", ENCODERS), ("strategy", STRATEGIES)])
def test_every_entry_of_every_table_can_be_called(kind, table):
    assert table
    assert all(callable(lookup(kind, name, table)) for name in table)


def test_every_algorithm_has_a_recipe_and_learns_some_kind_of_action():
    assert all(callable(resolve(algo.recipe)) and algo.chooses for algo in ALGOS.values())
