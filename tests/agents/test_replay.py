"""The memory of transitions: what goes in comes out, over several steps as worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from agents.algos.replay import RowReplay

SPACE = spaces.Dict({"row": spaces.Box(0, 10**6, (1,), np.int32), "account": spaces.Box(-20, 20, (8,), np.float32)})
GAMMA = 0.9


def replay(slots: int, n_step: int = 1, accounts: int = 2) -> RowReplay:
    actions = spaces.Discrete(3, seed=0)
    return RowReplay(slots * accounts, SPACE, actions, "cpu", accounts, seen=(0, 5), n_step=n_step, gamma=GAMMA)


def observed(row: int) -> dict[str, np.ndarray]:
    """Two accounts, the second one a hundred rows later; the account's numbers tell the row."""
    rows = np.array([[row], [row + 100]], np.int32)
    return {"row": rows, "account": np.repeat(rows / 1000, 8, axis=1).astype(np.float32)}


def fill(memory: RowReplay, steps: int, ends: dict[int, bool] | None = None) -> None:
    """Step k goes from row k to k + 1 with reward k; `ends` of the first account say whether in ruin."""
    for k in range(steps):
        done = np.array([k in (ends or {}), False])
        infos = [{"TimeLimit.truncated": not (ends or {}).get(k, False)} if done[0] else {}, {}]
        memory.add(observed(k), observed(k + 1), np.array([k % 3, 1]), np.array([k, -k], np.float32), done, infos)


def test_what_goes_in_comes_out():
    memory = replay(50)
    fill(memory, 40)
    batch = memory.sample(500)
    rows = batch.observations["row"][:, 0].numpy()
    first = rows < 100
    assert set(rows[first]) == set(range(40))
    assert set(rows[~first]) == set(range(100, 140))
    np.testing.assert_array_equal(batch.next_observations["row"][:, 0], rows + 1)
    np.testing.assert_array_equal(batch.rewards[:, 0], np.where(first, rows, 100 - rows))
    np.testing.assert_array_equal(batch.actions[:, 0], np.where(first, rows % 3, 1))
    seen = batch.observations["account"].numpy()
    np.testing.assert_allclose(seen[:, [0, 5]], np.repeat(rows[:, None] / 1000, 2, axis=1), rtol=1e-6)
    assert (seen[:, [1, 2, 3, 4, 6, 7]] == 0).all(), "what the policy does not see is not kept"
    assert (batch.dones == 0).all()
    np.testing.assert_allclose(batch.discounts, GAMMA, rtol=1e-6)


@pytest.mark.parametrize("ruin", [True, False])
def test_three_rewards_are_added_up_and_none_beyond_the_end_of_an_episode(ruin):
    memory = replay(50, n_step=3)
    fill(memory, 40, {20: ruin})
    batch = memory.sample(4_000)
    rows = batch.observations["row"][:, 0].numpy()
    for row in (5, 18, 19, 20, 21, 37, 38, 39):
        place = int(np.flatnonzero(rows == row)[0])
        last = min(row + 2, 20 if row <= 20 else 39)  # nothing has come after step 39 yet
        steps = last - row + 1
        assert batch.rewards[place, 0] == pytest.approx(sum(GAMMA**i * (row + i) for i in range(steps)))
        assert batch.next_observations["row"][place, 0] == last + 1
        assert batch.discounts[place, 0] == pytest.approx(GAMMA**steps)
        assert batch.dones[place, 0] == (ruin and last == 20)


def test_a_full_memory_forgets_the_oldest_and_never_joins_it_to_the_newest():
    memory = replay(10, n_step=3)
    fill(memory, 25)
    batch = memory.sample(2_000)
    rows = batch.observations["row"][:, 0].numpy()
    assert set(rows[rows < 100]) == set(range(15, 25))
    newest = np.where(rows < 100, 25, 125)
    np.testing.assert_array_equal(batch.next_observations["row"][:, 0], np.minimum(rows + 3, newest))


@pytest.mark.parametrize("steps", [1, 3, 9])
def test_more_steps_than_are_held_are_as_many_as_there_are(steps):
    memory = replay(4, n_step=5)
    fill(memory, steps)
    batch = memory.sample(500)
    rows = batch.observations["row"][:, 0].numpy()
    assert set(rows[rows < 100]) == set(range(max(0, steps - 4), steps))
    np.testing.assert_array_equal(batch.next_observations["row"][:, 0], np.where(rows < 100, steps, 100 + steps))
    np.testing.assert_allclose(batch.discounts[:, 0], GAMMA ** (steps - rows % 100), rtol=1e-5)


@pytest.mark.parametrize("steps", [7, 40, 95])
def test_the_last_state_of_an_episode_is_not_the_first_of_the_next(steps):
    """Episodes of five steps, each begun a thousand rows further; the second account's never end."""
    memory = replay(30)
    for k in range(steps):
        episode, step = divmod(k, 5)
        first = 1_000 * episode + step
        begun, came = observed(first), observed(first + 1)
        for seen, row in ((begun, k), (came, k + 1)):
            seen["row"][1], seen["account"][1] = row, row / 1000
        memory.add(begun, came, np.array([0, 0]), np.zeros(2, np.float32), np.array([step == 4, False]),
                   [{"TimeLimit.truncated": True} if step == 4 else {}, {}])
    again = replay(30)
    again.set_state(memory.get_state())
    for held in (memory, again):
        batch = held.sample(3_000)
        rows, after = (part["row"][:, 0].numpy() for part in (batch.observations, batch.next_observations))
        assert len(set(rows)) >= min(steps, 30)
        np.testing.assert_array_equal(after, rows + 1)
        np.testing.assert_allclose(batch.next_observations["account"][:, 5], after / 1000, rtol=1e-6)
        assert len(held.ends) <= 7, "what is forgotten goes with its ends"


def test_a_training_begun_anew_elsewhere_ends_what_was_there():
    memory = replay(30, n_step=3)
    fill(memory, 5)
    for k in range(5):
        memory.add(observed(500 + k), observed(501 + k), np.array([0, 0]), np.ones(2, np.float32), np.zeros(2, bool),
                   [{}, {}])
    batch = memory.sample(2_000)
    rows, after = (part["row"][:, 0].numpy() for part in (batch.observations, batch.next_observations))
    assert (after[rows == 4] == 5).all()
    assert (after[rows == 3] == 5).all()
    assert (after[rows == 500] == 503).all()
    assert (batch.dones == 0).all()


def test_a_million_transitions_take_less_than_200_megabytes():
    memory = RowReplay(1_000_000, SPACE, spaces.Discrete(3), "cpu", 64, seen=(0,))
    held = sum(value.nbytes for value in vars(memory).values() if isinstance(value, np.ndarray))
    assert held < 16e6
    weights = spaces.Box(-1, 1, (16,), np.float32)
    wide = spaces.Dict({"row": SPACE["row"], "account": spaces.Box(-20, 20, (68,), np.float32)})
    many = RowReplay(1_000_000, wide, weights, "cpu", 64, seen=tuple(range(16)))
    held = sum(value.nbytes for value in vars(many).values() if isinstance(value, np.ndarray))
    assert held < 140e6, "sixteen assets: sixteen weights and sixteen actions"
