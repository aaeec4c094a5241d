"""`scripts/audit_leakage.py` on one's own settings and features: what it prints, and how it ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.bundle import Bundle
from data.features import FEATURES
from tests.test_scripts import TINY, Ended, command, refused

HEAD = "import numpy as np\nfrom data.features.base import Feature, one\n\n"
HONEST = HEAD + '''
def spread(bars):
    return np.log(bars["high"] / bars["low"])

FEATURES = [Feature("my_spread", "mine", 1, ("high", "low"), "log high over low", one("my_spread", spread))]
'''
LEAKING = HEAD + '''
def peak(bars):
    return bars["close"].rolling(9, center=True, min_periods=1).max() / bars["close"]

FEATURES = [
    Feature("my_spread", "mine", 1, ("high", "low"), "", one("my_spread", lambda f: np.log(f["high"] / f["low"]))),
    Feature("my_peak", "mine", 1, ("close",), "highest close around", one("my_peak", peak)),
]
'''


def feature(name: str = "a", lookback: int = 1, needs: object = ("close",), outputs: tuple[str, ...] = (),
            value: str = "lambda f: f['close'].diff()", compute: str = "") -> str:
    """A file with one feature, which is right where it is not said otherwise."""
    computed = compute or f"one({name!r}, {value})"
    return f"{HEAD}FEATURES = [Feature({name!r}, 'mine', {lookback}, {needs!r}, '', {computed}, None, {outputs!r})]\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("bars: 1200", "bars: 700"))
    return path


def audited(tiny: Path, features: str | None = None, *argv: object) -> Ended:
    own = ()
    if features is not None:
        (tiny.parent / "mine.py").write_text(features)
        own = ("--features", tiny.parent / "mine.py")
    return command("audit_leakage", "--config", tiny, "--cuts", "0", *own, *argv)


def test_a_clean_pipeline_ends_with_the_count_of_what_was_looked_at(tiny):
    ended = audited(tiny, HONEST, "--encoder", "lstm")
    assert (ended.code, ended.err) == (0, ""), ended.out
    [last] = ended.out.splitlines()
    found = re.fullmatch(r"no leak found: (\d+) outputs, (\d+) columns, (\d+) cuts x 4 kinds in \d+ s", last)
    assert found, last
    outputs, columns, cuts = map(int, found.groups())
    suite = sum(len(feature.columns) for feature in FEATURES if feature.group in ("returns", "calendar"))
    assert columns == suite + 1, "one's own among them"
    assert outputs > 25
    assert cuts >= 6


def test_a_leak_in_ones_own_feature_is_named_and_the_honest_one_beside_it_is_not(tiny):
    ended = audited(tiny, LEAKING, "--encoder", "none", "--ensemble.members", "lstm")
    assert (ended.code, ended.err) == (1, "")
    *lines, last = ended.out.splitlines()
    assert re.match(r"features column 'my_peak' at row \d+ \(\d{4}-\d\d-\d\d \d\d:00\) looks past \d{4}-.* became .* "
                    r"when only later data changed \((noise|jump|flip|cut)\); seen with noise, jump, flip, cut at",
                    lines[0])
    assert "my_spread" not in ended.out
    assert any(line.startswith("window column 'my_peak'") for line in lines)
    assert last.startswith(f"{len(lines)} leaks found, and what they feed: ")


def test_a_trained_bundle_is_audited_with_the_settings_of_its_run(tiny, tmp_path):
    trained = command("train_agent", "--config", tiny, "--runs", tmp_path / "runs", "--encoder", "lstm", "--name", "x")
    assert trained.code == 0, trained.err
    folder = tmp_path / "runs" / "x"
    ended = command("audit_leakage", "--config", folder / "config.yaml", "--bundle", folder / "bundle", "--cuts", "0")
    assert (ended.code, ended.err) == (0, ""), ended.out
    refused(command("audit_leakage", "--config", folder / "config.yaml", "--bundle", folder / "bundle",
                    "--data.window", "10"), "windows of 8 bars, the data have 10", "--data.window 8")
    refused(command("audit_leakage", "--config", folder / "config.yaml", "--bundle", folder / "bundle",
                    "--data.groups", "returns"), "trained on other columns")
    assert Bundle.load(folder / "bundle").encoder == "lstm"


def test_help_tells_of_both_kinds_of_flags():
    ended = command("audit_leakage", "--help")
    assert (ended.code, ended.err) == (0, "")
    assert [flag for flag in ("--features", "--cuts", "--bundle", "--algo", "--data.window", "--net.")
            if flag not in ended.out] == []


@pytest.mark.parametrize(("code", "said"), [
    ("x = 1", ("defines no FEATURES", "FEATURES = [Feature(...), ...]")),
    ("FEATURES = []", ("at least one Feature",)),
    ("FEATURES = {'a': 1}", ("must be a list",)),
    ("FEATURES = ['rsi']", ("FEATURES[0]", "must be a Feature, found str 'rsi'")),
    ("import numpy as np\n\nx = 1 / 0", ("mine.py, line 3: ZeroDivisionError: division by zero",)),
    ("def f(:\n    pass", ("mine.py, line 1: SyntaxError",)),
    ("import nothing_of_that_name", ("mine.py, line 1: ModuleNotFoundError", "nothing_of_that_name")),
    ("raise SystemExit(3)", ("mine.py, line 1: SystemExit: 3",)),
    (feature(name="return_1"), ("'return_1'", "taken by the suite's feature 'return_1'", "'my_return_1'")),
    (feature(outputs=("hour_sin",)), ("'hour_sin'", "taken")),
    (feature() + "FEATURES *= 2", ("two features", "make a column 'a'")),
    (feature(lookback=0), ("lookback must be", "found 0")),
    (feature(needs="close"), ("needs must be a tuple", "'close'")),
    (feature(value="lambda f: f['clothes']"), ("mine.py, line 4: feature 'a' failed", "KeyError: 'clothes'")),
    (feature(compute="lambda f: f['close']"), ("must return a DataFrame", "one(")),
    (feature(compute="one('b', lambda f: f['close'])"), ("made no column 'a', only b",)),
    (feature(compute="lambda f: f[['close']].set_axis(['a'], axis=1)[1:]"), ("rows of", "keep every row")),
    (feature(value="lambda f: f['close'].astype(str)"), ("column 'a'", "must hold numbers")),
])
def test_a_mistake_in_ones_own_file_is_one_line(tiny, code, said):
    refused(audited(tiny, code, "--encoder", "none", "--ensemble.members", "lstm"), *said)


@pytest.mark.parametrize(("argv", "said"), [
    (("--features", "nowhere.py"), ("no Python file of features at nowhere.py",)),
    (("--features", "features.txt"), ("ends in .py",)),
    (("--bundle", "nowhere"), ("no bundle in nowhere",)),
    (("--cuts", "-1"), ("cuts must be at least 0, found -1",)),
    (("--cuts", "some"), ("--cuts", "'some'")),
    (("--algo", "ppoo"), ("did you mean 'ppo'?",)),
    (("--cut", "3"), ("'cut'",)),
])
def test_bad_input_is_one_line(tiny, argv, said, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    refused(audited(tiny, None, "--encoder", "none", "--ensemble.members", "lstm", *argv), *said)
