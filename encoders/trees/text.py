"""LightGBM's model text, checked before LightGBM reads it.

LightGBM trusts its own texts: a tree with a number missing aborts the whole process, and one whose branches lead out of
the tree reads memory that is not its own. A digest only says that a file is the one that was written, not by whom.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

VERSION = "v4"
END = "end of trees\n"
HEADER = ("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
          "feature_names", "feature_infos", "tree_sizes")
BRANCHES = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value",
            "internal_weight", "internal_count")
LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
SINGLE = ("Tree", "num_leaves", "num_cat", "is_linear", "shrinkage")
WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
REAL = re.compile(r"[-+]?\d{1,40}(\.\d{0,40})?(e[-+]?\d{1,3})?", re.ASCII)


def cut(text: str) -> bytes:
    """The trees and what stands before them; settings and importances, which come after, say nothing to a forecast."""
    return text[: text.index(END) + len(END)].encode()


def checked(file: bytes, summaries: int, outputs: int) -> str:
    """The text of trees that read `summaries` columns and give `outputs` numbers; a ValueError says what is not so.

    >>> checked(b"tree\\nversion=v9\\n\\n", summaries=5, outputs=1)
    Traceback (most recent call last):
    ...
    ValueError: version is v9, not v4
    """
    text = file.decode("ascii")
    head, _, body = text.partition("\n\n")
    found = _pairs(head.removeprefix("tree\n").replace("\naverage_output\n", "\n").splitlines())
    for name, wanted in (("version", VERSION), ("max_feature_idx", str(summaries - 1)), ("num_class", str(outputs)),
                         ("num_tree_per_iteration", str(outputs))):
        if found.get(name) != wanted:
            raise ValueError(f"{name} is {found.get(name, 'missing')}, not {wanted}")
    if sorted(found) != sorted(HEADER):
        raise ValueError(f"the header names {', '.join(found)}")
    for name in ("feature_names", "feature_infos"):
        if len(found[name].split()) != summaries:
            raise ValueError(f"{name} are not those of {summaries} columns")
    sizes = _whole(found["tree_sizes"].split())
    if min(sizes, default=0) <= 0 or len(sizes) % outputs:
        raise ValueError(f"{len(sizes)} trees give no {outputs} outputs")
    for number, size in enumerate(sizes):
        try:
            _check_tree(_pairs(body[:size].splitlines()), number, summaries)
        except ValueError as error:
            raise ValueError(f"tree {number}: {error}") from None
        body = body[size:]
    if body != END:
        raise ValueError("its trees do not end where tree_sizes says")
    return text


def _check_tree(tree: dict[str, str], number: int, summaries: int) -> None:
    if sorted(tree) != sorted(SINGLE + BRANCHES + LEAVES):
        raise ValueError(f"it holds {', '.join(tree)}")
    which, leaves, categories, linear = _whole([tree[name] for name in SINGLE[:4]])
    _check_reals([tree["shrinkage"]])
    if (which, categories, linear) != (number, 0, 0) or leaves < 1:
        raise ValueError(f"it is number {which}, of {leaves} leaves, {categories} categories and {linear} lines")
    values = {name: tree[name].split() for name in BRANCHES + LEAVES}
    for name, found in values.items():
        # a tree of one leaf, which did not find anything, leaves the weight out
        if len(found) != leaves - (name in BRANCHES) and not (leaves == 1 and name == "leaf_weight"):
            raise ValueError(f"{name} has {len(found)} numbers for {leaves} leaves")
        _check_reals(found)
    if not all(0 <= column < summaries for column in _whole(values["split_feature"])):
        raise ValueError(f"it branches by other columns than its {summaries}")
    if any(kind & 1 for kind in _whole(values["decision_type"])):
        raise ValueError("it branches by categories")
    branch = range(leaves - 1)
    ways = _whole(values["left_child"]), _whole(values["right_child"])
    # below 0 stand leaves; a branch comes after the one that leads to it, so that no walk goes round
    if any(not -leaves <= way < leaves - 1 or 0 <= way <= each for side in ways for each, way in zip(branch, side)):
        raise ValueError("its branches do not lead to its leaves")


def _pairs(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, lines):
        name, equals, value = line.partition("=")
        if not equals or name in found:
            raise ValueError(f"no place for {line[:40]!r}")
        found[name] = value
    return found


def _whole(words: Sequence[str]) -> list[int]:
    for word in words:
        if not WHOLE.fullmatch(word):
            raise ValueError(f"{word[:40]!r} is no whole number")
    return [int(word) for word in words]


def _check_reals(words: Sequence[str]) -> None:
    for word in words:
        if not REAL.fullmatch(word):
            raise ValueError(f"{word[:40]!r} is no number")
