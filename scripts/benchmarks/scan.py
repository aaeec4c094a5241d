"""The state-space scan in chunks, against the recurrence that it stands for."""

from __future__ import annotations

from benchmarks.timing import Work, show, side_by_side

BATCH, HEADS, CHANNELS, STATE = 32, 4, 16, 16  # the small preset's, an inner width of 64
BARS = 1024


def scan_part(rounds: int, threads: int) -> None:
    """Forward and backward over 1,024 bars."""
    import torch
    from torch.nn import functional

    from encoders.ssd import ssd

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(BATCH, BARS, HEADS, CHANNELS)
    dt = functional.softplus(torch.randn(BATCH, BARS, HEADS) - 2)
    A = -torch.rand(HEADS) * 4 - 0.1
    B, C = torch.randn(2, BATCH, BARS, STATE)
    inputs = [part.requires_grad_() for part in (x, dt, A, B.clone(), C.clone())]

    def recurrence(x, dt, A, B, C):
        state = x.new_zeros(BATCH, HEADS, CHANNELS, STATE)
        decay, fresh, outputs = torch.exp(dt * A)[..., None, None], dt[..., None] * x, []
        for t in range(BARS):
            state = decay[:, t] * state + fresh[:, t, :, :, None] * B[:, t, None, None, :]
            outputs.append(state @ C[:, t, None, :, None])
        return torch.stack(outputs, dim=1)

    def both_ways(scan) -> Work:
        def work() -> int:
            for part in inputs:
                part.grad = None
            scan(*inputs).square().mean().backward()
            return BATCH * BARS

        return work

    show(f"bars of {BATCH} sequences of {BARS:,}, forward and backward, {HEADS} heads of {CHANNELS} x {STATE}, "
         f"{threads} torch thread(s)", side_by_side({
             "the recurrence, one bar after another": both_ways(recurrence),
             "ssd, chunks of 64": both_ways(lambda *parts: ssd(*parts)[0]),
         }, rounds))
