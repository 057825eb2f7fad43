"""`af.plot.filters`: the lines that are drawn of a transform's filters."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import audiofeed as af


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_a_line_for_each_filter_over_hertz():
    transform = af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40)
    (axes,) = panels(af.plot.filters(transform))
    assert len(axes.lines) == 40
    for line, weights in zip(axes.lines, transform.mel.numpy(), strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 8000, 201))
        np.testing.assert_array_equal(line.get_ydata(), weights.astype(np.float64))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("frequency (Hz)", "weight of |X|^2")
    assert axes.get_title() == "MelSpectrogram, 40 filters"
    assert axes.get_xscale() == "linear"
    # as many colors as filters, none of them as light as paper
    colors = np.array([line.get_color()[:3] for line in axes.lines])
    assert len(np.unique(colors.round(4), axis=0)) == 40
    assert (colors @ [0.2126, 0.7152, 0.0722]).max() < 0.8


def test_normalize_draws_each_with_its_peak_at_1():
    transform = af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40, trainable_mel=True)
    with torch.no_grad():
        transform.mel[3] = 0.0
        transform.mel[4] = -transform.mel[4]
    (axes,) = panels(af.plot.filters(transform, normalize=True))
    peaks = [np.abs(line.get_ydata()).max() for line in axes.lines]
    assert peaks == pytest.approx([1.0] * 3 + [0.0] + [1.0] * 36)
    assert min(axes.lines[4].get_ydata()) == -1
    assert axes.get_ylabel() == "weight of |X|^2, largest = 1"
    (axes,) = panels(af.plot.filters(transform))
    assert max(np.abs(line.get_ydata()).max() for line in axes.lines) < 0.1


def test_kernels_have_a_logarithmic_axis():
    transform = af.CQT(sample_rate=8000, n_bins=36, f_min=60.0)
    (axes,) = panels(af.plot.filters(transform))
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "gain"
    assert len(axes.lines) == 36
    assert [text.get_text() for text in axes.get_xticklabels()] == ["50", "100", "200", "500", "1000", "2000"]
    assert axes.get_xlim() == pytest.approx((60 / 2**0.5, 4000))
    # a bank over FFT bins begins at 0 Hz, which such an axis has not
    (axes,) = panels(af.plot.filters(af.PseudoCQT(sample_rate=8000, n_bins=36, f_min=60.0)))
    assert 20 < axes.get_xlim()[0] < 60


def test_members_with_filters_have_panels_of_their_own():
    stack = af.Stack(
        mel=af.Chain(af.MelSpectrogram(sample_rate=8000, n_fft=512, n_mels=20), af.AmplitudeToDB()),
        raw=af.STFT(256, sample_rate=8000),
        cqt=af.HybridCQT(sample_rate=8000, n_bins=72),
    )
    titles = [axes.get_title() for axes in panels(af.plot.filters(stack))]
    assert titles[0] == "mel: MelSpectrogram, 20 filters"
    assert [title.split(",")[0] for title in titles[1:]] == ["cqt.full: CQT", "cqt.pseudo: PseudoCQT"]
    wrapped = torch.nn.DataParallel(stack["mel"])
    assert panels(af.plot.filters(wrapped))[0].get_title() == "MelSpectrogram, 20 filters"
    assert panels(af.plot.filters(af.ChromaCQT(sample_rate=8000, n_octaves=3)))[0].get_title() == "CQT, 108 filters"


def test_a_module_of_ones_own_is_drawn_by_what_it_offers():
    class Own(torch.nn.Module):
        def filter_responses(self):
            return af.MelSpectrogram(sample_rate=8000, n_fft=512, n_mels=20).filter_responses()

    assert panels(af.plot.filters(Own()))[0].get_title() == "Own, 20 filters"


def test_path_writes_the_picture(tmp_path):
    path = tmp_path / "filters.svg"
    figure = af.plot.filters(af.SincFilterbank(sample_rate=8000, n_filters=4), path)
    assert "<svg" in path.read_text()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_mistakes_are_said():
    with pytest.raises(ValueError, match="STFT has no filters to draw: give a transform with a filter bank"):
        af.plot.filters(af.STFT(256))
    with pytest.raises(TypeError, match="transform=3 must be a module"):
        af.plot.filters(3)


def test_filters_without_values_are_not_drawn():
    with pytest.raises(ValueError, match=r"transform=MelSpectrogram is on the meta device .*to_empty"):
        af.plot.filters(af.MelSpectrogram(sample_rate=16000).to("meta"))


@pytest.mark.parametrize("normalize", [3, "peak", None])
def test_normalize_is_true_or_false(normalize):
    with pytest.raises(TypeError, match=r"normalize=.* must be True or False"):
        af.plot.filters(af.MelSpectrogram(sample_rate=16000), normalize=normalize)


def test_without_matplotlib_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"af\.plot\.filters needs matplotlib: pip install audiofeed\[plot\]"):
        af.plot.filters(af.MelSpectrogram(sample_rate=8000, n_mels=20))
