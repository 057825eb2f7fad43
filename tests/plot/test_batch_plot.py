"""`batch.plot()`: what is drawn of a batch, by the figure's data."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate
from tests.plot.panels import drawn, mesh_of

RATE = 8000
MEL = {"sample_rate": RATE, "n_fft": 256, "hop_length": 100, "n_mels": 40}


@pytest.fixture(scope="module")
def clips():
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "waveform": torch.randn(800 * (i + 1), generator=generator) * 1e-3,
            "target": i % 3,
            "path": f"x/clip-{i}.wav",
            "sample_rate": RATE,
        }
        for i in range(5)
    ]


@pytest.fixture(scope="module")
def batch(clips):
    return GPUSpecCollate(af.LogMelSpectrogram(**MEL, log="db"), device="cpu")(clips)


def test_the_transform_is_found_by_the_batch_itself(batch, clips):
    figure = batch.plot()
    panels = drawn(figure)
    assert len(panels) == 5
    assert panels[0].get_ylabel() == "frequency (Hz)"
    assert panels[4].get_xlabel() == "time (s)"
    assert figure.axes[-1].get_ylabel() == "dB"
    for i, panel in enumerate(panels):
        np.testing.assert_array_equal(mesh_of(panel), batch.features[i].numpy())
    # a pickle is read where the collate may not live, and says no more than it knows
    arrived = pickle.loads(pickle.dumps(AudioBatch({"features": batch.features})))
    assert drawn(arrived.plot(clips=1), titled=False)[0].get_xlabel() == "frame"


def test_a_given_transform_labels_the_axes():
    features = torch.rand(1, 40, 20)
    panel = drawn(AudioBatch({"features": features}).plot(transform=af.MelSpectrogram(**MEL)), titled=False)[0]
    assert panel.get_xlim() == pytest.approx((-0.00625, 19.5 * 0.0125))
    assert (panel.get_ylabel(), panel.get_xlabel()) == ("frequency (Hz)", "time (s)")


@pytest.mark.parametrize(("most", "count"), [(1, 1), (4, 4), (5, 5), (100, 5)])
def test_clips_is_the_most_that_are_drawn(batch, most, count):
    assert len(drawn(batch.plot(clips=most))) == count


def test_classes_name_integers_and_columns(batch, clips):
    assert [axes.get_title() for axes in drawn(batch.plot(classes=["ah", "oh", "uh"]))][:2] == [
        "ah\nclip-0.wav",
        "oh\nclip-1.wav",
    ]
    many = torch.tensor([[1.0, 0.0, 1.0], [0.25, 0.0, 0.75]])
    hot = AudioBatch({"features": torch.rand(2, 4, 5), "targets": many})
    titles = [axes.get_title() for axes in drawn(hot.plot(classes=["ah", "oh", "uh"]))]
    assert titles == ["ah, uh", "0.25 ah, 0.75 uh"]
    # what is no class of these stays a number
    assert drawn(batch.plot(classes=["ah"]))[1].get_title() == "1\nclip-1.wav"
    assert drawn(AudioBatch({"features": torch.rand(1, 4, 5), "targets": torch.rand(1, 90)}).plot())[0].get_title() == (
        "float32 tensor (90,)"
    )


def test_path_writes_the_picture_and_a_notebook_gets_it(batch, tmp_path):
    path = tmp_path / "batch.png"
    figure = batch.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure)).axes[0].get_title() == figure.axes[0].get_title()
    with pytest.raises(ValueError, match=r"path='.*batch' must end in .png, .pdf or .svg"):
        batch.plot(tmp_path / "batch")
    assert [one.name for one in tmp_path.iterdir()] == ["batch.png"]
    batch.plot(tmp_path / "batch.svg")
    assert "<svg" in (tmp_path / "batch.svg").read_text()


def test_unit_is_that_of_the_transform_or_the_one_given(batch):
    assert batch.plot(unit="level").axes[-1].get_ylabel() == "level"
    assert batch.plot().axes[-1].get_ylabel() == "dB"


def test_channel_selects_one_of_several():
    features = torch.rand(2, 3, 4, 5)
    batch = AudioBatch({"features": features})
    figure = batch.plot(channel=2)
    np.testing.assert_array_equal(mesh_of(drawn(figure, titled=False)[1]), features[1, 2].numpy())
    assert figure.get_suptitle() == "channel 2 of 3"
    with pytest.raises(ValueError, match="channel=3 must be 0 to 2"):
        batch.plot(channel=3)
    waveforms = AudioBatch({"waveforms": torch.rand(1, 2, 50), "lengths": torch.tensor([50])})
    (line,) = drawn(waveforms.plot(channel=1), titled=False)[0].lines
    np.testing.assert_array_equal(line.get_ydata(), waveforms.waveforms[0, 1].numpy())
    with pytest.raises(ValueError, match="channel=-1 must be 0 to 1"):
        waveforms.plot(channel=-1)


def test_each_harmonic_has_its_own_hertz():
    transform = af.HarmonicCQT(sample_rate=RATE, harmonics=(1, 2), n_bins=24, bins_per_octave=12, f_min=100.0)
    batch = GPUSpecCollate(transform, device="cpu")([torch.randn(4000)])
    heights = []
    for channel in (0, 1):
        axes = drawn(batch.plot(channel=channel), titled=False)[0]
        labels = [text.get_text() for text in axes.get_yticklabels()]
        heights.append(dict(zip(labels, axes.get_yticks(), strict=True)))
    assert heights[0]["200"] == pytest.approx(12.5)
    assert heights[1]["200"] == pytest.approx(0.5)


def test_waveforms_are_drawn_where_there_are_no_features(clips):
    batch = PadCollate()(clips)
    figure = batch.plot(clips=2)
    panels = drawn(figure)
    seconds, values = panels[0].lines[0].get_data()
    np.testing.assert_allclose(seconds, np.arange(800) / RATE)
    np.testing.assert_array_equal(values, batch.waveforms[0, :800].numpy())
    assert (panels[0].get_xlabel(), panels[0].get_ylabel()) == ("time (s)", "amplitude")
    (hatched,) = [patch for patch in panels[0].patches if patch.get_hatch()]
    assert hatched.get_x() == pytest.approx(799.5 / RATE)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["padding"]
    unknown = AudioBatch({"waveforms": torch.rand(1, 50)})
    assert drawn(unknown.plot(), titled=False)[0].get_xlabel() == "sample"


def test_each_feature_of_a_stack_has_its_block(clips):
    stack = af.Stack(
        mel=af.LogMelSpectrogram(**MEL),
        loudness=af.RMS(frame_length=256, hop_length=100),
        spectrum=af.STFT(256, hop_length=200, sample_rate=RATE),
    )
    batch = GPUSpecCollate(stack, device="cpu")(clips)
    figure = batch.plot(clips=2)
    mel, _, loudness, _, spectrum, _ = drawn(figure)
    assert [part.get_suptitle() for part in figure.subfigs] == ["mel", "loudness", "spectrum"]
    np.testing.assert_array_equal(mesh_of(mel), batch.features["mel"][0].numpy())
    # one bin is a line, in seconds by the clips' rate, as this transform has none
    seconds, values = loudness.lines[0].get_data()
    length = int(batch.feature_lengths["loudness"][0])
    np.testing.assert_array_equal(values, batch.features["loudness"][0, 0, :length].numpy())
    np.testing.assert_allclose(seconds, np.arange(length) * 100 / RATE)
    np.testing.assert_allclose(mesh_of(spectrum), batch.features["spectrum"][0].abs().numpy(), rtol=1e-6)
    assert (mel.get_ylabel(), loudness.get_ylabel(), spectrum.get_ylabel()) == (
        "frequency (Hz)",
        "value",
        "frequency (Hz)",
    )
    units = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert units == ["ln(power)", "magnitude"]
    for panel, step in ((mel, 100), (loudness, 100), (spectrum, 200)):
        (hatched,) = [patch for patch in panel.patches if patch.get_hatch()]
        frames = 800 // step + 1
        assert hatched.get_x() == pytest.approx((frames - 0.5) * step / RATE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_any_dtype_is_drawn(dtype):
    features = torch.rand(2, 4, 5).to(dtype)
    panel = drawn(AudioBatch({"features": features}).plot(), titled=False)[0]
    want = features[0].abs() if dtype.is_complex else features[0].float()
    np.testing.assert_allclose(mesh_of(panel), want.numpy(), rtol=1e-6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_on_a_device_is_drawn():
    features = torch.rand(2, 4, 5, device="cuda", requires_grad=True)
    panel = drawn(AudioBatch({"features": features}).plot(), titled=False)[0]
    np.testing.assert_array_equal(mesh_of(panel), features[0].detach().cpu().numpy())


def test_features_that_train_are_drawn_and_still_train(clips):
    transform = af.LogMelSpectrogram(**MEL, trainable_mel=True)
    batch = GPUSpecCollate(transform, device="cpu")(clips)
    batch.plot(clips=1)
    batch.features.sum().backward()
    assert transform.mel.grad is not None


@pytest.mark.parametrize("shape", [(1, 4, 0), (2, 4, 0), (2, 1, 0), (1, 0, 5)])
def test_nothing_to_draw_is_said(shape):
    panel = drawn(AudioBatch({"features": torch.zeros(shape)}).plot(), titled=False)[0]
    assert [text.get_text() for text in panel.texts] == ["no frames"]


def test_a_clip_without_own_frames_is_all_padding():
    fields = {"features": torch.ones(2, 4, 6), "feature_lengths": torch.tensor([0, 6])}
    panel = drawn(AudioBatch(fields).plot(), titled=False)[0]
    (hatched,) = [patch for patch in panel.patches if patch.get_hatch()]
    assert (hatched.get_x(), hatched.get_x() + hatched.get_width()) == pytest.approx((-0.5, 5.5))
    empty = {"features": torch.zeros(1, 4, 6), "feature_lengths": torch.tensor([0])}
    assert drawn(AudioBatch(empty).plot(), titled=False)[0].collections[0].get_clim() == (0.0, 1.0)


def test_values_that_are_not_finite_are_counted_and_stay_out_of_the_scale():
    features = torch.tensor([[[0.0, 1.0, -torch.inf], [2.0, torch.nan, 3.0]]])
    panel = drawn(AudioBatch({"features": features}).plot(), titled=False)[0]
    assert panel.get_title() == "2 values are not finite"
    assert panel.collections[0].get_clim() == (0.0, 3.0)


def test_features_by_number_and_by_name_of_a_tuple():
    pair = (torch.rand(2, 3, 4), torch.rand(2, 5, 4))
    figure = AudioBatch({"features": pair, "waveforms": torch.rand(2, 9)}).plot()
    assert [part.get_suptitle() for part in figure.subfigs] == ["0", "1"]


def test_mistakes_are_said(batch):
    with pytest.raises(ValueError, match="clips=0 must be 1 or more"):
        batch.plot(clips=0)
    with pytest.raises(ValueError, match=r"batch\.features is \(2, 3\)"):
        AudioBatch({"features": torch.ones(2, 3)}).plot()
    with pytest.raises(ValueError, match=r"batch\.features\['a'\] is \(2, 3\)"):
        AudioBatch({"features": {"a": torch.ones(2, 3)}}).plot()
    with pytest.raises(ValueError, match=r"batch\.features is None and batch\.waveforms is None"):
        AudioBatch({"lengths": torch.tensor([3])}).plot()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"clips": 2.5}, ValueError, r"clips=2\.5 must be 1 or more"),
        ({"channel": "left"}, TypeError, "channel='left' must be an integer"),
        ({"classes": {"cat": 0}}, TypeError, r"classes=\{'cat': 0\} must be a list of names .* give dataset\.classes"),
        ({"classes": "abc"}, TypeError, "classes='abc' must be a list of names"),
        ({"classes": 3}, TypeError, "classes=3 must be a list of names"),
        ({"unit": 3}, TypeError, "unit=3 must be a string"),
        ({"path": 3}, TypeError, "path=3 must be the path of a file"),
        ({"path": "a.xyz"}, ValueError, "path='a.xyz' must end in .png, .pdf or .svg"),
        ({"transform": 3}, TypeError, "transform=3 must be the module that computed the features"),
        (
            {"transform": af.LogMelSpectrogram(**{**MEL, "sample_rate": 16_000})},
            ValueError,
            "has sample_rate=16000 and the batch 8000, so that its seconds and Hz would be wrong",
        ),
    ],
)
def test_wrong_arguments_are_said_by_name(batch, arguments, error, message):
    with pytest.raises(error, match=message):
        batch.plot(**arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"n_mels": 41},
            "transform=LogMelSpectrogram must be the one .* it has 41 bins and they have 40, so that its Hz",
        ),
        ({"hop_length": 80}, r"it makes \[11, 21, 31\] frames of the first clips, and they have \[9, 17"),
    ],
)
@pytest.mark.parametrize("layout", ["bins_frames", "frames_bins"])
def test_a_transform_of_other_shapes_labels_no_axes(clips, settings, message, layout):
    mel = af.LogMelSpectrogram(**MEL)
    batch = GPUSpecCollate(mel, device="cpu", layout=layout)(clips)
    assert drawn(batch.plot(transform=mel))[0].get_ylabel() == "frequency (Hz)"
    with pytest.raises(ValueError, match=message):
        batch.plot(transform=af.LogMelSpectrogram(**{**MEL, **settings}))
    stacked = GPUSpecCollate(af.Stack(a=mel, b=af.MelSpectrogram(**MEL)), device="cpu", layout=layout)(clips)
    with pytest.raises(ValueError, match=message):
        stacked.plot(transform=af.Stack(a=mel, b=af.LogMelSpectrogram(**{**MEL, **settings})))


def test_what_has_no_values_is_not_drawn(batch, clips):
    for fields in (batch.to("meta"), PadCollate()(clips).to("meta")):
        with pytest.raises(ValueError, match=r"batch\.\w+ is on the meta device, which has shapes without values"):
            fields.plot()


def test_without_matplotlib_the_message_names_the_extra(batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"batch\.plot\(\) needs matplotlib: pip install audiofeed\[plot\]"):
        batch.plot()


def test_pyplot_is_left_alone(batch):
    import matplotlib.pyplot as plt

    batch.plot()
    assert plt.get_fignums() == []
