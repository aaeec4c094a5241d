"""What a process that trains sets for itself before torch is loaded."""

from __future__ import annotations

import ctypes
import os

# glibc's mallopt parameters
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc takes no more
KEPT = 512 * 2**20


def prepare() -> None:
    """One thread, asleep when idle; freed memory is kept for the next step.

    Two spinning OpenMP threads beside another busy process made a training epoch twenty times slower; and by default
    glibc hands large blocks back at each step and has every page faulted in anew. The user's own variables win.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums depend on the number of threads, and so would every result
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: nothing to set
        return
    for parameter, value in ((M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, KEPT)):
        mallopt(parameter, value)
