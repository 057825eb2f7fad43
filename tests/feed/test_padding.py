"""Padding: values, types, and an error for each thing that cannot be padded."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from audiofeed.data.example import AudioExample
from audiofeed.data.samples import to_float
from audiofeed.feed import PadCollate
from audiofeed.feed.items import Clip
from audiofeed.feed.padding import pad_clips


def pad(*waveforms, **settings):
    return pad_clips([Clip(waveform) for waveform in waveforms], None, **settings)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("leading", [(), (1,), (2,)])
def test_equal_to_pad_sequence(leading):
    waveforms = [noise(*leading, length) for length in (5, 17, 1, 17)]
    padded = pad(*waveforms)
    expected = pad_sequence([w.movedim(-1, 0) for w in waveforms], batch_first=True).movedim(1, -1)
    assert torch.equal(padded.waveforms, expected)
    assert padded.lengths.tolist() == [5, 17, 1, 17]
    assert padded.lengths.dtype == torch.int64


def test_all_16_bit_stays_16_bit_until_read():
    waveforms = [torch.tensor([1, -32768, 32767], dtype=torch.int16), torch.tensor([5], dtype=torch.int16)]
    padded = pad(*waveforms)
    assert padded.waveforms.dtype == torch.int16
    batch = PadCollate()(waveforms)
    assert batch.waveforms.dtype == torch.float32
    assert batch.waveforms.tolist() == [[2**-15, -1.0, 32767 / 32768], [5 / 32768, 0.0, 0.0]]


def test_a_clip_has_the_same_numbers_beside_floats():
    whole = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)
    alone = to_float(pad(whole).waveforms)[0]
    mixed = pad(whole, torch.zeros(3)).waveforms[0]
    assert mixed.dtype == torch.float32
    assert torch.equal(alone, mixed)


@pytest.mark.parametrize(
    ("waveform", "expected"),
    [
        (torch.tensor([-(2**31), 2**30], dtype=torch.int32), [-1.0, 0.5]),
        (torch.tensor([0, 128, 192], dtype=torch.uint8), [-1.0, 0.0, 0.5]),
        (torch.tensor([0.5, -0.25], dtype=torch.float16), [0.5, -0.25]),
        (torch.tensor([0.5, -0.25], dtype=torch.bfloat16), [0.5, -0.25]),
        (torch.tensor([0.5, -0.25], dtype=torch.float64), [0.5, -0.25]),
        (np.array([0.5, -0.25]), [0.5, -0.25]),
        (np.array([0.5, -0.25], dtype=np.float16), [0.5, -0.25]),
        (np.array([0, 128, 192], dtype=np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([0.5, 9.0, -0.25, 9.0])[::2], [0.5, -0.25]),
        (np.array([-0.25, 0.5])[::-1].copy(), [0.5, -0.25]),
        (torch.tensor([0.5, 9.0, -0.25])[::2], [0.5, -0.25]),
        (torch.tensor([0.5, -0.25], requires_grad=True), [0.5, -0.25]),
    ],
)
def test_each_sample_type(waveform, expected):
    padded = pad(waveform)
    assert padded.waveforms.dtype == torch.float32
    assert padded.waveforms.tolist() == [expected]


def test_a_read_only_array_and_a_reversed_one():
    samples = np.array([0.5, -0.25], dtype=np.float32)
    samples.flags.writeable = False
    assert pad(samples).waveforms.tolist() == [[0.5, -0.25]]
    assert pad(np.array([0.5, -0.25], dtype=np.float32)[::-1]).waveforms.tolist() == [[-0.25, 0.5]]


def test_a_big_endian_array():
    assert pad(np.array([0.5, -0.25], dtype=">f4")).waveforms.tolist() == [[0.5, -0.25]]


@pytest.mark.parametrize(
    ("waveforms", "error", "message"),
    [
        ([noise(3), noise(0)], ValueError, r"clip 1 has shape \(0,\), no samples"),
        ([noise(2, 0)], ValueError, r"clip 0 has shape \(2, 0\), no samples"),
        ([noise(3), torch.tensor(1.0)], ValueError, r"clip 1 has shape \(\)"),
        ([noise(1, 1, 3)], ValueError, r"shape \(1, 1, 3\); .*drop the batch dimension"),
        ([noise(2, 3), noise(1, 3)], ValueError, r"clip 1 has shape \(1, 3\) and clip 0 has \(2, 3\)"),
        ([noise(3), noise(1, 3)], ValueError, "same channels"),
        ([noise(2000, 2)], ValueError, "2000 channels of 2 samples.*transpose"),
        ([torch.zeros(3, dtype=torch.complex64)], TypeError, "type torch.complex64"),
        ([np.zeros(3, dtype=np.complex64)], TypeError, "type complex64"),
        ([torch.zeros(3, dtype=torch.int64)], TypeError, "type torch.int64"),
        ([torch.zeros(3, dtype=torch.bool)], TypeError, "type torch.bool"),
        ([np.array(["a"])], TypeError, "clip 0 has samples of type <U1"),
        ([noise(3), torch.tensor([1.0, float("nan"), 2.0])], ValueError, "clip 1 has 1 NaN.*at sample 1"),
        ([torch.tensor([1.0, 2.0, float("inf")])], ValueError, "clip 0 has 1 NaN or infinite.*at sample 2"),
        ([torch.tensor([float("inf"), float("-inf")])], ValueError, "clip 0 has 2 NaN"),
        ([torch.tensor([1.0, 1e300], dtype=torch.float64)], ValueError, "clip 0 has 1 NaN or infinite.*at sample 1"),
        ([torch.ones(3).to_sparse()], TypeError, r"clip 0 is of layout torch\.sparse_coo; .*to_dense"),
        ([torch.zeros(3, device="meta")], ValueError, "clip 0 is on meta"),
    ],
)
def test_each_error(waveforms, error, message):
    with pytest.raises(error, match=message):
        pad(*waveforms)


def test_errors_name_the_clip_by_its_key():
    clips = [
        AudioExample(torch.ones(3), 16000, key="a.wav"),
        AudioExample(torch.full((3,), torch.nan), 16000, key="b.wav"),
    ]
    with pytest.raises(ValueError, match=r"clip 1 \('b.wav'\) has 3 NaN"):
        PadCollate()(clips)


def test_large_finite_samples_whose_sum_overflows():
    assert pad(torch.full((8,), 3e38)).waveforms.isfinite().all()


def test_rates():
    fast, slow, unknown = Clip(noise(3), 16000), Clip(noise(3), 8000, key="s"), Clip(noise(3))
    assert pad_clips([unknown, fast], None).sample_rate == 16000
    assert pad_clips([unknown], None).sample_rate is None
    assert pad_clips([unknown], None, 16000).sample_rate == 16000
    with pytest.raises(ValueError, match=r"clip 1 \('s'\) has sample_rate=8000 and clip 0 has 16000"):
        pad_clips([fast, slow], None)
    with pytest.raises(ValueError, match=r"sample_rate=8000 and the transform has 16000.*resample"):
        pad_clips([slow], None, 16000)


def test_names_and_seeds():
    padded = pad_clips([Clip(noise(3), key="a", seed=1), Clip(noise(3), seed=2**64 - 1)], None)
    assert padded.names == ["a", None]
    assert padded.seeds.tolist() == [1, -1]
    padded = pad_clips([Clip(noise(3), seed=1), Clip(noise(3))], None)
    assert padded.names is None
    assert padded.seeds is None
