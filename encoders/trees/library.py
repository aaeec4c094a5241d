"""LightGBM, imported when trees are asked for; what forest and boosting share of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from configs.errors import UserError
from encoders.trees.config import TreeConfig
from encoders.trees.targets import Examples
from encoders.trees.text import checked

if TYPE_CHECKING:
    import lightgbm


def lightgbm_library() -> Any:
    """The module, or one line on how to get it.

    >>> lightgbm_library().__name__
    'lightgbm'
    """
    try:
        import lightgbm
    except ImportError:
        raise UserError("trees need LightGBM, which is not installed: pip install lightgbm") from None
    except OSError as error:  # its wheel brings no OpenMP; slim images have none either
        raise UserError(f"LightGBM finds no OpenMP library ({error}): install the system's package libgomp1 "
                        "(apt-get install libgomp1; libomp with brew)") from None
    return lightgbm


def settings(config: TreeConfig, least: int, seed: int) -> dict[str, Any]:
    """What every kind asks of LightGBM; `least` rows in a leaf."""
    return {
        "num_leaves": config.leaves, "min_data_in_leaf": least, "max_bin": config.bins,
        "bagging_fraction": config.bag, "bagging_freq": 1,
        "num_threads": config.cores, "seed": seed, "deterministic": True, "force_col_wise": True,
        "feature_pre_filter": False, "verbosity": -1,
    }


def binned(examples: Examples, given: dict[str, Any], like: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """Examples without labels: sorting them into bins takes as long as growing many trees, so it is done once."""
    return lightgbm_library().Dataset(examples.x, params=given, reference=like).construct()


def parsed(file: bytes, summaries: int, outputs: int) -> lightgbm.Booster:
    """The trees of a model's text, which is read as numbers: nothing in it is run."""
    library = lightgbm_library()
    try:
        return library.Booster(model_str=checked(file, summaries, outputs))
    except library.basic.LightGBMError as error:
        raise ValueError(" ".join(str(error).split())) from None
