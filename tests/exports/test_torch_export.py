"""Transforms exported by `torch.export`, and the sums, sizes and slices that an exported graph follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.export import Dim

import audiofeed as af
from audiofeed.parallel import exports, observed


@pytest.mark.parametrize(
    ("transform", "example"),
    [
        (lambda: af.CQT(sample_rate=8000, n_bins=24, tuning=None), lambda: torch.randn(2, 4000)),
        (lambda: af.InverseMel(sample_rate=8000, n_fft=64, n_mels=8), lambda: torch.rand(2, 8, 9)),
    ],
)
def test_what_depends_on_values_is_refused_with_the_reason(transform, example):
    with torch.no_grad(), pytest.raises(NotImplementedError, match=r"cannot be exported .*; call the module as it is"):
        torch.export.export(transform(), (example(),))


def test_the_sizes_that_an_export_leaves_open_are_compared_in_a_concat():
    both = af.Concat(level=af.RMS(frame_length=128, hop_length=32), again=af.RMS(frame_length=128, hop_length=64))
    with torch.no_grad(), pytest.raises(ValueError, match="as many frames as each other"):
        torch.export.export(both, (torch.randn(2, 800),), dynamic_shapes=({0: Dim.AUTO, 1: Dim.AUTO},))


def test_the_batch_and_the_time_of_an_export_may_have_names():
    mel = af.LogMelSpectrogram(sample_rate=8000, n_fft=128, hop_length=64, n_mels=8)
    dims = ({0: Dim("batch"), 1: Dim("time", min=256, max=480_000)},)
    with torch.no_grad():
        program = torch.export.export(mel, (torch.randn(2, 1600),), dynamic_shapes=dims).module()
        for batch, n in ((1, 300), (5, 40_000)):
            x = torch.randn(batch, n)
            np.testing.assert_allclose(program(x), mel(x), rtol=1e-4, atol=1e-4)


def test_division_upwards_has_the_usual_values():
    for by in (1, 2, 7, 100):
        numbers = np.arange(0, 5 * by + 2)
        assert [exports.ceil_divided(int(number), by) for number in numbers] == [-(-int(n) // by) for n in numbers]
        assert torch.equal(exports.ceil_divided(torch.from_numpy(numbers), by), -(-torch.from_numpy(numbers) // by))


def test_the_first_columns_are_those_of_a_slice(monkeypatch):
    x = torch.randn(2, 3, 9, requires_grad=True)
    plain = exports.first_columns(x, 4)
    assert plain.data_ptr() == x.data_ptr()
    monkeypatch.setattr(exports, "is_exporting", lambda: True)
    for count in (1, 4, 9):
        assert torch.equal(exports.first_columns(x, count), x[..., :count])


@pytest.mark.parametrize("term", [0.0, 1e-6, 1e-8, 1e-9, 1e-10, 3e-13, 1e-20, -1e-10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_term_is_added_to_the_last_digit(monkeypatch, term, dtype):
    monkeypatch.setattr(exports, "is_exporting", lambda: True)
    x = torch.cat([torch.zeros(1, dtype=dtype), 10.0 ** torch.linspace(-25, 6, 500, dtype=dtype)])
    assert torch.equal(exports.plus(x, term), x + term)


def test_no_term_of_an_exported_sum_is_as_small_as_one_that_is_left_out():
    class Sum(torch.nn.Module):
        def forward(self, x):
            return exports.plus(x, 1e-10)

    graph = torch.export.export(Sum(), (torch.randn(3),)).graph
    terms = [node.args[1] for node in graph.nodes if "add" in str(node.target)]
    assert len(terms) == 1
    assert abs(terms[0]) > 1e-7


def test_an_export_is_noticed_without_a_private_flag_and_a_compiler_is_none(monkeypatch):
    seen = []

    class Asks(torch.nn.Module):
        def forward(self, x):
            seen.append(observed.is_exporting())
            return x + 1

    torch.export.export(Asks(), (torch.randn(3),))
    assert seen[-1] is True
    monkeypatch.delattr(torch.compiler, "_is_exporting_flag")
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert observed.is_exporting()
    monkeypatch.setattr(torch.compiler, "is_dynamo_compiling", lambda: True)
    assert not observed.is_exporting()
    monkeypatch.delattr(torch.compiler, "is_exporting")
    assert not observed.is_exporting()
    monkeypatch.undo()

    def compiled(x):
        return x + (1 if observed.is_exporting() else 2)

    torch._dynamo.reset()
    assert torch.compile(compiled, backend="eager")(torch.zeros(1)).item() == 2.0
