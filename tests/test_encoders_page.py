"""`docs/encoders.md` is what `scripts/list_encoders.py` writes today, and the flags it gives do what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agents.experiment import load_experiment
from configs.loader import parse, preset
from encoders.config import EncoderConfig
from encoders.page import chosen_by
from tests.test_scripts import command

FURTHER = ("transformer.gpt", "transformer.large")


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    assert command("list_encoders", "--out", tmp_path / "page.md").code == 0
    page = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text()
    assert (tmp_path / "page.md").read_text() == page
    assert [name for name in FURTHER if f"| `{name}` | `{' '.join(chosen_by(name))}` |" not in page] == []


@pytest.mark.parametrize("name", FURTHER)
def test_further_presets_are_chosen_by_flags_or_by_a_file(name: str, tmp_path: Path) -> None:
    wanted = preset("encoder", name)
    assert load_experiment(chosen_by(name)).net == parse(EncoderConfig, [], wanted)
    file = tmp_path / "net.yaml"
    file.write_text(yaml.safe_dump({"net": wanted}))
    chosen = load_experiment(["--encoder", "transformer", "--preset", "full", "--config", str(file)])
    assert chosen.net == parse(EncoderConfig, [], wanted)
