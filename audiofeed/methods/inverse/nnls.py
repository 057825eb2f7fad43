"""Non-negative least squares for filter banks whose neighbors overlap: all frames at once, to the optimum.

To be found is the x >= 0 that minimises |A x - b|^2 + e |x|^2, where the ridge e is so small that it only tells apart
the many x that fit equally well: of those it takes the smallest. With y = (b - A x) / e the optimum is

    x = max(0, A' y),    A max(0, A' y) + e y = b,

one equation for each filter, not each bin; its left side less b is the gradient of a convex, piecewise quadratic
function of y. Newton's method finds its zero in a few steps: where D marks the bins with A' y > 0, the next y solves
(A D A' + e) y = b. In a bank where only neighbors overlap A D A' is tridiagonal, and its sums over bins are read off
tables, so that a step costs a few operations for each filter and frame. (Semismooth Newton: Qi and Sun 1993.)
"""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.methods.precision import matmul
from audiofeed.parallel.observed import refuse_trace

# How many values of spectra are computed at once, in float64: few enough to stay near the cache of a CPU.
BLOCK = 2**20

# Relative to the largest squared norm of a filter, each from the bins that were active at the one before. The first is
# safe; what the ridge leaves of |A x - b| shrinks with it, and a frame in which float64 cannot tell the active bins of
# a smaller one apart stays with the one before.
RIDGES = (1e-6, 1e-8, 1e-10)
MOST_STEPS = 60  # 8 to 25 are taken
MOST_REFINING_STEPS = 12
MOST_HALVINGS = 12
CONVERGED = 1e-8
Matrix = tuple[torch.Tensor, torch.Tensor]  # a symmetric tridiagonal one: its diagonal, and what stands beside it


def solve_tridiagonal(matrix: Matrix, b: torch.Tensor) -> torch.Tensor:
    """Solve tridiagonal systems M y = b of non-negative least squares (NNLS) for all frames at once.

    M is positive definite.

    Shape: two of (n, frames), (n, frames) -> (n, frames).

    >>> solve_tridiagonal((torch.full((2, 1), 2.0), torch.tensor([[1.0], [0.0]])), torch.tensor([[3.0], [3.0]])).T
    tensor([[1., 1.]])
    """
    diagonal, beside = matrix
    n = b.shape[0]
    pivots, right = [diagonal[0]], [b[0]]
    for m in range(1, n):
        factor = beside[m - 1] / pivots[-1]
        pivots.append(torch.addcmul(diagonal[m], factor, beside[m - 1], value=-1))
        right.append(torch.addcmul(b[m], factor, right[-1], value=-1))
    y = [right[-1] / pivots[-1]]
    for m in range(n - 2, -1, -1):
        y.append(torch.addcmul(right[m], beside[m], y[-1], value=-1) / pivots[m])
    return torch.stack(y[::-1])


def _product(matrix: Matrix, y: torch.Tensor) -> torch.Tensor:
    """Multiply a tridiagonal matrix of non-negative least squares (NNLS) by a tensor.

    It is M y.

    Shape: (n, frames) -> the same.
    """
    diagonal, beside = matrix
    out = diagonal * y
    out[:-1] += beside[:-1] * y[1:]
    out[1:] += beside[:-1] * y[:-1]
    return out


def _active(y: torch.Tensor, ratios: torch.Tensor, sums: torch.Tensor) -> Matrix:
    """Compute the tridiagonal matrix of the active bins in non-negative least squares (NNLS).

    It is A D A' of the bins that are positive in A' y; for a y that is 0 throughout, of all bins.

    Shape: y (n, frames), ratios (n, most), sums (3, n, 2 * (most + 1)): see `overlapping_pairs`.
    """
    most = ratios.shape[1]
    upper = torch.cat([y[1:], torch.zeros_like(y[:1])])
    # bins with a y_m + b y_(m+1) > 0: of a negative y_(m+1) the ratios b / a below -y_m / y_(m+1), else those above
    bound = torch.where(upper == 0, torch.where(y < 0, torch.inf, -torch.inf), -y / upper)
    below = torch.searchsorted(ratios, bound.contiguous()).clamp(max=most)
    column = torch.where(upper < 0, below, below + most + 1)
    own, shared, next_own = (table.gather(1, column) for table in sums)
    diagonal = own
    diagonal[1:] += next_own[:-1]
    return diagonal, shared


def _ridged(matrix: Matrix, ridge: float) -> Matrix:
    return matrix[0] + ridge, matrix[1]


def optimum(b: torch.Tensor, ratios: torch.Tensor, sums: torch.Tensor) -> tuple[torch.Tensor, Matrix]:
    """Find the optimum of non-negative least squares (NNLS) for all frames by Newton's method.

    It returns y, with x = max(0, A' y), and A D A' + e there.

    Shape: b (n, frames) float64, with a peak of about 1 in each frame -> (n, frames), two of (n, frames).
    """
    most = ratios.shape[1]
    scale = float((sums[0, :, most] + torch.roll(sums[2, :, most], 1)).max())
    matrix = _active(torch.zeros_like(b), ratios, sums)
    y, matrix, _ = _newton(b, matrix, ratios, sums, RIDGES[0] * scale, MOST_STEPS)
    system = _ridged(matrix, RIDGES[0] * scale)
    for ridge in RIDGES[1:]:
        finer_y, finer, converged = _newton(b, matrix, ratios, sums, ridge * scale, MOST_REFINING_STEPS)
        y = torch.where(converged, finer_y, y)
        matrix = torch.where(converged, finer[0], matrix[0]), torch.where(converged, finer[1], matrix[1])
        ridged = _ridged(finer, ridge * scale)
        system = torch.where(converged, ridged[0], system[0]), torch.where(converged, ridged[1], system[1])
    return y, system


def _newton(
    b: torch.Tensor, start: Matrix, ratios: torch.Tensor, sums: torch.Tensor, ridge: float, most_steps: int
) -> tuple[torch.Tensor, Matrix, torch.Tensor]:
    """Run Newton's method for non-negative least squares (NNLS) with one ridge.

    It returns y and A D A' at the optimum, and which frames got there.

    Each frame goes its own way and stops when it is done, so that the others do not matter to it.
    """
    out = torch.empty_like(b), torch.empty_like(b), torch.empty_like(b)
    done = torch.zeros(b.shape[1], dtype=torch.bool, device=b.device)
    size = b.norm(dim=0).clamp(min=torch.finfo(b.dtype).tiny)
    left = torch.arange(b.shape[1], device=b.device)
    y = solve_tridiagonal(_ridged(start, ridge), b)
    matrix = _active(y, ratios, sums)
    for _ in range(most_steps):
        product = _product(_ridged(matrix, ridge), y)
        gradient = product - b
        near = gradient.norm(dim=0) <= CONVERGED * size
        for whole, part in zip(out, (y, *matrix), strict=True):
            whole[:, left] = part
        done[left] = near
        if near.all():
            break
        keep = (~near).nonzero()[:, 0]
        left, y, b, size, gradient = left[keep], y[:, keep], b[:, keep], size[keep], gradient[:, keep]
        matrix = matrix[0][:, keep], matrix[1][:, keep]
        value = 0.5 * (y * (gradient - b)).sum(dim=0)
        step = solve_tridiagonal(_ridged(matrix, ridge), b) - y
        y, matrix = _line_search(y, step, value, gradient, b, ratios, sums, ridge)
    return out[0], out[1:], done


def _line_search(
    y: torch.Tensor,
    step: torch.Tensor,
    value: torch.Tensor,
    gradient: torch.Tensor,
    b: torch.Tensor,
    ratios: torch.Tensor,
    sums: torch.Tensor,
    ridge: float,
) -> tuple[torch.Tensor, Matrix]:
    """Search along a Newton step of non-negative least squares (NNLS) until each frame improves.

    It returns y further along the step, halved in each frame until the function falls, and A D A' there.
    """
    slope = (gradient * step).sum(dim=0)
    steepness = gradient.norm(dim=0)
    length = torch.ones_like(value)
    for _ in range(MOST_HALVINGS):
        tried = y + length * step
        matrix = _active(tried, ratios, sums)
        there = _product(_ridged(matrix, ridge), tried) - b
        falls = 0.5 * (tried * (there - b)).sum(dim=0) <= value + 1e-4 * length * slope
        # near the optimum rounding hides the fall of the function, but not that of its gradient
        fine = falls | (there.norm(dim=0) <= 0.5 * steepness)
        if fine.all():
            break
        length = torch.where(fine, length, length / 2)
    return tried, matrix


class _Solved(torch.autograd.Function):
    """Autograd function that solves a tridiagonal system of non-negative least squares (NNLS).

    It is `solve_tridiagonal` for a matrix without gradient; its gradient is the solution of the same system.
    """

    @staticmethod
    def forward(ctx: Any, b: torch.Tensor, diagonal: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(diagonal, beside)
        return solve_tridiagonal((diagonal, beside), b)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        diagonal, beside = ctx.saved_tensors
        return _Solved.apply(grad, diagonal, beside), None, None


def nnls(b: torch.Tensor, filters: torch.Tensor, ratios: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Solve non-negative least squares (NNLS) for the spectrum of each frame, with a gradient.

    It finds the smallest x >= 0 with the least |filters @ x - b|; differentiable where it does not jump.

    Args:
        b: what is to be reached; all are float64.
        ratios, sums: `overlapping_pairs` of the filters.

    Shape: b (n, frames), filters (n, bins) -> (bins, frames).
    """
    # of frames of any loudness the same steps: x follows the scale of b
    peak = b.detach().abs().amax(dim=0)
    peak = torch.where(peak > 0, peak, torch.ones_like(peak))
    scaled = b / peak
    with torch.no_grad():
        y, matrix = optimum(scaled.detach(), ratios, sums)
    if scaled.requires_grad:
        # the bins that are active stay so in a small enough neighborhood, where y is the solution of their system
        moves = _Solved.apply(scaled, *matrix)
        y = y + (moves - moves.detach())
    return (filters.t() @ y).clamp(min=0) * peak


def nearest_spectra(
    features: torch.Tensor, filters: torch.Tensor, ratios: torch.Tensor, sums: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """Compute the nearest spectra of batched filter bank features by non-negative least squares.

    It is `nnls` of every frame in float64, some frames at a time without a graph, in the dtype of the features.

    Args:
        filters, ratios, sums: as in `nnls`, float64.

    Shape: features (clips, rows, filters, frames) -> (clips, rows, bins, frames).
    """
    refuse_trace("InverseMel(solver='nnls')", "the number of its steps depends on the values")
    clips, rows, n, frames = features.shape
    if features.device.type == "meta":  # shapes without values, which decide about the steps
        return features.new_empty(clips, rows, filters.shape[1], frames)
    exact = features.permute(2, 0, 1, 3).reshape(n, -1).double()  # (filter, frame of any clip)
    bins = filters.shape[1]
    size = exact.shape[1] if graph else max(1, BLOCK // bins)
    pieces = [nnls(piece, filters, ratios, sums).to(features.dtype) for piece in exact.split(size, dim=1)]
    return torch.cat(pieces, dim=1).view(bins, clips, rows, frames).permute(1, 2, 0, 3)


def clamped_spectra(features: torch.Tensor, pseudoinverse: torch.Tensor, *, graph: bool) -> torch.Tensor:
    """Compute batched spectra by a pseudoinverse, clamped at 0 in place of non-negative least squares.

    They are the smallest least-squares spectra of either sign, 0 where these are negative.

    Shape: (clips, rows, filters, frames), (bins, filters) -> (clips, rows, bins, frames).
    """
    clips, rows, n, frames = features.shape
    frames_last = features.transpose(-1, -2)  # (clip, row, frame, filter)
    spectra = matmul(frames_last.reshape(-1, n), pseudoinverse.t())
    spectra = spectra.clamp(min=0) if graph else spectra.clamp_(min=0)
    return spectra.view(clips, rows, frames, -1).transpose(-1, -2)
