"""AddBackground: the ratio over true lengths, the piece that the seed draws, files that are read in part."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import soundfile
import torch
from scipy import stats
from torch.utils.data import ConcatDataset, Subset

import audiofeed as af
from audiofeed.augment import AddBackground, Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.noise import background
from audiofeed.data.clips import example_loader

RATE = 16_000
COUNTS = (20_000, 3_000, 7, 9_000)


def tones(channels: int = 1, counts=COUNTS) -> list[torch.Tensor]:
    """Noises of 16 bits, of which no two pieces are alike."""
    made = []
    for n in counts:
        noise = 3000 * torch.randn(channels, n, generator=torch.Generator().manual_seed(n))
        made.append(noise.round().to(torch.int16)[0 if channels == 1 else slice(None)])
    return made


def batch(lengths, size=None, channels: int | None = None) -> Clips:
    shape = (len(lengths),) if channels is None else (len(lengths), channels)
    waveforms = torch.zeros(*shape, size or max(lengths))
    for row, n in enumerate(lengths):
        generator = torch.Generator().manual_seed(row)
        waveforms[row, ..., :n] = 0.1 * torch.randn(*shape[1:], n, generator=generator)
    return Clips(waveforms, torch.tensor(lengths), torch.arange(len(lengths)) + 40, RATE)


def defined(augmentation: AddBackground, given: Clips, sounds: list[torch.Tensor]) -> np.ndarray:
    """The augmentation in float64, clip by clip, from what was drawn."""
    draws = Draws(given.seeds, "AddBackground")
    active = draws.chosen(augmentation.p)
    choice = augmentation.drawn(draws)
    result = given.waveforms.double().numpy().copy()
    for row, n in enumerate(given.lengths.tolist()):
        if not active[row]:
            continue
        sound = sounds[int(choice.sound[row])].double().numpy()
        if sounds[0].dtype == torch.int16:
            sound /= 2**15
        clip, place = result[row, ..., :n], float(choice.place[row])
        if sound.ndim == 2 and sound.shape[0] != (1 if clip.ndim == 1 else clip.shape[0]):
            sound = sound.mean(0)
        count = sound.shape[-1]
        if count >= n:
            start = min(int(place * (count - n + 1)), count - n)
            piece = sound[..., start : start + n]
        elif augmentation.short == "repeat":
            piece = sound[..., (int(place * count) + np.arange(n)) % count]
        else:
            before = min(int(place * (n - count + 1)), n - count)
            piece = np.zeros((*sound.shape[:-1], n))
            piece[..., before : before + count] = sound
        piece = np.broadcast_to(piece, clip.shape)
        gain = np.sqrt((clip**2).mean() / (piece**2).mean() * 10 ** (-float(choice.snr_db[row]) / 10))
        result[row, ..., :n] += gain * piece
    return result


@pytest.mark.parametrize("looks", [True, False], ids=["by clip", "at once"])
@pytest.mark.parametrize("keep", [None, "device"])
@pytest.mark.parametrize("short", ["repeat", "pad"])
@pytest.mark.parametrize(("channels", "of_sounds"), [(None, 1), (2, 1), (2, 2), (None, 2), (3, 2)])
def test_it_is_the_definition_in_float64(short, keep, channels, of_sounds, looks, monkeypatch):
    if not looks:
        monkeypatch.setattr(background, "may_look", lambda clips: False)
    sounds = tones(of_sounds)
    augmentation = AddBackground(sounds, (0, 20), short=short, keep=keep, p=0.9)
    given = batch([9_000, 4_321, 1, 20_000, 25_000, 6_000, 7], size=30_000, channels=channels)
    after = augmentation.run(given)
    expected = defined(augmentation, given, sounds)
    assert np.abs(after.waveforms.numpy() - expected).max() < 2e-6
    assert (after.waveforms != given.waveforms).flatten(1).any(1).sum() >= 5


@pytest.mark.parametrize("channels", [None, 2])
def test_the_ratio_holds_over_true_lengths_in_a_batch_padded_eightfold(channels):
    given = batch([6_000, 48_000, 6_000, 6_000], channels=channels)
    after = AddBackground(tones(), 10.0).run(given)
    added = (after.waveforms - given.waveforms).double()
    for row, n in enumerate(given.lengths.tolist()):
        signal = given.waveforms[row, ..., :n].double().square().mean()
        ratio = 10 * (signal / added[row, ..., :n].square().mean()).log10()
        assert abs(float(ratio) - 10.0) < 0.01
        assert not after.waveforms[row, ..., n:].any()


def test_draws_have_the_documented_distribution():
    augmentation = AddBackground(tones(), (-5.0, 15.0))
    choice = augmentation.drawn(Draws(torch.arange(1000), "AddBackground"))
    assert stats.chisquare(torch.bincount(choice.sound, minlength=4).numpy()).pvalue > 1e-3
    assert stats.kstest(choice.snr_db.numpy(), stats.uniform(-5, 20).cdf).pvalue > 1e-3
    assert stats.kstest(choice.place.numpy(), "uniform").pvalue > 1e-3
    assert len(choice.epoch.unique()) == 1000
    assert choice.epoch.min() >= 0


def test_silence_adds_nothing_and_gives_no_nan():
    given = batch([5_000, 5_000])
    silent_clip = given.waveforms.clone()
    silent_clip[0] = 0
    silent_clip.requires_grad_()
    for keep in (None, "device"):
        after = AddBackground([torch.zeros(100)], 0.0, keep=keep).run(given)
        assert torch.equal(after.waveforms, given.waveforms)
        after = AddBackground(tones(), 0.0, keep=keep).run(given.with_values(waveforms=silent_clip))
        assert not after.waveforms[0].any()
        assert (after.waveforms[1] != given.waveforms[1]).any()
        (gradient,) = torch.autograd.grad(after.waveforms.square().sum(), silent_clip)
        assert gradient.isfinite().all()


def test_the_gradient_is_that_of_the_definition():
    augmentation = AddBackground([torch.randn(50, dtype=torch.float64).float()], 3.0, keep="device")
    lengths, seeds = torch.tensor([20, 9]), torch.tensor([1, 2])
    x = torch.randn(2, 20, dtype=torch.float64)
    x[1, 9:] = 0

    def cleared(x):
        own = torch.arange(20) < lengths[:, None]
        return augmentation(torch.where(own, x, 0), lengths, seeds)

    assert torch.autograd.gradcheck(cleared, x.requires_grad_(), atol=1e-4)


@pytest.fixture
def folder(tmp_path):
    for n in COUNTS:
        soundfile.write(tmp_path / f"{n:05}.wav", tones(counts=[n])[0].numpy(), RATE, subtype="PCM_16")
    return tmp_path


def test_folders_parts_and_joined_datasets_are_read_as_tensors_are(folder):
    given = batch([9_000, 4_321, 1, 20_000, 25_000, 6_000])
    sounds = tones(counts=sorted(COUNTS))
    expected = AddBackground(sounds, (0, 20)).run(given).waveforms
    whole = af.AudioFolder(folder)
    forms = [
        whole,
        whole.select(range(4)),
        Subset(whole, [0, 1, 2, 3]),
        ConcatDataset([whole.select([0]), Subset(whole, [1, 2, 3])]),
        [(sound, RATE) for sound in sounds],
        [(sound.numpy(), RATE, "rain") for sound in sounds],
        [{"audio": {"array": sound.numpy(), "sampling_rate": RATE}} for sound in sounds],
        [af.AudioExample(sound, RATE) for sound in sounds],
    ]
    for form in forms:
        for keep in (None, "device"):
            augmentation = pickle.loads(pickle.dumps(AddBackground(form, (0, 20), keep=keep)))
            assert torch.equal(augmentation.run(given).waveforms, expected)
            assert torch.equal(augmentation.run(given).waveforms, expected)  # whenever it is asked


def test_of_a_long_file_the_piece_alone_is_read(folder, monkeypatch):
    asked, whole = [], example_loader.read

    def read(path, start, count, info=None):
        asked.append(count)
        return whole(path, start, count, info=info)

    monkeypatch.setattr(example_loader, "read", read)
    fetch = AddBackground(af.AudioFolder(folder).select([3]), 10.0, p=0.5).fetcher()
    seeds = torch.arange(20)
    active = Draws(seeds, "AddBackground").chosen(0.5)
    found = fetch(seeds, torch.full((20,), 500), RATE, None)
    assert asked == [500] * int(active.sum())
    assert found["sounds"].dtype == torch.int16
    assert found["sounds"].shape == (int(active.sum()), 1, 500)


def test_another_rate_is_an_error_that_says_what_to_do(folder):
    given = batch([500]).with_values(sample_rate=8000)
    for keep in (None, "device"):
        with pytest.raises(ValueError, match=r"sounds of 16000 Hz, and the clips have 8000 Hz: .*sample_rate="):
            AddBackground(af.AudioFolder(folder), keep=keep).run(given)
        AddBackground(af.AudioFolder(folder, sample_rate=8000), keep=keep).run(given)
    with pytest.raises(ValueError, match=r"\[8000, 16000\] Hz"):
        AddBackground([(torch.zeros(9), 8000), (torch.zeros(9), 16_000)], keep="device")


class Clicks(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        noise = torch.randn(2_000 + index, generator=torch.Generator().manual_seed(index))
        return af.AudioExample(0.1 * noise, RATE, seed=index + 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_file_is_replaced_and_named_in_the_batch(folder, workers):
    skipping, raising = (af.AudioFolder(folder, on_error=how) for how in ("skip", "raise"))
    (folder / "20000.wav").unlink()
    nested = af.augment.Compose([af.augment.Dither(0.01), AddBackground(skipping, 10.0)])
    for augment in (AddBackground(skipping, 10.0), nested):
        collate = af.GPUSpecCollate(af.Spectrogram(64), device="cpu", augment=augment)
        (made,) = torch.utils.data.DataLoader(Clicks(), batch_size=8, collate_fn=collate, num_workers=workers)
        assert {fault.path for fault in made.faults} == {str(folder / "20000.wav")}
        assert made.features.isfinite().all()
    collate = af.GPUSpecCollate(af.Spectrogram(64), device="cpu", augment=AddBackground(raising, 10.0))
    with pytest.raises(af.AudioReadError, match=r"20000\.wav"):
        list(torch.utils.data.DataLoader(Clicks(), batch_size=8, collate_fn=collate, num_workers=workers))
    with pytest.warns(UserWarning, match=r"in place of 1 that cannot be read; the first: .*20000\.wav"):
        AddBackground(skipping, keep="device")
    with pytest.warns(UserWarning, match=r"20000\.wav"):
        AddBackground(skipping).run(batch([100] * 9))


def test_a_clip_that_became_longer_hears_its_piece_again(monkeypatch):
    given = batch([400, 300])
    augmentation = AddBackground(tones(counts=[9_000]), 0.0)
    fetched = augmentation.fetcher()(given.seeds, given.lengths, RATE, None)
    longer = batch([700, 200], size=800).with_values(fetched=fetched)
    added = augmentation.run(longer).waveforms - longer.waveforms
    piece = fetched["sounds"][0, 0].float()
    expected = torch.cat([piece, piece])[:700]
    scale = added[0, 0] / expected[0]
    assert (added[0, :700] - scale * expected).abs().max() < 1e-4 * added.abs().max()
    monkeypatch.setattr(background, "may_look", lambda clips: False)
    at_once = augmentation.run(longer).waveforms - longer.waveforms
    assert (at_once - added).abs().max() < 1e-6


def test_a_higher_p_than_the_collate_knows_is_an_error():
    augmentation = AddBackground(tones(), p=0.2)
    given = batch([100, 100])
    given = given.with_values(fetched=augmentation.fetcher()(given.seeds, given.lengths, RATE, None))
    augmentation.p = 0.1
    augmentation.run(given)
    augmentation.p = 1.0
    with pytest.raises(ValueError, match=r"p=1, and the collate was made when it was 0\.2"):
        augmentation.run(given)


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"AudioFolder\(folder"):
        AddBackground("noises/")
    with pytest.raises(TypeError, match="dataset="):
        AddBackground(iter(tones()))
    with pytest.raises(ValueError, match="dataset is empty"):
        AddBackground([])
    for settings, match in [
        ({"snr_db": (5, 1)}, "snr_db="),
        ({"short": "mirror"}, "short="),
        ({"keep": "memory"}, "keep='memory' must be None"),
        ({"keep": "device", "keep_gb": 1e-6}, "keep_gb=1e-06 GB, and 4 sounds take"),
        ({"keep_gb": 0}, "keep_gb="),
        ({"p": 2}, "p=2"),
    ]:
        with pytest.raises(ValueError, match=match):
            AddBackground(tones(), **settings)
    for sound, error, match in [
        (torch.zeros(0), ValueError, r"item 0 of the dataset has shape \(0,\)"),
        (torch.tensor([1.0, float("nan")]), ValueError, "NaN"),
        (torch.zeros(5, dtype=torch.int64), TypeError, "int64"),
        ("rain.wav", TypeError, "not a known form"),
    ]:
        for keep in (None, "device"):
            with pytest.raises(error, match=match):
                AddBackground([sound], keep=keep).run(batch([5]))
    assert repr(AddBackground(tones(), 10, short="pad", p=0.5)) == (
        "AddBackground(4 sounds, snr_db=10, short='pad', p=0.5)"
    )


def test_a_folder_too_large_to_hold_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr(example_loader, "read", None)
    with pytest.raises(ValueError, match=r"keep_gb=3e-05 GB, and 4 sounds take 6\.4e-05 GB or more: .* keep=None"):
        AddBackground(af.AudioFolder(folder), keep="device", keep_gb=3e-5)
