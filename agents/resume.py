"""A training that a kill cannot spoil: all that it goes on from, in one file, written between two rollouts.

One safetensors file, whole or not there at all: weights, optimisers, the memory of transitions, every account, random
states, the best weights so far, and as JSON in its header the counters. Nothing is unpickled. The same command, given
again, goes on from it and ends with the very weights that it would have had.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch.optim import Optimizer

from agents.algos.replay import RowReplay
from agents.callbacks import Say, Watch
from agents.earned import Earned
from agents.finetuning import optimisers
from agents.sb3_env import AccountsVecEnv
from configs.errors import UserError
from configs.run import code_digest, plain, write_json
from data.durable import write_durably

FILE = "training.safetensors"
ENDED = "ended.json"
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "_current_progress_remaining",
            "exploration_rate")
NOTED = ("best", "best_rank", "best_step", "best_numbers", "worse", "next_look", "next_point")  # by the Watch
Arrays = dict[str, np.ndarray]


def digest_of(**settings: Any) -> str:
    """What a state belongs to: other settings, other data or another seed are another training."""
    return hashlib.sha256(json.dumps(plain(settings), sort_keys=True).encode()).hexdigest()[:16]


def note_end(folder: Path, digest: str) -> None:
    """The training has ended, its bundle is stored: there is nothing left to go on from."""
    write_json(folder / ENDED, {"training": digest, "code": code_digest()})
    (folder / FILE).unlink(missing_ok=True)


def has_ended(folder: Path, digest: str) -> bool:
    """Whether this very training came to its end here, by the code as it is."""
    try:
        return bool(json.loads((folder / ENDED).read_text()) == {"training": digest, "code": code_digest()})
    except (OSError, ValueError):
        return False


class Keeper(BaseCallback):
    """Saves every so many seconds, and where Ctrl-C asks for it, before a rollout: nothing is under way then."""

    def __init__(self, path: Path, digest: str, every: float, watch: Watch) -> None:
        super().__init__()
        self.path, self.digest, self.every, self.watch = path, digest, every, watch
        self._last = time.perf_counter()
        self.asked = False

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.asked or time.perf_counter() - self._last >= self.every:
            save(self.path, self.digest, self.model, self.watch)
            self._last = time.perf_counter()
        if self.asked:
            raise KeyboardInterrupt

    @contextmanager
    def heeding(self, say: Say) -> Iterator[None]:
        """Inside, Ctrl-C stops the training before its next rollout, once it is saved; a second one stops it at once.

        Where somebody else has decided what Ctrl-C does (`nohup`, a program around this one), that is left alone.
        """
        decided = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        if decided or current_thread() is not main_thread():  # no other thread may decide it
            yield
            return

        def ask(*_: object) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
            if self.asked:  # during the last rollout
                save(self.path, self.digest, self.model, self.watch)
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if self.path.exists():
                say("stopped; the same command goes on from what was saved")
            raise
        finally:
            signal.signal(signal.SIGINT, before)


def save(path: Path, digest: str, model: BaseAlgorithm, watch: Watch) -> None:
    arrays: Arrays = {f"weights/{name}": host(value) for name, value in model.policy.state_dict().items()}
    arrays |= {f"best/{name}": host(value) for name, value in watch.best_weights.items()}
    for place, optimiser in enumerate(all_optimisers(model)):
        for index, moments in optimiser.state_dict()["state"].items():
            arrays |= {f"moments/{place}/{index}/{name}": host(value) for name, value in moments.items()}
    arrays |= {f"live/{name}": array for name, array in live_arrays(model)}
    arrays |= {f"engine/{name}": array for name, array in engine_of(model).get_state().items()}
    arrays["random/torch"] = host(torch.get_rng_state())
    if torch.cuda.is_available():
        arrays["random/cuda"] = host(torch.cuda.get_rng_state())
    # which SB3 draws from
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    memory = memory_of(model)
    if memory is not None:
        arrays |= {f"memory/{name}": array for name, array in memory.get_state().items()}
    facts = {
        "digest": digest, "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "watch": {name: getattr(watch, name) for name in NOTED},
        "numpy": listed(numpy_state), "python": random.getstate(),
        "actions": model.action_space.np_random.bit_generator.state,
    }
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_durably(path, safetensors.numpy.save(whole, metadata={"facts": json.dumps(plain(facts))}))


def load(path: Path, digest: str, model: BaseAlgorithm, watch: Watch) -> bool:
    """Put everything back where it was; False where no training of these settings was begun."""
    if not path.exists():
        return False
    try:
        with safetensors.safe_open(path, framework="numpy") as stored:
            facts = json.loads(stored.metadata()["facts"])
            if facts["digest"] != digest:
                return False
            parts: dict[str, Arrays] = {}
            for name in stored.keys():  # noqa: SIM118  not a mapping
                part, _, rest = name.partition("/")
                parts.setdefault(part, {})[rest] = stored.get_tensor(name)
        put_back(model, watch, parts, facts)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} cannot be trained on from ({type(error).__name__}: {str(error).splitlines()[0]}); "
                        "delete it to begin anew") from None
    return True


def put_back(model: BaseAlgorithm, watch: Watch, parts: dict[str, Arrays], facts: dict[str, Any]) -> None:
    model.policy.load_state_dict({name: torch.from_numpy(array) for name, array in parts["weights"].items()})
    watch.best_weights = {name: torch.from_numpy(array) for name, array in parts.get("best", {}).items()}
    for name, value in facts["watch"].items():
        setattr(watch, name, value)
    watch.best, watch.best_rank = Earned(*watch.best), (watch.best_rank[0], watch.best_rank[1])
    moments: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
    for name, array in parts.get("moments", {}).items():
        which, index, moment = name.split("/")
        moments.setdefault((int(which), int(index)), {})[moment] = torch.from_numpy(array)
    for place, optimiser in enumerate(all_optimisers(model)):
        own = {index: value for (at, index), value in moments.items() if at == place}
        optimiser.load_state_dict({**optimiser.state_dict(), "state": own})
    model._last_obs = {}
    for name, array in parts["live"].items():
        set_live(model, name, array)
    if not model._last_obs:  # all_q steps no account
        model._last_obs = None
    engine_of(model).set_state(parts["engine"])
    for name, value in facts["counters"].items():
        setattr(model, name, value)
    if (memory := memory_of(model)) is not None:
        memory.set_state(parts["memory"])
    torch.set_rng_state(torch.from_numpy(parts["random"]["torch"]))
    if "cuda" in parts["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(parts["random"]["cuda"]))
    np.random.set_state(facts["numpy"])  # noqa: NPY002
    version, words, gauss = facts["python"]
    random.setstate((version, tuple(words), gauss))
    model.action_space.np_random.bit_generator.state = facts["actions"]


def live_arrays(model: BaseAlgorithm) -> Iterator[tuple[str, np.ndarray]]:
    """What a training has in hand beside weights: the last observation, carried states."""
    if isinstance(model._last_obs, dict):
        yield from ((f"seen/{name}", value) for name, value in model._last_obs.items())
    if model._last_episode_starts is not None:
        yield "starts", model._last_episode_starts
    if (states := getattr(model, "_last_lstm_states", None)) is not None:
        for name in states._fields:
            yield from ((f"carried/{name}/{place}", host(value)) for place, value in enumerate(getattr(states, name)))
    if (entropy := getattr(model, "log_ent_coef", None)) is not None:
        yield "entropy", host(entropy)


def set_live(model: BaseAlgorithm, name: str, array: np.ndarray) -> None:
    part, _, rest = name.partition("/")
    if part == "seen":
        assert isinstance(model._last_obs, dict)
        model._last_obs[rest] = array
    elif part == "starts":
        model._last_episode_starts = array
    elif part == "carried":
        field, _, place = rest.partition("/")
        getattr(model._last_lstm_states, field)[int(place)].copy_(torch.from_numpy(array))  # type: ignore[attr-defined]
    elif part == "entropy":
        model.log_ent_coef.data.copy_(torch.from_numpy(array))  # type: ignore[attr-defined]


def all_optimisers(model: BaseAlgorithm) -> list[Optimizer]:
    """Those of the policy, and that of the weight of the entropy."""
    found = [*optimisers(model.policy), getattr(model, "ent_coef_optimizer", None)]
    return [one for one in found if one is not None]


def memory_of(model: BaseAlgorithm) -> RowReplay | None:
    memory = getattr(model, "replay_buffer", None)
    return memory if isinstance(memory, RowReplay) else None


def engine_of(model: BaseAlgorithm) -> Any:
    assert isinstance(model.env, AccountsVecEnv)
    return model.env.engine


def listed(state: Any) -> Any:
    """A random state of numpy with its arrays as lists, which is how JSON can hold it."""
    if isinstance(state, dict):
        return {name: listed(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def host(value: torch.Tensor) -> np.ndarray:
    array: np.ndarray = value.detach().cpu().numpy()
    return array
