"""Threads that share the accounts of an engine out.

Waking a thread takes longer than a thousand accounts: 50 to 150 microseconds, against 200 for all the rest of a step.
So a helper watches for its next order in compiled code and without the interpreter's lock, and goes to sleep only when
none has come for a while.
"""

from __future__ import annotations

import os
import threading
import weakref

import numpy as np

from envs.account import step_accounts
from envs.compiled import load, loop, store
from envs.memory import NUMBER

# one helper's numbers: its order, the last that is done, whether it sleeps, its accounts, where the plan is
ORDER, DONE, ASLEEP, FIRST, LAST, PLAN, OVER = range(7)
STOP = -1  # the order to leave
WATCH = 200_000  # looks for an order, a fraction of a millisecond


@loop
def serve(board, seen):
    """Step accounts as they are ordered. Returns the last order when none has come for a while, or `STOP`."""
    place = board.ctypes.data
    looked = 0
    while True:
        order = load(place + ORDER * NUMBER)
        if order == STOP:
            return STOP
        if order != seen:
            board[OVER] = step_accounts(board[FIRST], board[LAST], board[PLAN])
            store(place + DONE * NUMBER, order)
            seen, looked = order, 0
        elif looked < WATCH:
            looked += 1
        else:
            store(place + ASLEEP * NUMBER, 1)
            if load(place + ORDER * NUMBER) == seen:  # none came between the last look and going to sleep
                return seen
            store(place + ASLEEP * NUMBER, 0)


@loop
def call(boards, plan):
    """Order the next step. Returns how many helpers sleep and must be woken."""
    asleep = 0
    for h in range(len(boards)):
        boards[h, PLAN] = plan
        place = boards[h].ctypes.data
        store(place + ORDER * NUMBER, boards[h, ORDER] + 1)
        asleep += load(place + ASLEEP * NUMBER)
    return asleep


@loop
def work_along(boards, first, last, plan):
    """The caller's own accounts, and then the wait for those of the others. Returns whether a span was over."""
    over = step_accounts(first, last, plan)
    for h in range(len(boards)):
        while load(boards[h].ctypes.data + DONE * NUMBER) != boards[h, ORDER]:
            pass
        over = over or boards[h, OVER] != 0
    return over


class Crew:
    """`threads - 1` helpers and the caller, each with its share of the accounts."""

    def __init__(self, accounts: int, threads: int) -> None:
        borders = np.linspace(0, accounts, threads + 1).astype(int)
        self.boards = np.zeros((threads - 1, 8), np.int64)
        self.boards[:, FIRST], self.boards[:, LAST] = borders[:-2], borders[1:-1]
        self.own = int(borders[-2]), accounts
        serve(np.full(8, STOP), 0)  # compiled here, where an error is seen
        self.wake: list[threading.Event] = []
        self._engage()
        weakref.finalize(self, dismiss, self.boards, self.wake)

    def _engage(self) -> None:
        self.boards[:, [ORDER, DONE]], self.boards[:, ASLEEP] = 0, 1
        self.wake[:] = [threading.Event() for _ in self.boards]
        self.process = os.getpid()
        for board, wake in zip(self.boards, self.wake):
            threading.Thread(target=help_out, args=(board, wake), name="accounts", daemon=True).start()

    def step(self, plan: int) -> bool:
        """One step of all accounts, by the address of their engine's plan. Whether the span was over for one."""
        if self.process != os.getpid():  # a fork has no threads but the one that forked
            self._engage()
        asleep = call(self.boards, plan)
        try:
            for board, wake in zip(self.boards, self.wake):
                if asleep and board[ASLEEP]:
                    wake.set()
        finally:  # whatever happens, nobody writes into arrays that may be gone
            over = bool(work_along(self.boards, *self.own, plan))
        return over


def help_out(board: np.ndarray, wake: threading.Event) -> None:
    seen = 0
    while seen != STOP:
        wake.wait()
        wake.clear()
        board[ASLEEP] = 0
        seen = serve(board, seen)


def dismiss(boards: np.ndarray, wake: list[threading.Event]) -> None:
    boards[:, ORDER] = STOP
    for event in wake:
        event.set()
