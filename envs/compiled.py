"""How the rules of money are compiled.

They stand in several files, each with the settings they belong to, and are inlined into the loops of
`envs/account.py`. numba's cache watches the outermost function's own file only and would go on running old rules of
money when another one changed; so a loop carries a digest of all of `envs` in the name it is cached under.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.extending import intrinsic

SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))

# numpy's error model: no divisor in the rules can be zero, so none is checked
rule = njit(error_model="numpy", forceinline=True)


def loop(function: Callable[..., Any]) -> Any:
    """Compiled and cached; runs without the interpreter's lock, so that threads can share the accounts."""
    function.__qualname__ += f"_{SOURCES.hexdigest()[:12]}"
    return njit(error_model="numpy", cache=True, nogil=True)(function)


def _borrowed(typing_context: Any, array: Any) -> Any:
    """The same array without its owner: counting every view of it would take longer than the step. Only inside the
    call that was handed the array."""

    def without_owner(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(array)(context, builder, arguments[0])
        view.meminfo, view.parent = view.meminfo.type(None), view.parent.type(None)
        return view._getvalue()

    return array(array), without_owner


borrowed: Any = intrinsic(_borrowed)
