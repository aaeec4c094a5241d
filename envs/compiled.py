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

from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from envs import layout


def digest_of_rules() -> str:
    """Of every file that a loop is compiled from: those that hold rules, and the layout they read."""
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    rules = [source for source in sources if b"import compiled" in source or b"envs.compiled" in source]
    return hashlib.sha256(b"".join([*rules, Path(layout.__file__).read_bytes()])).hexdigest()[:12]


DIGEST = digest_of_rules()

# numpy's error model: no divisor in the rules can be zero, so none is checked
rule = njit(error_model="numpy", forceinline=True)


def loop(function: Callable[..., Any]) -> Any:
    """Compiled and cached; runs without the interpreter's lock, so that threads can share the accounts."""
    function.__qualname__ += f"_{DIGEST}"
    return njit(error_model="numpy", cache=True, nogil=True)(function)


def place_of(context: Any, builder: Any, address: Any, number: Any = types.voidptr) -> Any:
    kind = context.get_value_type(number)
    return builder.inttoptr(address, kind if number is types.voidptr else kind.as_pointer())


def _pointer(typing_context: Any, address: Any) -> Any:
    """The address of an array's data as the pointer that it is."""
    return types.voidptr(address), lambda context, builder, _, arguments: place_of(context, builder, *arguments)


def _prefetch(typing_context: Any, address: Any) -> Any:
    """Have the cache line at `address` fetched, and do not wait for it."""
    def fetched(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        place, number = place_of(context, builder, *arguments), context.get_value_type(types.int32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        how = number(0), number(3), number(1)  # to read, into every level, data
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind), [place, *how])
        return context.get_dummy_value()

    return types.void(address), fetched


def _load(typing_context: Any, address: Any) -> Any:
    """The int64 at `address`, as other threads have last stored it."""
    return types.int64(address), lambda context, builder, _, arguments: builder.load_atomic(
        place_of(context, builder, arguments[0], types.int64), "seq_cst", 8)


def _store(typing_context: Any, address: Any, value: Any) -> Any:
    """Put an int64 where `load` finds it; who finds it also finds all that was written before."""
    def stored(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], place_of(context, builder, arguments[0], types.int64), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(address, types.int64), stored


pointer: Any = intrinsic(_pointer)
prefetch: Any = intrinsic(_prefetch)
load: Any = intrinsic(_load)
store: Any = intrinsic(_store)


@rule
def array_at(address, shape, dtype):
    """The array whose data lie at `address`. Whoever gave the address keeps it alive.

    Handing eleven arrays to a compiled function takes longer than a step of one account, and views that count their
    owners as long again.
    """
    return carray(pointer(address), shape, dtype)
