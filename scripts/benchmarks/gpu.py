"""What a GPU makes of the full presets, beside the most that it can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from benchmarks.own_ppo import WAYS, beside_sb3
from benchmarks.timing import WINDOW

FEATURES, BATCH, STEPS = 77, 1024, 10
SQUARE = 8192  # of the matrices whose product counts as the most the card can do


def gpu_part(rounds: int, threads: int) -> None:
    """Encoders, then agents."""
    import torch

    if not torch.cuda.is_available():
        print("\nno GPU here: the full presets were not timed")
        return
    encoders_on_gpu(rounds)
    torch.set_num_threads(threads)
    beside_sb3("full", "cuda", WAYS, min(rounds, 3))


def encoders_on_gpu(rounds: int) -> None:
    """Windows trained on per second in bfloat16, and the share of the card's own matrix product that this is."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from configs.loader import parse, preset
    from encoders import ENCODERS
    from encoders.config import EncoderConfig
    from encoders.losses import ForecastLoss, Targets
    from encoders.model import ForecastModel
    from encoders.scale import TargetScale
    from encoders.training.objective import Objective

    one, other = (torch.randn(SQUARE, SQUARE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    peak = 2 * SQUARE**3 / seconds_of(lambda: one @ other, rounds)
    print(f"\n{torch.cuda.get_device_name()}: {peak / 1e12:,.0f} TFLOP/s in a bfloat16 product of {SQUARE:,} squared; "
          f"full presets, bfloat16, {BATCH:,} windows of {WINDOW} x {FEATURES} a step, forward, backward and AdamW")
    for name in ENCODERS:
        torch.manual_seed(0)
        config = parse(EncoderConfig, [], preset("encoder", f"{name}.full"))
        model = ForecastModel.build(FEATURES, config, TargetScale(1.0, 1.0))
        objective = Objective(model, ForecastLoss(), bf16=True, stream=False).cuda().train()
        optimiser = torch.optim.AdamW(objective.parameters(), fused=True)
        x = torch.randn(BATCH, 1, WINDOW, FEATURES, device="cuda")
        truth = Targets(torch.randint(0, 3, (BATCH, 1), device="cuda"), torch.randn(BATCH, 1, device="cuda"),
                        torch.rand(BATCH, 1, device="cuda") + 0.5)

        def step(objective=objective, optimiser=optimiser, x=x, truth=truth) -> None:
            objective(x, truth)[0].backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        with FlopCounterMode(display=False) as counter:
            step()
        seconds = seconds_of(step, rounds)
        # cuDNN's LSTM and GRU are one call that the counter does not see into
        left_out = "  (its recurrent layers are not counted)" if holds_recurrence(model) else ""
        rate = counter.get_total_flops() / seconds
        print(f"  {name:<16} {BATCH / seconds:>12,.0f} windows/s  {rate / 1e12:8.1f} TFLOP/s  {rate / peak:6.1%} of "
              f"the product{left_out}", flush=True)


def holds_recurrence(model) -> bool:
    from torch import nn

    return any(isinstance(part, nn.RNNBase) for part in model.modules())


def seconds_of(work: Callable[[], object], rounds: int) -> float:
    """Of one call, once warm: the median over the rounds of `STEPS` calls, the card waited for."""
    import torch

    found = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(STEPS):
            work()
        torch.cuda.synchronize()
        found.append((time.perf_counter() - started) / STEPS)
    return median(found[1:])
