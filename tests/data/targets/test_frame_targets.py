"""FrameTargets: labels at a frame rate follow the crop, from every source, and are taken to the features' frames."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import audiofeed as af

RATE, HOP = 8000, 80
LENGTHS = {"a.wav": 8000, "b.wav": 12345, "c.wav": 3000}


def roll(name: str, bins: int = 5) -> np.ndarray:
    """A piano roll with a value for each hop, the frames of `center=True`: each value tells where it stands."""
    frames = LENGTHS[name] // HOP + 1
    return (np.arange(frames) + 1000 * np.arange(bins)[:, None]).astype(np.int64)


@pytest.fixture
def root(write_pcm, tmp_path):
    for name, samples in LENGTHS.items():
        write_pcm(f"set/{name}", samples, rate=RATE)
        np.save(tmp_path / "set" / name.replace(".wav", ".npy"), roll(name))
    return tmp_path / "set"


def collated(dataset, epoch=0, transform=None):
    collate = af.GPUSpecCollate(transform or af.Spectrogram(256, hop_length=HOP), device="cpu")
    return collate([dataset[epoch, i] for i in range(len(dataset))])


SOURCES = {
    "beside": lambda root, s: af.AudioFolder(root, target=af.FrameTargets(frame_rate=RATE / HOP, source=".npy", **s)),
    "function": lambda root, s: af.AudioFolder(
        root,
        target=af.FrameTargets(frame_rate=RATE / HOP, source=lambda path: roll(path.rpartition("/")[2]), **s),
        extensions=".wav",
    ),
    "paths": lambda root, s: af.AudioManifest(
        [{"path": name, "label": name.replace(".wav", ".npy")} for name in LENGTHS],
        root=root,
        target_type=af.FrameTargets(frame_rate=RATE / HOP, **s),
    ),
    "lists": lambda root, s: af.AudioManifest(
        _written(root, [{"path": name, "target": roll(name).tolist()} for name in LENGTHS]),
        target_type=af.FrameTargets(frame_rate=RATE / HOP, **s),
    ),
}


def _written(root, rows):
    path = root / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_a_whole_clip_has_its_labels_value_for_value(root, source):
    batch = collated(SOURCES[source](root, {"fill": -1}))
    assert batch.targets.shape == (3, 5, batch.features.shape[-1])
    for row, name in enumerate(LENGTHS):
        expected = torch.from_numpy(roll(name))
        count = int(batch.feature_lengths[row])
        assert torch.equal(batch.targets[row, :, :count], expected[:, :count])
        assert (batch.targets[row, :, count:] == -1).all()
    assert batch.targets.dtype == torch.int64


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("first_frame", ["centered", "inside"])
def test_a_crop_on_the_grid_has_its_part_of_the_labels(root, pad, first_frame):
    inside = first_frame == "inside"
    settings = af.FrameTargets(frame_rate=RATE / HOP, source=".npy", fill=-1)
    data = af.AudioFolder(root, target=settings, crop=af.RandomCrop(samples=4000, grid=HOP, pad=pad))
    transform = af.Spectrogram(2 * HOP, hop_length=HOP, center=not inside)
    seen = set()
    for epoch in range(40):
        batch = collated(data, epoch, transform)
        for row, name in enumerate(LENGTHS):
            example = data[epoch, row]
            begin = example.start_sample // HOP + inside
            samples = round(example.duration * RATE)
            seen.add(begin)
            own = min(int(batch.feature_lengths[row]), samples // HOP + 1 - inside)
            expected = torch.from_numpy(roll(name))[:, begin : begin + own]
            assert torch.equal(batch.targets[row, :, : expected.shape[1]], expected)
            # the hop in which a short recording ends has its last label, and what follows none
            assert (batch.targets[row, :, own + 1 :] == -1).all()
    assert len(seen) > 30


def test_a_crop_off_the_grid_has_the_nearest_label(root):
    data = af.AudioFolder(root, target=af.FrameTargets(frame_rate=RATE / HOP, source=".npy"), crop=af.RandomCrop(0.2))
    for epoch in range(40):
        batch = collated(data, epoch)
        for row in range(3):
            start = data[epoch, row].start_sample
            places = (start + HOP * np.arange(int(batch.feature_lengths[row]))) / HOP
            nearest = np.minimum(np.floor(places + 0.5), roll(list(LENGTHS)[row]).shape[1] - 1)
            assert batch.targets[row, 0, : len(places)].tolist() == nearest.tolist()


def test_labels_at_another_rate(root):
    """A pitch curve at 250 Hz, known at any time, between its labels too."""
    rate = 250.0

    def curve(path):
        return np.arange(int(np.ceil(LENGTHS[path.rpartition("/")[2]] / RATE * rate)) + 1) / rate

    settings = af.FrameTargets(frame_rate=rate, source=curve, resample="linear")
    data = af.AudioFolder(root, extensions=".wav", target=settings, crop=af.RandomCrop(0.3), sample_rate=11025)
    batch = collated(data, transform=af.Spectrogram(512, hop_length=110, center=False))
    for row in range(3):
        count = int(batch.feature_lengths[row])
        expected = data[0, row].start + (256 + 110 * np.arange(count)) / 11025
        assert np.abs(batch.targets[row, :count].numpy() - expected).max() < 1e-6
    assert batch.targets.dtype == torch.float32


def test_the_largest_label_of_a_frame_is_kept(root):
    """One label in a thousand a second is set: nearest loses most of them, the largest none."""

    def sparse(path):
        found = np.zeros(LENGTHS[path.rpartition("/")[2]] + 1, dtype=bool)
        found[333::1000] = True
        return found

    for resample, kept in (("max", 8 + 13 + 3), ("nearest", 0)):
        settings = af.FrameTargets(frame_rate=RATE, source=sparse, resample=resample)
        batch = collated(af.AudioFolder(root, extensions=".wav", target=settings))
        marked = torch.nonzero(batch.targets[0]).flatten().tolist()
        assert int(batch.targets.sum()) == kept
        assert marked == [(p + 40) // HOP for p in range(333, 8000, 1000)] * bool(kept)


def test_where_the_first_label_stands_and_the_axis_of_time(root):
    """Labels that stand for stretches, time first."""
    settings = af.FrameTargets(
        frame_rate=RATE / HOP, source=lambda path: roll(path.rpartition("/")[2]).T, time_axis=0, first=0.5 * HOP / RATE
    )
    batch = collated(af.AudioFolder(root, extensions=".wav", target=settings))
    # centers lie on the borders of the stretches: the later one counts
    assert torch.equal(batch.targets[0, :, :100], torch.from_numpy(roll("a.wav"))[:, :100])
    moved = collated(
        af.AudioFolder(root, extensions=".wav", target=settings),
        transform=af.Spectrogram(HOP, hop_length=HOP, center=False),
    )
    assert torch.equal(moved.targets[0, :, :100], torch.from_numpy(roll("a.wav"))[:, :100])


def test_parts_with_labels_of_their_own(root):
    rows = [{"path": "b.wav", "start": 0.5, "duration": 0.5, "target": [7, 8, 9, 10, 11, 12]}]
    data = af.AudioManifest(rows, root=root, target_type=af.FrameTargets(frame_rate=10.0, origin="part"))
    batch = collated(data, transform=af.Spectrogram(256, hop_length=800))
    assert batch.targets.tolist() == [[7, 8, 9, 10, 11, 12]]


def test_wrong_labels_are_named(root, tmp_path):
    def made(labels, **settings):
        rows = [{"path": "a.wav", "target": labels}]
        return af.AudioManifest(rows, root=root, target_type=af.FrameTargets(**{"frame_rate": 100.0, **settings}))

    with pytest.raises(
        ValueError, match=r"row 1 of the list: 40 labels .* end at 0\.390 s, and the recording at 1\.000 s"
    ):
        made([0] * 40)
    with pytest.raises(ValueError, match=r"101 labels .* at frame_rate=50 end at 2\.000 s"):
        made([0] * 101, frame_rate=50.0)
    with pytest.raises(ValueError, match="the labels are of type"):
        made(["a"] * 101)
    with pytest.raises(ValueError, match="are empty"):
        made([])
    with pytest.raises(ValueError, match="have no axis 1"):
        made([0] * 101, time_axis=1)
    with pytest.raises(ValueError, match=r"row 1 of the list: .* must be a \.npy file or a list of numbers"):
        made("a.mat")
    with pytest.raises(FileNotFoundError, match=r"row 1 of the list: the file of labels '.*none\.npy' does not exist"):
        made("none.npy")
    (root / "bad.npy").write_bytes(b"\x93NUMPYxx")
    with pytest.raises(ValueError, match=r"row 1 of the list: the labels '.*bad\.npy' cannot be read"):
        made("bad.npy")
    np.save(root / "objects.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy' cannot be read"):
        made("objects.npy")
    with pytest.raises(ValueError, match="has no source"):
        af.AudioFolder(root, extensions=".wav", target=af.FrameTargets(frame_rate=100.0))
    late = af.AudioFolder(
        root, extensions=".wav", target=af.FrameTargets(frame_rate=100.0, source=lambda path: [0] * 40)
    )
    with pytest.raises(ValueError, match=r"40 labels .* end at 0\.390 s, and the waveform at 1\.000 s"):
        late[0]


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"frame_rate": 0.0}, "frame_rate=0.0 must be"),
        ({"frame_rate": float("nan")}, "frame_rate=nan"),
        ({"frame_rate": "100"}, "frame_rate='100' must be a finite number"),
        ({"frame_rate": 1.0, "first": None}, "first=None must be a finite number"),
        ({"frame_rate": 1.0, "first": float("inf")}, "first=inf"),
        ({"frame_rate": 1.0, "resample": "mean"}, "resample='mean'"),
        ({"frame_rate": 1.0, "origin": "row"}, "origin='row'"),
        ({"frame_rate": 1.0, "source": ".mat"}, "source='.mat'"),
    ],
)
def test_settings_that_are_none(settings, rule):
    with pytest.raises(ValueError, match=rule):
        af.FrameTargets(**settings)


def test_a_file_of_labels_is_read_by_its_part(root, monkeypatch):
    modes = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **how: (modes.append(how), load(path, **how))[1])
    data = af.AudioFolder(root, target=af.FrameTargets(frame_rate=100.0, source=".npy"), crop=af.RandomCrop(0.1))
    cut = data[0].target
    assert cut.values.shape[-1] <= 13
    assert all(how["mmap_mode"] == "r" and not how["allow_pickle"] for how in modes)
