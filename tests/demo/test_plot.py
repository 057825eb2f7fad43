"""The picture of a batch."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from audiofeed.feed import AudioBatch, GPUSpecCollate
from audiofeed.plot import plot_batch
from audiofeed.transforms import LogMelSpectrogram, Spectrogram


@pytest.fixture
def transform():
    return LogMelSpectrogram(sample_rate=8000, n_fft=256, hop_length=100, n_mels=40, log="db")


@pytest.fixture
def batch(transform):
    torch.manual_seed(0)
    # quiet, so that the zeros of padding lie outside of the clips' own decibels
    clips = [
        {"waveform": torch.randn(800 * (i + 1)) * 1e-3, "target": i % 3, "path": f"x/clip-{i}.wav"} for i in range(10)
    ]
    return GPUSpecCollate(transform, device="cpu")(clips)


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is saved."""
    from matplotlib.figure import Figure

    saved = []
    save = Figure.savefig

    def keep(figure, *arguments, **more):
        saved.append(figure)
        save(figure, *arguments, **more)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def drawn(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_title()]


def test_a_batch_of_frames_first_is_drawn_alike(batch, transform, tmp_path, figures):
    turned = GPUSpecCollate(transform, device="cpu", layout="frames_bins")(
        [{"waveform": row[:n], "target": 0} for row, n in zip(batch.waveforms, batch.lengths.tolist(), strict=True)]
    )
    for shown in (batch, turned):
        plot_batch(shown, tmp_path / "batch.png", transform, clips=2)
    one, other = (axes.collections[0].get_array() for axes in (drawn(figures[0])[1], drawn(figures[1])[1]))
    np.testing.assert_array_equal(one, other)


def test_axes_say_seconds_hertz_class_and_key(batch, transform, tmp_path, figures):
    path = tmp_path / "batch.png"
    plot_batch(batch, path, transform, classes=["ah", "oh", "uh"])
    assert path.read_bytes().startswith(b"\x89PNG")
    panels = drawn(figures[0])
    assert [axes.get_title() for axes in panels[:2]] == ["ah\nclip-0.wav", "oh\nclip-1.wav"]
    assert len(panels) == 8
    assert panels[0].get_ylabel() == "frequency (Hz)"
    assert panels[4].get_xlabel() == "time (s)"
    frames = batch.features.shape[-1]
    assert panels[0].get_xlim() == pytest.approx((-0.00625, (frames - 0.5) * 0.0125))
    # 1000 Hz stands at the height of the filter that peaks next to it
    heights = dict(zip([t.get_text() for t in panels[0].get_yticklabels()], panels[0].get_yticks(), strict=True))
    nearest = int((transform.frequencies - 1000).abs().argmin())
    assert abs(heights["1000"] - (nearest + 0.5)) < 1
    assert figures[0].axes[-1].get_ylabel() == "dB"


def test_values_and_padding_are_where_they_belong(batch, transform, tmp_path, figures):
    plot_batch(batch, tmp_path / "batch.png", transform)
    panels = drawn(figures[0])
    own = [batch.features[i, :, :n] for i, n in enumerate(batch.feature_lengths[:8].tolist())]
    mesh = panels[0].collections[0]
    np.testing.assert_allclose(mesh.get_array().reshape(40, -1), batch.features[0].numpy())
    # one scale for all, and padding has no part in it
    assert {panel.collections[0].get_clim() for panel in panels} == {
        (min(float(x.min()) for x in own), max(float(x.max()) for x in own))
    }
    for panel, length in zip(panels, batch.feature_lengths.tolist(), strict=False):
        (hatched,) = [patch for patch in panel.patches if patch.get_hatch()]
        assert hatched.get_extents().width > 0
        assert panel.transData.inverted().transform(hatched.get_extents())[0][0] == pytest.approx(
            (length - 0.5) * 0.0125
        )
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["padding"]


def test_other_features_can_be_drawn(tmp_path, figures):
    features = torch.rand(3, 2, 5, 7)
    plot_batch(AudioBatch({"features": features}), tmp_path / "a.svg", torch.nn.Identity(), clips=2, unit="level")
    panels = [axes for axes in figures[0].axes if axes.get_visible()]
    assert len(panels) == 3
    assert panels[0].get_ylabel() == "bin"
    assert panels[0].get_xlabel() == "frame"
    assert panels[-1].get_ylabel() == "level"
    assert not figures[0].legends
    transform = Spectrogram(64, sample_rate=8000)
    collate = GPUSpecCollate(transform, device="cpu")
    plot_batch(collate([(torch.ones(1), "word")]), tmp_path / "b.png", transform)
    assert drawn(figures[1])[0].get_title() == "word"


def test_frames_and_bins_are_counted_where_there_is_no_sample_rate(tmp_path, figures):
    transform = Spectrogram(400)
    batch = GPUSpecCollate(transform, device="cpu")([torch.rand(900), torch.rand(500)])
    plot_batch(batch, tmp_path / "a.png", transform)
    panels = [axes for axes in figures[0].axes if axes.get_xlabel()]
    assert {axes.get_xlabel() for axes in panels} == {"frame"}
    assert figures[0].axes[0].get_ylabel() == "bin"
    assert figures[0].axes[0].get_xlim() == pytest.approx((-0.5, batch.features.shape[-1] - 0.5))


def test_names_stand_above_the_clips_that_have_one(tmp_path, figures):
    clips = [
        {"waveform": torch.rand(900), "path": "x/one.wav", "target": 3},
        {"waveform": torch.rand(900), "target": 4},
    ]
    transform = Spectrogram(400)
    plot_batch(GPUSpecCollate(transform, device="cpu")(clips), tmp_path / "a.png", transform)
    assert [axes.get_title() for axes in drawn(figures[0])] == ["3\none.wav", "4"]


def test_pyplot_is_left_alone(batch, transform, tmp_path):
    import matplotlib.pyplot as plt

    plot_batch(batch, tmp_path / "batch.png", transform)
    assert plt.get_fignums() == []


def test_mistakes(batch, transform, tmp_path):
    with pytest.raises(ValueError, match="clips=0 must be 1 or more"):
        plot_batch(batch, tmp_path / "a.png", transform, clips=0)
    with pytest.raises(ValueError, match=r"batch\.features is \(2, 3\)"):
        plot_batch(AudioBatch({"features": torch.ones(2, 3)}), tmp_path / "a.png", transform)
    with pytest.raises(ValueError, match=r"batch\.features is NoneType"):
        plot_batch(AudioBatch({"waveforms": torch.ones(2, 3)}), tmp_path / "a.png", transform)


def test_without_matplotlib_the_message_names_the_extra(batch, transform, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install audiofeed\[plot\]"):
        plot_batch(batch, tmp_path / "a.png", transform)
