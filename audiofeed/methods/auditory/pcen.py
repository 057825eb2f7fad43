"""Per-channel energy normalization: a running average of each channel, and the compression by it."""

from __future__ import annotations

import math

import torch

from audiofeed.methods import frames
from audiofeed.methods.bounded_parameters import inside
from audiofeed.methods.precision import matmul, matmul_into
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import ceil_divided, first_columns, plus
from audiofeed.parallel.kept_memory import kept_like
from audiofeed.parallel.observed import as_long_as_traced, is_exporting, plain_size
from audiofeed.signal.auditory.pcen import LOGARITHMIC, span_of

# a setting: a number for every channel, or a tensor of shape (channels, 1)
Value = float | torch.Tensor
# powers of a decay: see `_powers`
Powers = tuple[torch.Tensor, torch.Tensor]

# Steps of the running average that one product takes: enough that there are few products, few enough to stay small.
_STEPS = 32


def running_average(x: torch.Tensor, weight: Value, start: torch.Tensor | float) -> torch.Tensor:
    """Compute PCEN's running average of each channel over the frames of batched features.

    y[t] = (1 - weight) y[t - 1] + weight x[t], with y[-1] = start.

    Shape: x (..., channels, frames), start (..., channels) or a number -> the shape of x.

    >>> running_average(torch.tensor([[1.0, 0.0, 0.0]]), 0.5, 0.0).tolist()
    [[0.5, 0.25, 0.125]]
    """
    if not isinstance(weight, torch.Tensor):
        weight = x.new_full((1,), weight)  # filled on the device: a number copied there would be waited for
    weight = weight.to(dtype=x.dtype, device=x.device).reshape(-1, 1)  # (channel or 1, 1)
    if not isinstance(start, torch.Tensor):
        start = x.new_full((), start)
    return _decayed_sums(x * weight, 1 - weight, start.expand(x.shape[:-1]))


def _decayed_sums(
    x: torch.Tensor, decay: torch.Tensor, start: torch.Tensor, known: dict[int, Powers] | None = None
) -> torch.Tensor:
    """Compute the decayed sums behind PCEN's running average, a run of frames at a time.

    y[t] = decay y[t - 1] + x[t], with y[-1] = start.

    Frames are taken in runs of L. Inside a run, y[j] = sum_{i <= j} decay^(j - i) x[i] is a product with a triangle;
    the last values of the runs obey the same recursion with decay^L, over L times fewer frames; and what entered a run
    counts decay^(j + 1) at its frame j. Every term is a product of powers of a number from 0 to 1: nothing overflows.

    Args:
        known: powers of the same decay by the number of frames, kept for the next call without a graph.

    Shape: x (..., channels, frames), decay (channels or 1, 1), start (..., channels) -> the shape of x.
    """
    if is_exporting():
        return _exported_sums(x, decay, start)
    x = as_long_as_traced(x)
    n_frames = plain_size(x.shape[-1])
    steps = min(_STEPS, n_frames)
    powers = None if known is None else known.get(n_frames)
    triangle, onward = powers or _powers(decay, steps)  # (channel or 1, step, step), (channel or 1, step)
    if known is not None:
        known[n_frames] = triangle, onward
    n_runs = ceil_divided(n_frames, steps)
    x = torch.nn.functional.pad(x, (0, n_runs * steps - n_frames)).unflatten(-1, (n_runs, steps))
    if len(decay) == 1:
        own = matmul(x.reshape(-1, steps), triangle[0]).view(x.shape)  # (..., channel, run, step)
    else:
        # the factors are made to match, so that a gradient sums over what was repeated
        flat = x.reshape(-1, *x.shape[-3:])
        own = matmul(flat, triangle.expand(flat.shape[0], -1, -1, -1)).view(x.shape)
    if n_runs == 1:
        entered = start[..., None]
    else:
        ends = _decayed_sums(own[..., :-1, -1], onward[:, -1:], start, known)
        entered = torch.cat([start[..., None], ends], dim=-1)  # (..., channel, run)
    return (own + entered[..., None] * onward[:, None]).flatten(-2)[..., :n_frames]


def _exported_sums(x: torch.Tensor, decay: torch.Tensor, start: torch.Tensor, times: int = 2) -> torch.Tensor:
    """Compute the decayed sums behind PCEN's running average by a graph that holds for any number of frames.

    Frames are taken in runs of `_STEPS`, their ends in such runs `times - 1` times more, and the rest in one run.

    Shape: x (..., channels, frames), decay (channels or 1, 1), start (..., channels) -> the shape of x.
    """
    n_frames = x.shape[-1]
    if not times:
        triangle, onward = _powers(decay, n_frames)
        return matmul(x[..., None, :], triangle)[..., 0, :] + start[..., None] * onward
    triangle, onward = _powers(decay, _STEPS)
    n_runs = ceil_divided(n_frames, _STEPS)
    padded = torch.nn.functional.pad(x, (0, n_runs * _STEPS - n_frames))
    own = matmul(padded.unflatten(-1, (n_runs, _STEPS)), triangle)  # (..., channel, run, step)
    ends = _exported_sums(own[..., -1], onward[:, -1:], start, times - 1)
    entered = torch.cat([start[..., None], first_columns(ends, n_runs - 1)], dim=-1)  # (..., channel, run)
    return first_columns((own + entered[..., None] * onward[:, None]).flatten(-2), n_frames)


def _powers(decay: torch.Tensor, steps: int) -> Powers:
    """Compute the powers of the decay of PCEN's running average over a run of frames.

    They are decay^(j - i) for i <= j, else 0, and decay^(j + 1).

    Shape: (c, 1) -> (c, steps, steps), (c, steps).
    """
    step = torch.arange(steps, device=decay.device)
    apart = step - step[:, None]
    triangle = torch.where(apart >= 0, decay[..., None] ** apart.clamp(min=0), 0.0)
    return triangle, decay ** (step + 1)


def local_maximum(x: torch.Tensor, size: int) -> torch.Tensor:
    """Compute the largest of neighboring channels in each frame, for PCEN to average.

    The window holds `size` channels, size // 2 of them below; those past an end are left out.

    As `scipy.ndimage.maximum_filter1d`, whose reflection repeats values that are in the window already.

    Shape: (..., channels, frames) -> the same.

    >>> local_maximum(torch.tensor([[1.0], [0.0], [0.0], [2.0]]), 3).flatten().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    if size == 1:
        return x
    below, above = min(size // 2, x.shape[-2] - 1), min((size - 1) // 2, x.shape[-2] - 1)
    padded = torch.nn.functional.pad(x, (0, 0, below, above), value=-math.inf)
    # spans of 2, 4, 8, ... channels each from two of half the length; the last two overlap
    span = 1
    while 2 * span <= below + above + 1:
        padded = torch.maximum(padded[..., :-span, :], padded[..., span:, :])
        span *= 2
    rest = below + above + 1 - span
    return torch.maximum(padded[..., : padded.shape[-2] - rest, :], padded[..., rest:, :]) if rest else padded


def compressed(
    x: torch.Tensor, average: torch.Tensor, gain: Value, bias: Value, power: Value, eps: float
) -> torch.Tensor:
    """Apply PCEN's gain control and compression to batched features, given their running average.

    The result is (x / (eps + average)^gain + bias)^power - bias^power, without the cancellation that its form suggests.

    With u = x / (eps + average)^gain / bias it is bias^power ((1 + u)^power - 1) = bias^power expm1(power log1p(u)).
    As in `librosa.pcen`, power=0 stands for log(1 + x / (eps + average)^gain).
    """
    adapted = x * (-gain * plus(average, eps).log()).exp()
    if isinstance(power, float) and power == 0:
        return adapted.log1p()
    if isinstance(bias, float) and bias == 0:
        # a root is infinitely steep at 0: there the gradient is 0
        present = adapted > 0
        return torch.where(present, torch.where(present, adapted, 1.0).pow(power), 0.0)
    return bias**power * (power * (adapted / bias).log1p()).expm1()


def present(name: str, angles: torch.Tensor) -> torch.Tensor:
    """Return the present value of a trained PCEN setting from the angles behind it, as a tensor.

    Shape: (n,) -> (n,).

    >>> present("gain", torch.tensor([torch.pi / 4])).round(decimals=3).tolist()
    [0.5]
    """
    value = inside(angles, *span_of(name))
    return value.exp() if name in LOGARITHMIC else value


def normalized(
    x: torch.Tensor,
    reference: torch.Tensor,
    start: torch.Tensor | float | None,
    *,
    gain: Value,
    bias: Value,
    power: Value,
    b: Value,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply per-channel energy normalization (PCEN) to batched features, and return the last average too.

    Args:
        reference: what the average is taken of.
        start: the average before the first frame, (..., channels) or a number; None: the first frame's own.
        gain, bias, power, b: numbers, or tensors of shape (channels or 1,), one for each channel.

    Shape: x, reference (..., channels, frames) -> the same, (..., channels).
    """

    def matched(value: Value) -> Value:
        return value.to(x.dtype)[:, None] if isinstance(value, torch.Tensor) else value

    if start is None:
        start = reference[..., 0]
    elif isinstance(start, torch.Tensor):
        start = start.to(reference)
    gain, bias, power, weight = (matched(value) for value in (gain, bias, power, b))
    average = running_average(reference, weight, start)
    return compressed(x, average, gain, bias, power, eps), average[..., -1]


def normalized_in_blocks(
    x: torch.Tensor, reference: torch.Tensor, start: float | None, *, gain: float, bias: float, power: float, b: float,
    eps: float,
) -> torch.Tensor:  # fmt: skip
    """Apply PCEN with one setting for all channels, without a graph, some channels at a time.

    Args:
        start: the average before the first frame; None: the first frame's own.

    Shape: x, reference (..., channels, frames) -> the same.
    """
    n_frames = x.shape[-1]
    rows, others = x.reshape(-1, n_frames), reference.reshape(-1, n_frames)
    out = kept_like(rows, rows.shape)
    steps = min(_STEPS, n_frames)
    n_runs = ceil_divided(n_frames, steps)
    decay = x.new_full((1, 1), 1 - b)
    triangle, onward = _powers(decay, steps)
    triangle = triangle[0] * b
    workspace, known = Workspace(x), dict[int, Powers]()
    size = max(1, frames.CPU_BLOCK // (n_runs * steps)) if x.device.type == "cpu" else len(rows)
    for first in range(0, len(rows), size):
        own = rows[first : first + size]
        runs = workspace.take("runs", len(own), n_runs * steps)
        runs[:, n_frames:] = 0
        runs[:, :n_frames] = others[first : first + size]
        average = workspace.take("average", len(own) * n_runs, steps)
        matmul_into(average, runs.view(-1, steps), triangle)
        average = average.view(len(own), n_runs, steps)
        entered = own.new_full((len(own),), start) if start is not None else runs[:, 0].clone()
        if n_runs > 1:
            ends = _decayed_sums(average[:, None, :-1, -1], onward[:, -1:], entered[:, None], known)[:, 0]
            average[:, 1:].addcmul_(ends[..., None], onward)
        average[:, 0].addcmul_(entered[:, None], onward)
        adapted = average.view(len(own), -1).add_(eps).log_().mul_(-gain).exp_()
        adapted = torch.mul(own, adapted[:, :n_frames], out=runs.view(-1)[: own.numel()].view(own.shape))
        _compress_into(out[first : first + size], adapted, bias, power)
    return out.view(x.shape)


def _compress_into(out: torch.Tensor, adapted: torch.Tensor, bias: float, power: float) -> None:
    """Write PCEN's compression of channels after gain control, without a graph.

    It is the last step of `compressed`, in memory that may be overwritten.
    """
    if power == 0:
        torch.log1p(adapted, out=out)
    elif bias == 0:
        torch.pow(adapted, power, out=out)
    elif power == 0.5:
        # sqrt(a + b) - sqrt(b) = a / (sqrt(a + b) + sqrt(b))
        torch.add(adapted, bias, out=out).sqrt_().add_(math.sqrt(bias))
        torch.div(adapted, out, out=out)
    else:
        adapted.div_(bias).log1p_().mul_(power)
        torch.expm1(adapted, out=out).mul_(bias**power)
