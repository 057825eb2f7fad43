"""Mixup, MixWithin and CutMix: what is mixed by which weights, which partner, and what becomes of targets."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips, Compose, CutMix, Mixup, MixWithin
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.mixing import partners
from audiofeed.augment.mixing.mix_within import partner_rows
from tests.augment.sounds import MEL, RATE, Sounds, batch_of, number, of_index, speaker


def fitted(wave, length, offset, fit):
    """A partner as long as its clip, by NumPy."""
    wave = wave.double().numpy()
    if len(wave) >= length:
        return wave[offset : offset + length]
    if fit == "tile":
        return np.resize(wave, length)
    return np.concatenate([wave, np.zeros(length - len(wave))])


@pytest.mark.parametrize("fit", ["tile", "once"])
@pytest.mark.parametrize("by", ["amplitude", "energy"])
def test_mixup_is_the_weighted_sum_of_a_clip_and_its_partner(by, fit):
    clips, others = Sounds(), Sounds(20, offset=500)
    batch = batch_of(Mixup(others, alpha=0.7, by=by, fit=fit), clips)
    weights, partners = batch.fields["mix_weight"], batch.fields["mix_partner"]
    assert weights.dtype == torch.float32
    assert len(set(partners)) > 5
    cut = 0
    for row in range(12):
        own, other = clips.wave(row).double().numpy(), others.wave(number(partners[row]))
        length, share = len(own), weights[row].double().item()
        draws = Draws(torch.tensor([clips[row].seed]), "Mixup")
        draws.chosen(1.0)
        place = draws.uniform().item()
        offset = int(place * (max(len(other) - length, 0) + 1))
        cut += offset > 0
        partner = fitted(other, length, offset, fit)
        first, second = share, 1 - share
        if by == "energy":
            first, second = share**0.5, ((1 - share) * (own**2).mean() / (partner**2).mean()) ** 0.5
            energies = (first * own) ** 2, (second * partner) ** 2
            assert abs(energies[0].sum() / (energies[0].sum() + energies[1].sum()) - share) < 1e-9
        expected = first * own + second * partner
        found = batch.waveforms[row, :length].double().numpy()
        assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()
        assert not batch.waveforms[row, length:].any()
        target = share * torch.eye(4)[row % 4] + (1 - share) * torch.eye(4)[number(partners[row]) % 4]
        assert torch.allclose(batch.targets[row], target, atol=1e-6)
    assert cut > 0
    assert torch.equal(batch.lengths, torch.tensor([len(clips.wave(row)) for row in range(12)]))


def test_the_energy_of_a_clip_is_its_mix_s_whatever_the_padding_and_the_partner_s_level():
    """torch-audiomentations' Mix takes the power over the padded row."""
    n = 200
    lengths = torch.randint(200, 400, (n,), generator=torch.Generator().manual_seed(0))
    noise = torch.randn(n, 3200, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 0, n)[:, None]
    noise = torch.where(torch.arange(3200) < lengths[:, None], noise, 0)
    given = Clips(noise, lengths, torch.arange(n), RATE, targets=torch.eye(n))
    after = MixWithin(by="energy", alpha=20).run(given)
    before, mixed = noise.double().square().sum(1), after.waveforms.double().square().sum(1)
    # the two are not orthogonal, but nearly
    assert (mixed / before).log10().mul(10).abs().median() < 0.5
    assert (mixed / before).log10().mul(10).abs().max() < 2.5


@pytest.mark.parametrize("alpha", [0.3, 1.0, 10.0])
def test_shares_are_beta_distributed_and_partners_uniform(alpha):
    n = 2000
    others = Sounds(10)
    given = Clips(torch.ones(n, 1), torch.ones(n, dtype=torch.int64), torch.arange(n), RATE, targets=torch.ones(n, 1))
    weights = MixWithin(alpha=alpha).run(given).fields["mix_weight"].numpy()
    assert stats.kstest(weights, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    asked = Mixup(others, alpha=alpha, p=0.5).fetcher()(given.seeds, given.lengths, RATE, None)["partners"]
    counts = torch.bincount(asked.indices, minlength=10).double()
    assert abs(counts.sum() - n / 2) < 100
    expected = counts.sum() / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9
    assert len(set(asked.epochs.tolist())) == len(asked.epochs)


def test_partners_within_a_batch_are_others_and_do_not_depend_on_the_rows():
    seeds = torch.tensor([5, 900, 17, 3, 64])
    active = torch.ones(5, dtype=torch.bool)
    rows, _ = partner_rows(Draws(seeds, "MixWithin"), active)
    assert sorted(rows.tolist()) == list(range(5))
    assert all(row != place for place, row in enumerate(rows.tolist()))
    turned, _ = partner_rows(Draws(seeds.flip(0), "MixWithin"), active)
    assert [seeds.flip(0)[row] for row in turned.flip(0)] == [seeds[row] for row in rows]
    batch = batch_of(MixWithin(), Sounds(), rows=range(6))
    own = batch_of(None, Sounds(), rows=range(6))
    for row, partner in enumerate(batch.fields["mix_partner"].tolist()):
        length = min(int(own.lengths[row]), int(own.lengths[partner]))
        share = batch.fields["mix_weight"][row]
        if own.lengths[partner] <= own.lengths[row]:
            expected = share * own.waveforms[row, :length] + (1 - share) * own.waveforms[partner, :length]
            assert torch.allclose(batch.waveforms[row, :length], expected, atol=1e-7)


def test_a_batch_of_one_and_a_clip_that_is_not_drawn_stay_as_they_are():
    alone = batch_of(MixWithin(n_classes=4), Sounds(target=of_index), rows=[3])
    plain = batch_of(None, Sounds(target=of_index), rows=[3])
    assert torch.equal(alone.waveforms, plain.waveforms)
    assert alone.fields["mix_weight"].tolist() == [1.0]
    assert alone.targets.tolist() == [[0.0, 0.0, 0.0, 1.0]]
    for augment in (
        Mixup(Sounds(target=of_index), n_classes=4, p=0.4),
        MixWithin(n_classes=4, p=0.4),
        CutMix(n_classes=4, p=0.4),
    ):
        batch, plain = batch_of(augment, Sounds(target=of_index)), batch_of(None, Sounds(target=of_index))
        still = batch.fields["mix_weight"] == 1
        assert 2 <= still.sum() <= 10
        assert torch.equal(batch.waveforms[still], plain.waveforms[still])
        assert torch.equal(batch.targets[still], torch.eye(4)[torch.arange(12) % 4][still])


def test_partners_of_another_kind_are_refused():
    clips = Sounds()
    for others, message in (
        (Sounds(target=lambda i: None), r"the partners of this mix have no targets; give labels='own'"),
        (Sounds(target=lambda i: torch.eye(5)[i % 5]), r"are \(4,\) each and those of their partners \(5,\)"),
        (Sounds(target=of_index), r"are \(4,\) each and those of their partners"),
    ):
        with pytest.raises(ValueError, match=message):
            batch_of(Mixup(others, n_classes=10), clips).features  # noqa: B018
    collate = af.GPUSpecCollate(af.Spectrogram(256), device="cpu", augment=Mixup(Sounds(rate=16_000)))
    with pytest.raises(ValueError, match=r"have sample_rate=8000 and those that an augmentation reads .* 16000"):
        collate([clips[0], clips[1]])
    stereo = [(torch.zeros(2, 900), torch.eye(4)[0])] * 3
    mixup = Mixup(stereo)
    with pytest.raises(ValueError, match=r"the clips are \(\) channels and their partners \(2,\); mix both down"):
        batch_of(mixup, clips, transform=af.Spectrogram(256)).features  # noqa: B018
    mono = Mixup([(torch.ones(900), torch.eye(4)[0])] * 3)
    batch = batch_of(mono, stereo, rows=range(3), transform=af.Spectrogram(256))
    assert torch.equal(batch.waveforms[:, 0], batch.waveforms[:, 1])
    assert batch.waveforms.any()


def test_a_partner_that_cannot_be_collated_leaves_its_clip_unmixed_and_is_named():
    others = [(torch.ones(1000), torch.eye(4)[0]), (torch.full((10,), float("nan")), torch.eye(4)[1])]
    clips = Sounds()
    with pytest.raises(ValueError, match="10 NaN or infinite samples"):
        batch_of(Mixup(others), clips)
    batch = batch_of(Mixup(others), clips, on_error="skip")
    mixed = batch.fields["mix_weight"] < 1
    assert 2 <= mixed.sum() <= 10
    assert len(batch.faults) == 12 - mixed.sum()
    assert "NaN or infinite" in str(batch.faults[0].cause)
    assert torch.equal(batch.waveforms[~mixed], batch_of(None, clips).waveforms[~mixed])
    all_bad = batch_of(Mixup(others[1:]), clips, on_error="skip")
    assert all_bad.fields["mix_weight"].tolist() == [1.0] * 12
    assert "none of the examples" in str(all_bad.faults[0].cause)


def test_partners_are_read_for_the_clips_that_are_mixed_and_no_others():
    class Counted(Sounds):
        asked = 0

        def __getitem__(self, key):
            Counted.asked += 1
            assert isinstance(key, tuple)
            return super().__getitem__(key)

    batch = batch_of(Mixup(Counted(), p=0.4), Sounds())
    mixed = batch.fields["mix_weight"] < 1
    assert Counted.asked == mixed.sum()
    assert [name is not None for name in batch.fields["mix_partner"]] == mixed.tolist()


def test_a_random_crop_of_a_partner_is_another_one_in_each_epoch(tmp_path):
    import soundfile

    rng = np.random.default_rng(0)
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(8000), RATE, subtype="PCM_16")
    folder = af.AudioFolder(tmp_path, crop=af.RandomCrop(0.25))
    collate = af.GPUSpecCollate(af.MelSpectrogram(**MEL), device="cpu", augment=Mixup(folder, labels="own"))
    first, again, later = (collate([folder[epoch, 1]]).fields["mix_partner"][0] for epoch in (0, 0, 1))
    assert first == again
    assert first != later
    batch = collate([folder[0, i] for i in (2, 1)])
    assert batch.fields["mix_partner"][1] == first
    assert torch.equal(batch.waveforms[1], collate([folder[0, 1]]).waveforms[0])


@pytest.mark.parametrize("on", ["waveforms", "features"])
def test_cut_mix_weighs_targets_by_what_is_left_of_the_clip(on):
    n = 400
    frames = torch.randint(5, 60, (n,), generator=torch.Generator().manual_seed(0))
    values = torch.where(torch.arange(80) < frames[:, None], torch.arange(1.0, n + 1)[:, None], 0)
    given = Clips(values, frames, torch.arange(n), RATE, targets=torch.eye(n))
    if on == "features":
        given = given.with_values(features=values[:, None].expand(n, 3, 80).clone(), feature_lengths=frames)
    after = CutMix(on=on, alpha=2).run(given)
    found = after.waveforms if on == "waveforms" else after.features[:, 1]
    rows = after.fields["mix_partner"]
    lengths = []
    for row in range(n):
        own, length = found[row], int(frames[row])
        assert not own[length:].any()
        replaced = own[:length] == float(rows[row] + 1)
        assert (replaced | (own[:length] == row + 1)).all()
        left = 1 - replaced.double().mean().item()
        assert abs(after.fields["mix_weight"][row] - left) < 1e-6
        assert abs(after.targets[row, row] - left) < 1e-6
        assert replaced.int().diff().abs().sum() <= 2  # one stretch
        lengths.append(left)
    assert abs(np.mean(lengths) - 0.5) < 0.03
    assert abs(np.std(lengths) - stats.beta(2, 2).std()) < 0.03


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("fit", ["tile", "once"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stretch_of_a_clip_that_is_looked_at_is_that_of_a_device(dtype, fit, channels, monkeypatch):
    lengths = torch.tensor([300_000, 0, 1, 7, 120_000, 299_999, 40])
    shape = (7, 300_000) if channels is None else (7, channels, 300_000)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    heard = (torch.arange(300_000) < lengths[:, None]).view(7, *[1] * (noise.dim() - 2), -1)
    given = Clips(noise * heard, lengths, torch.arange(7), RATE, targets=torch.eye(7))
    found = CutMix(fit=fit, p=0.8).run(given)
    with monkeypatch.context() as patch:
        patch.setattr(partners, "_is_watched", lambda values: True)
        expected = CutMix(fit=fit, p=0.8).run(given)
    assert torch.equal(found.waveforms, expected.waveforms)
    assert torch.equal(found.targets, expected.targets)
    changed = (found.waveforms != given.waveforms).flatten(1).any(1)
    assert 2 <= int(changed.sum()) < 7


def test_a_band_of_frequency_is_cut_over_the_clips_own_frames():
    n = 60
    frames = torch.full((n,), 10) - torch.arange(n) % 3
    features = torch.arange(1.0, n + 1)[:, None, None].expand(n, 20, 12)
    features = torch.where(torch.arange(12) < frames[:, None, None], features, -1.0)
    given = Clips(torch.zeros(n, 0), frames * 0, torch.arange(n), features=features, feature_lengths=frames)
    after = CutMix(on="features", along="frequency").run(given.with_values(targets=torch.eye(n)))
    rows = after.fields["mix_partner"]
    for row in range(n):
        own, replaced = after.features[row], after.features[row, :, 0] == float(rows[row] + 1)
        assert (own[:, frames[row] :] == -1).all()
        assert torch.equal(own[:, : frames[row]], own[:, :1].expand(-1, int(frames[row])))
        assert abs(after.targets[row, row] - (1 - replaced.double().mean())) < 1e-6


def replaced_by(after, along, n):
    """Where a clip of constant features, each its row plus 1, is its partner's, bool (n, size)."""
    line = after.waveforms if after.features is None else after.features[:, :, 0]
    line = after.features[:, 0] if after.features is not None and along == "time" else line
    return line == (after.fields["mix_partner"] + 1.0)[:, None]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("on", "along"), [("waveforms", "time"), ("features", "time"), ("features", "frequency")])
def test_the_stretch_of_a_cut_has_the_share_and_the_place_that_are_documented(on, along, alpha):
    """The share that is left is Beta(alpha, alpha), and each place from which the stretch fits is as likely."""
    n, size = 1000, 400
    values = torch.arange(1.0, n + 1)[:, None].expand(n, size).clone()
    given = Clips(values, torch.full((n,), size), torch.arange(n), RATE, targets=torch.ones(n, 1))
    if on == "features":
        bins, frames = (2, size) if along == "time" else (size, 2)
        features = values[:, :1, None].expand(n, bins, frames).clone()
        given = given.with_values(features=features, feature_lengths=torch.full((n,), frames))
    replaced = replaced_by(CutMix(on=on, along=along, alpha=alpha).run(given), along, n)
    cut = replaced.sum(1)
    assert (replaced.int().diff(dim=1).abs().sum(1) <= 2).all()  # one stretch
    # whole samples, frames and bins: within them, the draws are spread evenly again
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, n)
    left = 1 - np.clip(cut.numpy() + spread, 0, size) / size
    assert stats.kstest(left, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    inside = (cut > 0) & (cut < size)
    begin, room = replaced.int().argmax(1)[inside].numpy(), (size - cut)[inside].numpy()
    places = (begin + spread[: len(begin)] + 0.5) / (room + 1)
    assert places.max() < 1
    assert stats.kstest(places, "uniform").pvalue > 1e-3
    # a place says nothing of a share
    assert abs(stats.spearmanr(places, cut[inside].numpy()).statistic) < 0.1


def test_a_mix_of_mixes_keeps_every_weight_and_partner():
    batch = batch_of(Compose([Mixup(Sounds()), MixWithin(), CutMix(on="features")]), Sounds())
    assert isinstance(batch.fields["mix_partner"], tuple)
    assert [type(entry).__name__ for entry in batch.fields["mix_partner"]] == ["list", "Tensor", "Tensor"]
    assert torch.allclose(batch.targets.sum(1), torch.ones(12))
    clips = Sounds(mix_weight=lambda index: f"{index} kg")
    with pytest.raises(ValueError, match=r"the clips have a field 'mix_weight' of their own"):
        batch_of(MixWithin(), clips).features  # noqa: B018


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}])
def test_a_mixed_batch_travels(settings):
    dataset = Sounds(target=of_index, speaker=speaker)
    collate = af.GPUSpecCollate(
        af.MelSpectrogram(**MEL), device="cpu", augment=Compose([Mixup(Sounds(target=of_index), n_classes=4)])
    )
    here = collate([dataset[i] for i in range(12)])
    (batch,) = torch.utils.data.DataLoader(dataset, batch_size=12, collate_fn=collate, **settings)
    rebuilt = type(batch)(dict(batch))
    for other in (batch, pickle.loads(pickle.dumps(batch)), batch.to("cpu"), batch.pin_memory(), rebuilt):
        assert torch.equal(other.features, here.features)
        assert torch.equal(other.targets, here.targets)
        assert torch.equal(other.fields["mix_weight"], here.fields["mix_weight"])
        assert other.fields["mix_partner"] == here.fields["mix_partner"]
        assert other.fields["speaker"] == [f"speaker {i}" for i in range(12)]


def test_a_feed_mixes_as_a_loader_does():
    dataset, augment = Sounds(), Mixup(Sounds(offset=50), alpha=0.5)
    collate = af.GPUSpecCollate(af.MelSpectrogram(**MEL), device="cpu", augment=augment)
    feed = af.Feed(
        dataset, af.MelSpectrogram(**MEL), batch_size=5, shuffle=False, workers=0, device="cpu", augment=augment
    )
    for start, batch in zip((0, 5, 10), feed, strict=True):
        ours = collate([dataset[i] for i in range(start, min(12, start + 5))])
        assert torch.equal(ours.features, batch.features)
        assert torch.equal(ours.targets, batch.targets)
        assert ours.fields["mix_partner"] == batch.fields["mix_partner"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixWithin(alpha=0), r"alpha=0 must be a number above 0"),
        (lambda: MixWithin(n_classes=1), r"n_classes=1 must be an integer, 2 or more"),
        (lambda: CutMix(n_classes={"a": 2.5}), r"n_classes=.* must be an integer, 2 or more, or a mapping"),
        (lambda: MixWithin(labels="both"), r"labels='both'"),
        (lambda: MixWithin(by="power"), r"by='power'"),
        (lambda: MixWithin(fit="pad"), r"fit='pad'"),
        (lambda: MixWithin(on="filters"), r"on='filters'"),
        (lambda: MixWithin(on="features", by="energy"), r"by='energy' must be by='amplitude' with on='features'"),
        (lambda: CutMix(along="both"), r"along='both'"),
        (lambda: CutMix(fit="pad"), r"fit='pad'"),
        (lambda: CutMix(along="frequency"), r"along='frequency' must stand with on='features'"),
        (lambda: Mixup([]), r"dataset=list has no examples"),
        (lambda: Mixup([1], by="power"), r"by='power'"),
        (lambda: Mixup([1], fit="pad"), r"fit='pad'"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_mixup_needs_a_dataset_by_index_and_a_collate():
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from ()

    with pytest.raises(TypeError, match=r"dataset=Endless must have a length and examples by index; .* MixWithin"):
        Mixup(Endless())
    given = Clips(torch.ones(2, 4), torch.tensor([4, 4]), torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"Mixup has its partners read in a collate's worker"):
        Mixup(Sounds())(given)


def test_the_same_file_is_another_crop_of_a_partner_in_each_epoch(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), RATE, subtype="PCM_16")
    folder = af.AudioFolder(tmp_path, crop=af.RandomCrop(0.25))
    collate = af.GPUSpecCollate(af.MelSpectrogram(**MEL), device="cpu", augment=Mixup(folder, labels="own"))
    partners = []
    for epoch in (0, 0, 1, 2):
        own, batch = folder[epoch, 0], collate([folder[epoch, 0]])
        share = batch.fields["mix_weight"][0]
        partners.append((batch.waveforms[0] - share * own.waveform / 32768) / (1 - share))
    assert torch.equal(partners[0], partners[1])
    assert (partners[0] - partners[2]).abs().max() > 0.05
    assert (partners[2] - partners[3]).abs().max() > 0.05
