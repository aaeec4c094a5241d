"""The state-space dual scan of Mamba-2 (Dao and Gu 2024, section 6), in chunks, for any length, with carried state.

    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T        y_t = h_t C_t

Inside a chunk of Q bars, with c = cumsum(dt A) and S the state before it:

    y_i = sum_{j<=i} (C_i . B_j) exp(c_i - c_j) dt_j x_j + exp(c_i) S C_i
    S'  = exp(c_Q) S + sum_j exp(c_Q - c_j) dt_j x_j B_j^T

A chunk of one bar is the recurrence itself, so a live step is this function with T = 1.

Letters besides ours: `H` heads, `P` channels of a head, `S` state of a channel, `K` chunks, `Q` bars of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ssd(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None = None,
        chunk: int = 64) -> tuple[Tensor, Tensor]:
    """Outputs and the state after the last bar.

    x (B, T, H, P), dt (B, T, H) >= 0, A (H,) < 0, B and C (B, T, S) shared by the heads, state (B, H, P, S).
    Returns y (B, T, H, P) and state (B, H, P, S).
    """
    batch, length, heads, channels = x.shape
    size = min(chunk, length)
    tail = -length % size
    # a padded bar has dt = 0: it decays nothing and adds nothing, so the state after the tail is the state before it
    x, dt, B, C = (_in_chunks(part, tail, size) for part in (x, dt, B, C))  # (B, K, Q, ...)

    log_decay = torch.cumsum(dt * A, dim=2).transpose(2, 3)  # (B, K, H, Q)
    fresh = (dt.unsqueeze(-1) * x).transpose(2, 3)  # (B, K, H, Q, P)
    B, C = B.unsqueeze(2), C.unsqueeze(2)  # (B, K, 1, Q, S), the same for every head

    # inside the chunks; the mask stands before the exponential: after it, inf x 0 would make NaN gradients
    gap = log_decay.unsqueeze(-1) - log_decay.unsqueeze(-2)  # (B, K, H, Q, Q): c_i - c_j
    future = torch.ones(size, size, dtype=torch.bool, device=x.device).triu(1)
    decay = gap.masked_fill(future, -torch.inf).exp()
    y = ((C @ B.mT) * decay) @ fresh  # (B, K, H, Q, P)

    # between the chunks: what each adds to the state by its end, then one step per chunk
    to_end = (log_decay[..., -1:] - log_decay).exp()  # (B, K, H, Q)
    added = (to_end.unsqueeze(-1) * fresh).mT @ B  # (B, K, H, P, S)
    kept = log_decay[..., -1, None, None].exp()  # (B, K, H, 1, 1)
    if state is None:
        state = x.new_zeros(batch, heads, channels, B.shape[-1])
    before = []
    for k in range(x.shape[1]):
        before.append(state)
        state = kept[:, k] * state + added[:, k]
    carried = C @ torch.stack(before, dim=1).mT  # (B, K, H, Q, P)
    y = y + log_decay.exp().unsqueeze(-1) * carried
    return y.transpose(2, 3).flatten(1, 2)[:, :length], state


def _in_chunks(part: Tensor, tail: int, size: int) -> Tensor:
    """(B, T, ...) -> (B, K, Q, ...), the tail filled with zeros."""
    padded = functional.pad(part, (0, 0) * (part.dim() - 2) + (0, tail))
    return padded.unflatten(1, (-1, size))
