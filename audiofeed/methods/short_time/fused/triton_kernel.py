"""The fused kernel, the only file that imports Triton: some frames of one row, from samples to features of them.

Tables, names and the two stages are explained in `layout`. Nothing but the features is written to memory.
"""

# mypy: ignore-errors
# ruff: noqa: N803, N806

from __future__ import annotations

import functools
import importlib
from typing import Any

try:
    import triton
    import triton.language as tl
except ImportError:  # where torch comes without it
    triton = None


# what changes from batch to batch: Triton would compile anew for each that 16 divides, or that is 1
SIZES = (
    "row_stride", "time", "n_frames", "n_tiles", "margin", "extra", "more", "left_out", "under", "win_length",
)  # fmt: skip


def interpreted() -> bool:
    """Return whether Triton interprets the fused kernel, on tensors of the CPU."""
    if triton is None:
        return False
    from triton.runtime.interpreter import InterpretedFunction

    return isinstance(kernel(), InterpretedFunction)


@functools.cache
def kernel() -> Any:
    """Return the fused kernel, which Triton compiles for each of its forms at the first launch."""
    if triton is None:  # installed, and not importable: the error says why, as where torch 2.6's misses setuptools
        importlib.import_module("triton")
    for part in (_folded, _block, _product, _filtered, _finished):
        globals()[part.__name__] = triton.jit(part)
    return triton.jit(fused, do_not_specialize=SIZES)


def _folded(p, seen, PAD_MODE: tl.constexpr):
    """Return the samples that stand at places past the ends of a row, in the fused kernel: see `frames.mirrored`."""
    if PAD_MODE == "replicate":
        p = tl.minimum(tl.maximum(p, 0), seen - 1)
    else:
        period = seen
        if PAD_MODE == "reflect":
            period = tl.maximum(2 * (seen - 1), 1)
        if PAD_MODE == "symmetric":
            period = 2 * seen
        p = ((p % period) + period) % period
        if PAD_MODE == "reflect":
            p = tl.where(p < seen, p, period - p)
        if PAD_MODE == "symmetric":
            p = tl.where(p < seen, p, period - 1 - p)
    return p


def _block(
    own, window, place, start, stands, inside, seen, under, win_length, preemphasis,
    PAD_MODE: tl.constexpr, DC: tl.constexpr, EMPHASIS: tl.constexpr,
):  # fmt: skip
    """Return samples of frames, pre-emphasized, their sum under the window, and their window, in the fused kernel.

    Shape: place (places, 1, blocks), start (1, frames, 1).
    """
    if inside:
        x = tl.load(own + (start + place), mask=stands, other=0).to(tl.float32)
    else:
        p = start + place
        if PAD_MODE == "constant":
            x = tl.load(own + p, mask=stands & (p >= 0) & (p < seen), other=0).to(tl.float32)
        else:
            x = tl.load(own + _folded(p, seen, PAD_MODE), mask=stands, other=0).to(tl.float32)
    weights = tl.load(window + place, mask=stands, other=0.0)
    total = 0.0
    if DC:
        is_under = (place >= under) & (place < under + win_length)
        total = tl.sum(tl.sum(tl.where(is_under, x, 0.0), axis=2), axis=0)
    if EMPHASIS:
        before = tl.maximum(place - 1, under)
        if inside:
            x -= preemphasis * tl.load(own + (start + before), mask=stands, other=0).to(tl.float32)
        else:
            p = start + before
            if PAD_MODE == "constant":
                y = tl.load(own + p, mask=stands & (p >= 0) & (p < seen), other=0)
            else:
                y = tl.load(own + _folded(p, seen, PAD_MODE), mask=stands, other=0)
            x -= preemphasis * y.to(tl.float32)
    return x, total, weights


def _product(a, high_part, low_part):
    """Return a product of matrices in the fused kernel by three of TF32's, smallest first; the second is in parts."""
    high = (a.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
    low = a - high
    found = tl.dot(low, high_part, input_precision="tf32")
    found = tl.dot(high, low_part, found, input_precision="tf32")
    return tl.dot(high, high_part, found, input_precision="tf32")


def _filtered(
    filters, early_high, early, late_high, late, last_high, last,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Return sums of powers by some filters in the fused kernel, both in two parts, smallest first."""
    PARTS: tl.constexpr = early.shape[0]
    filters += tl.arange(0, SIZE)[:, None] * COLUMNS
    part = filters + tl.arange(0, PARTS)[None, :]
    high = tl.load(part)
    sums = tl.dot(tl.load(part + ROWS * COLUMNS), early_high, input_precision="tf32")
    sums = tl.dot(high, early, sums, input_precision="tf32")
    sums = tl.dot(high, early_high, sums, input_precision="tf32")
    part += PARTS
    high = tl.load(part)
    sums = tl.dot(tl.load(part + ROWS * COLUMNS), late_high, sums, input_precision="tf32")
    sums = tl.dot(high, late, sums, input_precision="tf32")
    sums = tl.dot(high, late_high, sums, input_precision="tf32")
    part = filters + 2 * PARTS + tl.arange(0, last.shape[0])[None, :]
    high = tl.load(part)
    sums = tl.dot(tl.load(part + ROWS * COLUMNS), last_high, sums, input_precision="tf32")
    sums = tl.dot(high, last, sums, input_precision="tf32")
    return tl.dot(high, last_high, sums, input_precision="tf32")


def _finished(
    values, number, is_value, affine, floor, factor, offset,
    N_VALUES: tl.constexpr, LOG: tl.constexpr, BEFORE: tl.constexpr, AFTER: tl.constexpr,
):  # fmt: skip
    """Return values after shifts and scales, the logarithm, and shifts and scales of these, in the fused kernel."""
    for step in tl.static_range(BEFORE):
        at = affine + 2 * step * N_VALUES + number
        values = (values + tl.load(at, mask=is_value, other=0.0)) / tl.load(at + N_VALUES, mask=is_value, other=1.0)
    if LOG != "":
        values = tl.maximum(values + offset, floor)
        if LOG == "log1p":
            # exact where 1 + x loses the digits of x
            more = values + 1.0
            rest = more - 1.0
            scale = values / tl.where(rest == 0.0, 1.0, rest)
            values = tl.where(rest == 0.0, values, tl.log(more) * scale) * factor
        else:
            values = tl.log(values) * factor
    for step in tl.static_range(BEFORE, BEFORE + AFTER):
        at = affine + 2 * step * N_VALUES + number
        values = (values + tl.load(at, mask=is_value, other=0.0)) / tl.load(at + N_VALUES, mask=is_value, other=1.0)
    return values


def fused(
    samples, lengths, window, first_stage, twiddles, second_stage, bank, affine, out,
    row_stride, time, n_frames, n_tiles, hop, margin, extra, more, left_out, under, win_length,
    preemphasis, floor, factor, offset, root_offset,
    N_FFT: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, M: tl.constexpr, W: tl.constexpr,
    N_FILTERS: tl.constexpr, BLOCK: tl.constexpr, TAIL: tl.constexpr, FRAMES: tl.constexpr,
    PAD_MODE: tl.constexpr, RAGGED: tl.constexpr, DC: tl.constexpr, EMPHASIS: tl.constexpr,
    ROOT: tl.constexpr, ROOT_OFFSET: tl.constexpr, LOG: tl.constexpr, BEFORE: tl.constexpr, AFTER: tl.constexpr,
    SHORT: tl.constexpr,
):  # fmt: skip
    """Compute features of FRAMES frames of a row: the fused kernel. `launch` says what the arguments are."""
    Q: tl.constexpr = RP // 2
    HALF: tl.constexpr = (M + 1) // 2
    N_BINS: tl.constexpr = N_FFT // 2 + 1
    N_VALUES: tl.constexpr = N_FILTERS if N_FILTERS > 0 else N_BINS
    program = tl.program_id(0)
    row = program // n_tiles
    first = (program % n_tiles) * FRAMES
    length = time
    if RAGGED:
        length = tl.load(lengths + row).to(tl.int32)
    seen = tl.maximum(length - left_out, 1)
    count = tl.maximum((seen + extra) // hop + more, 1)
    frame = first + tl.arange(0, FRAMES)
    is_own = (frame < count)[None, :]
    is_there = (frame < n_frames)[None, :]
    result = out + row.to(tl.int64) * N_VALUES * n_frames

    # (place in a block, frame, block): the first halves of the blocks, and the second halves from their ends
    begin = first * hop - margin
    inside = (begin >= 0) & (begin + (FRAMES - 1) * hop + N_FFT <= seen)
    own = samples + row.to(tl.int64) * row_stride
    start = (frame * hop - margin)[None, :, None]
    column = tl.arange(0, W)
    block = tl.arange(0, RP)[None, None, :]
    place = column[:, None, None]
    is_block = block < R
    a, a_sum, a_window = _block(
        own, window, M * block + place, start, is_block & (place < HALF), inside, seen, under, win_length,
        preemphasis, PAD_MODE, DC, EMPHASIS,
    )  # fmt: skip
    b, b_sum, b_window = _block(
        own, window, M * block + (M - 1 - place), start, is_block & (place < M // 2), inside, seen, under, win_length,
        preemphasis, PAD_MODE, DC, EMPHASIS,
    )  # fmt: skip
    if DC:
        mean = (a_sum + b_sum) / win_length
        if EMPHASIS:
            mean = mean * (1.0 - preemphasis)
        a -= mean[None, :, None]
        b -= mean[None, :, None]
    a *= a_window
    b *= b_window

    # across the blocks
    ALL: tl.constexpr = W * FRAMES
    at = tl.arange(0, RP)[:, None] * Q + tl.arange(0, Q)[None, :]
    cos_high = tl.load(first_stage + at)
    cos_low = tl.load(first_stage + RP * Q + at)
    sin_high = tl.load(first_stage + 2 * RP * Q + at)
    sin_low = tl.load(first_stage + 3 * RP * Q + at)
    signs = (1 - 2 * (block % 2)).to(tl.float32)
    a_last = tl.sum(a * signs, axis=2)
    b_last = tl.sum(b * signs, axis=2)
    a = tl.reshape(a, [ALL, RP])
    b = tl.reshape(b, [ALL, RP])
    ar = tl.reshape(_product(a, cos_high, cos_low), [W, FRAMES, Q])
    ai = tl.reshape(_product(a, sin_high, sin_low), [W, FRAMES, Q])
    br = tl.reshape(_product(b, cos_high, cos_low), [W, FRAMES, Q])
    bi = tl.reshape(_product(b, sin_high, sin_low), [W, FRAMES, Q])
    q = tl.arange(0, Q)[None, None, :]
    at = twiddles + place * Q + q
    tr = tl.load(at)
    ti = tl.load(at + W * Q)
    ur = tl.load(at + 2 * W * Q)
    ui = tl.load(at + 3 * W * Q)
    yr = ar * tr - ai * ti
    yi = ar * ti + ai * tr
    zr = br * ur - bi * ui
    zi = br * ui + bi * ur

    # inside the blocks: (frame and q, k)
    at = column[:, None] * W + column[None, :]
    cos_high = tl.load(second_stage + at)
    cos_low = tl.load(second_stage + W * W + at)
    sin_high = tl.load(second_stage + 2 * W * W + at)
    sin_low = tl.load(second_stage + 3 * W * W + at)
    BOTH: tl.constexpr = FRAMES * Q
    cr = _product(tl.trans(tl.reshape(yr - zr, [W, BOTH])), cos_high, cos_low)
    ci = _product(tl.trans(tl.reshape(yi - zi, [W, BOTH])), cos_high, cos_low)
    sr = _product(tl.trans(tl.reshape(yr + zr, [W, BOTH])), sin_high, sin_low)
    si = _product(tl.trans(tl.reshape(yi + zi, [W, BOTH])), sin_high, sin_low)
    early = (cr + si) * (cr + si) + (ci - sr) * (ci - sr)
    late = (cr - si) * (cr - si) + (ci + sr) * (ci + sr)
    cr = _product(tl.trans(a_last - b_last), cos_high, cos_low)
    sr = _product(tl.trans(a_last + b_last), sin_high, sin_low)
    last = cr * cr + sr * sr
    if ROOT_OFFSET:
        early += root_offset
        late += root_offset
        last += root_offset
    if ROOT:
        early = tl.sqrt(early)
        late = tl.sqrt(late)
        last = tl.sqrt(last)
    # (k and q, frame)
    PARTS: tl.constexpr = W * Q
    early = tl.reshape(tl.permute(tl.reshape(early, [FRAMES, Q, W]), (2, 1, 0)), [PARTS, FRAMES])
    late = tl.reshape(tl.permute(tl.reshape(late, [FRAMES, Q, W]), (2, 1, 0)), [PARTS, FRAMES])
    last = tl.trans(last)

    if N_FILTERS == 0:
        part = tl.arange(0, PARTS)[:, None]
        k = part // Q
        q_of = part % Q
        bins = R * k + q_of
        number = tl.where(bins > N_FFT // 2, N_FFT - bins, bins)
        is_value = (k < HALF) & (q_of < R // 2)
        early = _finished(early, number, is_value, affine, floor, factor, offset, N_VALUES, LOG, BEFORE, AFTER)
        early = tl.where(is_own, early, 0.0)
        tl.store(result + number * n_frames + frame[None, :], early, mask=is_value & is_there)
        bins = R * (M - 1 - k) + q_of
        number = tl.where(bins > N_FFT // 2, N_FFT - bins, bins)
        is_value = (k < M // 2) & (q_of < R // 2) & ((q_of > 0) | (number > R * (HALF - 1)))
        late = _finished(late, number, is_value, affine, floor, factor, offset, N_VALUES, LOG, BEFORE, AFTER)
        late = tl.where(is_own, late, 0.0)
        tl.store(result + number * n_frames + frame[None, :], late, mask=is_value & is_there)
        number = (R * column + R // 2)[:, None]
        is_value = (column < HALF)[:, None]
        last = _finished(last, number, is_value, affine, floor, factor, offset, N_VALUES, LOG, BEFORE, AFTER)
        last = tl.where(is_own, last, 0.0)
        tl.store(result + number * n_frames + frame[None, :], last, mask=is_value & is_there)
    else:
        # in two parts of 8 bits, rounded
        early_high = (early.to(tl.int32, bitcast=True) + 32768 & -65536).to(tl.float32, bitcast=True)
        late_high = (late.to(tl.int32, bitcast=True) + 32768 & -65536).to(tl.float32, bitcast=True)
        last_high = (last.to(tl.int32, bitcast=True) + 32768 & -65536).to(tl.float32, bitcast=True)
        early = ((early - early_high).to(tl.int32, bitcast=True) + 32768 & -65536).to(tl.float32, bitcast=True)
        late = ((late - late_high).to(tl.int32, bitcast=True) + 32768 & -65536).to(tl.float32, bitcast=True)
        last = ((last - last_high).to(tl.int32, bitcast=True) + 32768 & -65536).to(tl.float32, bitcast=True)
        if SHORT:
            early_high = early_high.to(tl.bfloat16)
            late_high = late_high.to(tl.bfloat16)
            last_high = last_high.to(tl.bfloat16)
            early = early.to(tl.bfloat16)
            late = late.to(tl.bfloat16)
            last = last.to(tl.bfloat16)
        COLUMNS: tl.constexpr = 2 * PARTS + W
        ROWS: tl.constexpr = N_FILTERS // BLOCK * BLOCK + TAIL
        for i in tl.static_range(N_FILTERS // BLOCK):
            sums = _filtered(
                bank + i * BLOCK * COLUMNS, early_high, early, late_high, late, last_high, last, ROWS, COLUMNS, BLOCK
            )
            number = i * BLOCK + tl.arange(0, BLOCK)[:, None]
            sums = _finished(
                sums, number, number < N_FILTERS, affine, floor, factor, offset, N_VALUES, LOG, BEFORE, AFTER
            )
            sums = tl.where(is_own, sums, 0.0)
            tl.store(result + number * n_frames + frame[None, :], sums, mask=is_there)
        if TAIL > 0:
            DONE: tl.constexpr = N_FILTERS // BLOCK * BLOCK
            sums = _filtered(
                bank + DONE * COLUMNS, early_high, early, late_high, late, last_high, last, ROWS, COLUMNS, TAIL
            )
            number = DONE + tl.arange(0, TAIL)[:, None]
            is_value = number < N_FILTERS
            sums = _finished(sums, number, is_value, affine, floor, factor, offset, N_VALUES, LOG, BEFORE, AFTER)
            sums = tl.where(is_own, sums, 0.0)
            tl.store(result + number * n_frames + frame[None, :], sums, mask=is_value & is_there)
