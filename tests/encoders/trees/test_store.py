"""What is saved comes back to the bit; what does not fit, or is not whole, is refused in one line."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import UserError
from encoders.checkpoint import digest
from encoders.trees.model import TreeForecaster
from encoders.trees.store import FORMAT, SETTINGS, load_trees, save_trees
from tests.encoders.planted import Pieces, planted
from tests.encoders.trees.quick import fitted, same

FILE = "quantile_0.5.0.model"


def refused(folder: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        load_trees(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def rewrite(folder: Path, raw: bytes) -> None:
    """Another model, with settings that vouch for it."""
    stored = json.loads((folder / SETTINGS).read_text())
    (folder / FILE).write_bytes(raw)
    stored["parts"]["quantile_0.5"]["files"] = [digest(raw)]
    (folder / SETTINGS).write_text(json.dumps(stored))


@pytest.mark.parametrize("name", ["boosting", "forest"])
def test_save_and_load_to_the_bit(name: str, request, pieces: Pieces, tmp_path: Path) -> None:
    trees: TreeForecaster = request.getfixturevalue(name)
    again = load_trees(save_trees(trees, tmp_path / "a"))
    assert again.fingerprint == trees.fingerprint
    assert again.settings() == trees.settings()
    assert same(again.forecast(pieces.market), trees.forecast(pieces.market))
    again.check_fits(pieces.market, pieces.scaler)


def test_base_rates_alone_come_back(tmp_path: Path) -> None:
    pieces = planted(lead=0.0)
    trees = fitted(pieces, "boosting", least=2000)
    again = load_trees(save_trees(trees, tmp_path))
    assert same(again.forecast(pieces.market), trees.forecast(pieces.market))


def test_damage_is_refused(boosting: TreeForecaster, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no trees at")
    folder = save_trees(boosting, tmp_path)
    raw = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(raw[:-7])
    refused(folder, "quantile_0.5.0.model is damaged")
    (folder / FILE).unlink()
    refused(folder, "quantile_0.5.0.model is missing")
    (folder / FILE).write_bytes(raw)
    settings = (folder / SETTINGS).read_text()
    (folder / SETTINGS).write_text(settings[: len(settings) // 2])
    refused(folder, "trees.json is damaged")
    (folder / SETTINGS).write_text(settings.replace(f'"format": {FORMAT}', '"format": 99'))
    refused(folder, "format 99")
    (folder / SETTINGS).write_text("[]")
    refused(folder, "format 'list'")
    for key in ("window", "parts", "scaler", "scale"):
        stored = json.loads(settings)
        del stored[key]
        (folder / SETTINGS).write_text(json.dumps(stored))
        refused(folder, f"not complete.*{key}")
    for wrong in ({"start": [0.0, 0.0]}, {"start": [float("nan")]}, {"share": 1.5}):
        stored = json.loads(settings)
        stored["parts"]["volatility"].update(wrong)
        (folder / SETTINGS).write_text(json.dumps(stored))
        refused(folder, "not complete.*volatility starts at")
    (folder / SETTINGS).write_text(json.dumps({**json.loads(settings), "levels": [0.25, 0.5, 0.75]}))
    refused(folder, r"quantiles \(0.25, 0.5, 0.75\)")


def numbers(name: str, change: Callable[[str], str]) -> Callable[[str], str]:
    """Every number of every line `name=` changed."""
    def changed(line: re.Match) -> str:
        return re.sub(r"(?<![\w.])-?\d+", lambda number: change(number[0]), line[0])

    return lambda text: re.sub(rf"\n{name}=.*", changed, text)


DOCTORED: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "version is missing"),
    "half": (lambda text: text[: len(text) // 2], "tree"),
    "another version": (lambda text: text.replace("version=v4", "version=v3"), "version is v3"),
    "other columns": (lambda text: text.replace("max_feature_idx=19", "max_feature_idx=999"), "max_feature_idx is 999"),
    "a column that is none": (numbers("split_feature", lambda number: "7777"), "other columns"),
    "branches that go round": (numbers("left_child", lambda number: "0"), "do not lead"),
    "branches that lead away": (numbers("right_child", lambda number: "-99999"), "do not lead"),
    "categories": (numbers("decision_type", lambda number: "3"), "branches by categories"),
    "more leaves than values": (lambda text: text.replace("\nnum_leaves=4\n", "\nnum_leaves=9\n"), "for 9 leaves"),
    "no number": (lambda text: re.sub(r"leaf_value=-?\d", "leaf_value=x", text), "is no number"),
    "not a number": (lambda text: re.sub(r"leaf_value=\S+", "leaf_value=nan", text), "'nan' is no number"),
    "sizes of other trees": (numbers("tree_sizes", lambda number: str(int(number) + 9)), "tree"),
    "a line of its own": (lambda text: text.replace("\nshrinkage", "\nhello\nshrinkage"), "no place for 'hello'"),
    "an objective that is none": (lambda text: text.replace("objective=quantile", "objective=hello"), "hello"),
}


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_text_neither_crashes_nor_passes(name: str, boosting: TreeForecaster, tmp_path: Path) -> None:
    """Its digest is right, as whoever doctors one file can doctor the other."""
    change, said = DOCTORED[name]
    folder = save_trees(boosting, tmp_path)
    text = (folder / FILE).read_text()
    doctored = change(text)
    assert doctored != text
    if name not in ("sizes of other trees", "half", "empty"):  # sizes that fit, lest they be what is refused
        blocks = re.findall(r"Tree=\d+\n.*?\n\n\n", doctored, re.DOTALL)
        doctored = re.sub(r"tree_sizes=.*", "tree_sizes=" + " ".join(str(len(block)) for block in blocks), doctored)
    rewrite(folder, doctored.encode())
    refused(folder, f"holds no trees of the kind boosting.*{said}")


def test_nothing_is_unpickled(boosting: TreeForecaster, tmp_path: Path) -> None:
    target = tmp_path / "owned"

    class Payload:
        def __reduce__(self):
            return Path.write_text, (target, "owned")

    raw = pickle.dumps(Payload())
    folder = save_trees(boosting, tmp_path / "a")
    rewrite(folder, raw)
    refused(folder, "holds no trees")
    (folder / SETTINGS).write_bytes(raw)
    refused(folder, "damaged")
    assert not target.exists()


def test_a_kind_reads_only_its_own_files(boosting: TreeForecaster, tmp_path: Path) -> None:
    folder = save_trees(boosting, tmp_path)
    stored = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**stored, "trees": {**stored["trees"], "name": "forest"}}))
    refused(folder, "direction.0.model holds no trees of the kind forest.*3 files for direction, found 1")
