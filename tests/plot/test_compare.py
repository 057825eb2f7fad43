"""`af.plot.compare`: both sides, their difference and the errors in its title."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.feed import AudioBatch
from tests.plot.panels import mesh_of

RATE = 8000


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def mel(**settings):
    return af.LogMelSpectrogram(**{"sample_rate": RATE, "n_fft": 256, "hop_length": 100, "n_mels": 32, **settings})


def errors(title: str) -> tuple[float, float]:
    """The largest and the relative error that a title has."""
    largest, relative = title.splitlines()[1].removeprefix("largest ").split(", relative L2 ")
    return float(largest), float(relative)


def test_two_transforms_of_one_waveform():
    one, other = mel(), mel(floor=1e-6, mel_scale="htk")
    waveform = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    figure = af.plot.compare(one, other, waveform=waveform)
    a, b, difference = panels(figure)
    first, second = one(waveform).double().numpy(), other(waveform).double().numpy()
    np.testing.assert_allclose(mesh_of(a), first)
    np.testing.assert_allclose(mesh_of(b), second)
    np.testing.assert_allclose(mesh_of(difference), second - first, atol=1e-12)
    want = np.abs(second - first).max(), np.linalg.norm(second - first) / np.linalg.norm(first)
    assert errors(difference.get_title()) == pytest.approx(want, rel=1e-2)
    assert difference.get_title().startswith("b - a\n")
    # one scale for both, and one about 0 for what differs
    assert a.collections[0].get_clim() == b.collections[0].get_clim()
    assert difference.collections[0].get_clim() == pytest.approx((-want[0], want[0]))
    assert a.get_title() == "a: LogMelSpectrogram\nmel_scale='slaney'\nfloor=1e-10"
    assert b.get_title() == "b: LogMelSpectrogram\nmel_scale='htk'\nfloor=1e-06"
    assert {axes.get_xlabel() for axes in panels(figure)} == {"time (s)"}
    # a bin stands for other frequencies in the two
    assert [axes.get_ylabel() for axes in panels(figure)] == ["frequency (Hz)", "frequency (Hz)", "bin"]
    bars = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert bars == ["ln(power)", "ln(power)", "difference"]


def test_without_a_waveform_both_are_given_the_same_sound_every_time():
    figure, again = (af.plot.compare(mel(), mel(method="conv")) for _ in range(2))
    a, b, difference = panels(figure)
    assert mesh_of(a).shape == (32, 161)
    assert a.get_xlim() == pytest.approx((-0.00625, 160.5 * 0.0125))
    np.testing.assert_array_equal(mesh_of(a), mesh_of(panels(again)[0]))
    largest, relative = errors(difference.get_title())
    assert 0 < largest < 1e-2
    assert 0 < relative < 1e-5
    assert b.get_title() == "b: LogMelSpectrogram\nmethod='conv'"
    # the rising tone goes through every band
    assert len(np.unique(mesh_of(a).argmax(axis=0))) > 25


def test_the_sound_has_the_rate_of_the_transforms():
    a, _, _ = panels(af.plot.compare(mel(sample_rate=16000), mel(sample_rate=16000)))
    assert mesh_of(a).shape == (32, 321)
    a, _, _ = panels(af.plot.compare(af.Spectrogram(256, hop_length=100), torch.zeros(129, 321)))
    assert a.get_xlabel() == "frame"


def test_a_transform_against_an_array_of_somebody_elses():
    transform, waveform = mel(), torch.randn(2000)
    reference = transform(waveform).numpy()
    reference[3, 4] += 0.5
    figure = af.plot.compare(reference, transform, waveform=waveform, names=("reference", "ours"))
    a, b, difference = panels(figure)
    assert (a.get_title(), b.get_title()) == ("reference", "ours")
    assert errors(difference.get_title())[0] == pytest.approx(0.5, rel=1e-2)
    assert np.unravel_index(np.abs(mesh_of(difference)).argmax(), mesh_of(difference).shape) == (3, 4)
    # features have the axes of what they are compared with
    assert a.get_ylabel() == "frequency (Hz)"
    assert difference.get_ylabel() == "frequency (Hz)"


def test_the_same_clip_of_two_batches_without_its_padding():
    clips = [torch.randn(n) for n in (3000, 1000)]
    one = af.GPUSpecCollate(mel(), device="cpu")(clips)
    other = af.GPUSpecCollate(mel(floor=1e-3), device="cpu", layout="frames_bins")(clips)
    a, b, difference = panels(af.plot.compare(one, other, clip=1))
    np.testing.assert_allclose(mesh_of(a), one.features[1, :, :11])
    np.testing.assert_allclose(mesh_of(b), other.features[1, :11].T)
    assert errors(difference.get_title())[0] == pytest.approx(float((mesh_of(b) - mesh_of(a)).max()), rel=1e-2)
    assert (a.get_title(), a.get_xlabel()) == ("a: batch\nfloor=1e-10", "time (s)")
    with pytest.raises(ValueError, match="clip=2 must be 0 to 1: a has 2 clips"):
        af.plot.compare(one, other, clip=2)


def test_channels():
    one, other = torch.rand(3, 4, 5), torch.rand(3, 4, 5)
    a, b, _ = panels(af.plot.compare(one, other, channel=2))
    np.testing.assert_allclose(mesh_of(a), one[2])
    np.testing.assert_allclose(mesh_of(b), other[2])
    with pytest.raises(ValueError, match="channel=3 must be 0 to 2"):
        af.plot.compare(one, other, channel=3)
    stereo = torch.randn(2, 2000)
    a, _, _ = panels(af.plot.compare(mel(), mel(), waveform=stereo, channel=1))
    np.testing.assert_allclose(mesh_of(a), mel()(stereo[1]), atol=1e-5)


def test_complex_features_differ_by_the_magnitude_of_their_difference():
    one = torch.polar(torch.ones(4, 5), torch.zeros(4, 5))
    other = torch.polar(torch.ones(4, 5), torch.full((4, 5), torch.pi))
    a, b, difference = panels(figure := af.plot.compare(one, other))
    np.testing.assert_allclose(mesh_of(a), mesh_of(b), rtol=1e-6)
    np.testing.assert_allclose(mesh_of(difference), 2.0, rtol=1e-6)
    assert difference.get_title() == "|b - a|\nlargest 2, relative L2 2"
    bars = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert bars == ["magnitude", "magnitude", "difference"]


def test_each_feature_of_a_stack_has_a_row():
    def stack(**settings):
        return af.Stack(mel=mel(**settings), rms=af.RMS(frame_length=256, hop_length=100))

    figure = af.plot.compare(stack(), stack(offset=1e-4))
    titles = [axes.get_title().splitlines()[0] for axes in panels(figure)]
    assert titles == ["mel, a: Stack", "mel, b: Stack", "mel, b - a", "rms, a: Stack", "rms, b: Stack", "rms, b - a"]
    assert panels(figure)[5].get_title().splitlines()[1] == "largest 0, relative L2 0"
    (line,) = panels(figure)[3].lines
    assert len(line.get_ydata()) == 161
    with pytest.raises(ValueError, match=r"a has the features 'mel', 'rms', and b \(one without a name\)"):
        af.plot.compare(stack(), mel())


def test_unit_and_path(tmp_path):
    path = tmp_path / "compared.png"
    figure = af.plot.compare(mel(), mel(), path, unit="level")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"][:2] == ["level", "level"]


def test_values_that_are_not_finite_are_counted():
    one = torch.tensor([[1.0, -torch.inf, 2.0], [1.0, 2.0, 2.0]])
    title = panels(af.plot.compare(one, one.clone()))[2].get_title()
    assert title == "b - a\nlargest 0, relative L2 0\n1 values are not finite"
    assert panels(af.plot.compare(torch.zeros(2, 3), torch.ones(2, 3)))[2].get_title().endswith("relative L2 inf")
    empty = torch.zeros(3, 0)
    assert panels(af.plot.compare(empty, empty))[2].get_title() == "b - a\nno frames"


def test_a_waveform_may_be_an_array():
    clip = torch.randn(800, generator=torch.Generator().manual_seed(1))
    figure = af.plot.compare(mel(), mel()(clip), waveform=clip.numpy())
    assert errors(figure.axes[2].get_title())[0] == 0


def test_mistakes_are_said():
    for names in ("ab", ("a",), ("a", "b", "c")):
        with pytest.raises(ValueError, match=r"names=.* must be two names, of a and of b"):
            af.plot.compare(mel(), mel(), names=names)
    with pytest.raises(ValueError, match=r"a \(features\) is 4 x 5 \(bins x frames\), and b \(features\) 4 x 6"):
        af.plot.compare(torch.ones(4, 5), torch.ones(4, 6))
    with pytest.raises(ValueError, match=r"a \(LogMelSpectrogram\) is 32 x 161 .* and b .* 40 x 161"):
        af.plot.compare(mel(), mel(n_mels=40))
    with pytest.raises(ValueError, match="a has sample_rate=8000, and b 16000"):
        af.plot.compare(mel(), mel(sample_rate=16000))
    with pytest.raises(TypeError, match="a is a int, and must be a transform, an AudioBatch, or features"):
        af.plot.compare(3, torch.ones(4, 5))
    with pytest.raises(TypeError, match="b=AmplitudeToDB takes features; compare transforms of waveforms"):
        af.plot.compare(mel(), af.AmplitudeToDB())
    with pytest.raises(ValueError, match=r"waveform is \(2, 3, 4\), and must be a real tensor"):
        af.plot.compare(mel(), mel(), waveform=torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match=r"b is \(5,\), and must be \(bins, frames\)"):
        af.plot.compare(torch.ones(4, 5), torch.ones(5))
    with pytest.raises(ValueError, match="a is a batch without features"):
        af.plot.compare(AudioBatch({"waveforms": torch.ones(2, 9)}), torch.ones(4, 5))
    with pytest.raises(ValueError, match=r"a is \(2, 9\), and must be \(batch, \[channel,\] bins, frames\)"):
        af.plot.compare(AudioBatch({"features": torch.ones(2, 9)}), torch.ones(4, 5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"unit": 3}, TypeError, "unit=3 must be a string"),
        ({"clip": "a"}, ValueError, "clip='a' must be an integer"),
        ({"channel": 1.5}, ValueError, "channel=1.5 must be an integer"),
        ({"names": 3}, ValueError, "names=3 must be two names"),
        ({"names": (1, 2)}, ValueError, r"names=\(1, 2\) must be two names"),
    ],
)
def test_wrong_arguments_are_said_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        af.plot.compare(torch.ones(3, 4), torch.ones(3, 4), **arguments)


def test_what_has_no_values_is_not_compared():
    with pytest.raises(ValueError, match=r"b=LogMelSpectrogram is on the meta device .*to_empty"):
        af.plot.compare(mel(), copy.deepcopy(mel()).to("meta"))
    with pytest.raises(ValueError, match="b is on the meta device"):
        af.plot.compare(torch.ones(3, 4), torch.ones(3, 4, device="meta"))


def test_without_matplotlib_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"af\.plot\.compare needs matplotlib: pip install audiofeed\[plot\]"):
        af.plot.compare(torch.ones(4, 5), torch.ones(4, 5))
