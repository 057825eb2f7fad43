"""Augmentation on a batch's way: what it changes arrives in every field, once, whichever is read first."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import pytest
import torch

import audiofeed as af
from audiofeed.augment import Augmentation, Clips
from audiofeed.augment.contract.draws import Draws

RATE = 8000
MEL = {"sample_rate": RATE, "n_fft": 256, "hop_length": 128, "n_mels": 10}


def item(index: int, seed: int | None = None, **more) -> af.AudioExample:
    noise = torch.randn(2000 + 500 * index, generator=torch.Generator().manual_seed(index))
    return af.AudioExample((3000 * noise).to(torch.int16), RATE, index, seed=seed, **more)


ITEMS = [item(0, 5), item(1, 6), item(2, 7)]


def halve(clips: Clips) -> Clips:
    """Every second sample of each clip, and another target."""
    lengths = (clips.lengths + 1) // 2
    waveforms = clips.waveforms[..., ::2].contiguous()
    return clips.with_values(waveforms=waveforms, lengths=lengths, targets=clips.targets + 10, fields={"half": lengths})


class Halve(Augmentation):
    changes = frozenset({"waveforms", "lengths", "targets", "fields"})

    def change(self, clips, active, draws):
        return halve(clips)


class Lift(Augmentation):
    """One more in every feature, drawn, and in every target."""

    stage = "features"
    changes = frozenset({"features", "targets"})

    def change(self, clips, active, draws):
        lifted = clips.features + draws.uniform(1.0, 2.0).to(clips.features)[:, None, None]
        frames = torch.arange(clips.features.shape[-1]) < clips.feature_lengths[:, None]
        return clips.with_values(features=torch.where(frames[:, None], lifted, 0), targets=clips.targets + 100)


FIELDS = ("features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets", "fields")


@pytest.mark.parametrize("first", FIELDS)
@pytest.mark.parametrize("augment", [halve, Halve()], ids=["function", "module"])
def test_every_field_follows_a_change_of_length_whichever_is_read_first(first, augment):
    mel = af.LogMelSpectrogram(**MEL)
    batch = af.GPUSpecCollate(mel, device="cpu", augment=augment)(ITEMS)
    assert getattr(batch, first) is not None
    assert batch.lengths.tolist() == [1000, 1250, 1500]
    assert batch.targets.tolist() == [10, 11, 12]
    assert batch.fields["half"].tolist() == [1000, 1250, 1500]
    assert batch.waveforms.shape == (3, 1500)
    assert torch.equal(batch.features, mel(batch.waveforms, batch.lengths))
    assert batch.feature_lengths.tolist() == [1 + n // 128 for n in (1000, 1250, 1500)]
    for twin in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch)):
        assert twin.targets.tolist() == [10, 11, 12]
        assert torch.equal(twin.features, batch.features)


@pytest.mark.parametrize("first", FIELDS)
def test_targets_follow_an_augmentation_of_features(first):
    mel = af.LogMelSpectrogram(**MEL)
    collate = af.GPUSpecCollate(mel, device="cpu", augment=Lift(), layout="frames_bins")
    batch = collate(ITEMS)
    assert getattr(batch, first) is not None
    assert batch.targets.tolist() == [100, 101, 102]
    plain = af.GPUSpecCollate(mel, device="cpu", layout="frames_bins")(ITEMS)
    lift = (batch.features - plain.features)[:, 0, 0]
    assert ((lift >= 1) & (lift < 2)).all()
    assert len(set(lift.tolist())) == 3
    assert torch.equal(batch.waveforms, plain.waveforms)


def test_waveforms_stay_16_bit_where_only_features_are_augmented():
    seen = []

    class Seeing(torch.nn.Module):
        takes_int16 = True

        def forward(self, waveform, lengths=None):
            seen.append(waveform.dtype)
            return waveform.float()[:, None, :4]

        def frame_lengths(self, lengths):
            return torch.full_like(lengths, 4)

    _ = af.GPUSpecCollate(Seeing(), device="cpu", augment=Lift())(ITEMS).features
    _ = af.GPUSpecCollate(Seeing(), device="cpu", augment=Halve())(ITEMS).features
    assert seen == [torch.int16, torch.float32]


def test_a_second_read_with_a_gradient_augments_the_waveforms_as_they_came():
    mel = af.LogMelSpectrogram(**MEL, trainable_mel=True)
    batch = af.GPUSpecCollate(mel, device="cpu", augment=af.augment.Compose([Halve(), Lift()]))(ITEMS)
    with torch.no_grad():
        before = batch.features
    batch.features.sum().backward()
    assert torch.allclose(before, batch.features)
    assert batch.targets.tolist() == [110, 111, 112]
    assert batch.lengths.tolist() == [1000, 1250, 1500]
    assert all(parameter.grad is not None for parameter in mel.parameters())


def test_fields_that_wait_for_an_augmentation_are_not_passed_off_as_done(monkeypatch):
    for augment, names in ((halve, ("waveforms", "lengths", "targets")), (Lift(), ("targets", "features"))):
        collate = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=augment)
        monkeypatch.setattr(collate._runtime, "is_here", lambda: False)
        batch = collate(ITEMS)
        for name in names:
            with pytest.raises(RuntimeError, match=rf"batch\.{name} was read in process"):
                getattr(batch, name)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (lambda clips: clips.waveforms, "augment returned Tensor; a callable of one argument is given"),
        (lambda clips: clips.with_values(waveforms=clips.waveforms[:2]), "each clip must keep its row"),
    ],
)
def test_a_function_of_clips_must_return_them(augment, message):
    batch = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=augment)(ITEMS)
    with pytest.raises((TypeError, ValueError), match=message):
        _ = batch.features


class HalveModule(torch.nn.Module):
    def forward(self, clips):
        return halve(clips)


def test_a_module_of_clips_is_given_them():
    batch = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=HalveModule())(ITEMS)
    assert batch.lengths.tolist() == [1000, 1250, 1500]
    assert batch.targets.tolist() == [10, 11, 12]


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ([Halve(), Lift()], r"Compose\(\[\.\.\.\]\)"),
        (Halve, r"make one: Halve\(\.\.\.\)"),
        ("noise", "callable as augment"),
    ],
)
def test_what_is_no_augmentation_is_answered_with_what_would_be(given, remedy):
    with pytest.raises(TypeError, match=remedy):
        af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), augment=given)


@dataclass(frozen=True)
class FetchSeeds:
    """Reads in the worker: which seed each clip has there, and how long it is."""

    def __call__(self, seeds, lengths, sample_rate, channels):
        assert sample_rate == RATE
        assert channels is None
        return {"seeds": seeds.clone(), "lengths": lengths.clone()}


class Fetched(Augmentation):
    """Checks that what was read belongs to the clips, and adds a number of it to the waveforms."""

    def fetcher(self):
        return FetchSeeds()

    def change(self, clips, active, draws):
        assert torch.equal(clips.fetched["seeds"], clips.seeds)
        assert torch.equal(clips.fetched["lengths"], clips.lengths)
        return clips.put(active, clips.waveforms + (clips.fetched["seeds"] % 97).float()[:, None])


class Items(torch.utils.data.Dataset):
    def __init__(self, seeded: bool = True) -> None:
        self.seeded = seeded

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return item(index, 40 + index if self.seeded else None)


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_an_augmentation_needs_is_read_where_the_batch_is_made(workers, seeded):
    augment = af.augment.Compose([Fetched(), af.augment.OneOf([Fetched(), af.augment.Dither(0.1)]), Fetched()])
    collate = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=augment)
    loader = torch.utils.data.DataLoader(Items(seeded), batch_size=3, collate_fn=collate, num_workers=workers)
    for batch in loader:
        assert batch.waveforms.abs().max() > 2


def by_clip(feed: af.Feed, epoch: int) -> dict[int, torch.Tensor]:
    feed.set_epoch(epoch)
    found = {}
    for batch in feed:
        for target, waveform, length in zip(batch.targets.tolist(), batch.waveforms, batch.lengths, strict=True):
            found[target] = waveform[:length]
    return found


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_feed_seeds_somebody_elses_clips_by_the_samplers_key(on_error):
    def feed(batch_size, seed=0, **settings):
        return af.Feed(
            Items(seeded=False),
            af.LogMelSpectrogram(**MEL),
            batch_size=batch_size,
            seed=seed,
            device="cpu",
            workers=settings.pop("workers", 0),
            augment=af.augment.Dither(0.1),
            on_error=on_error,
            **settings,
        )

    first, other_batches = by_clip(feed(3), 0), by_clip(feed(2), 0)
    in_worker = by_clip(feed(3, workers=1), 0)
    next_epoch, other_seed = by_clip(feed(3), 1), by_clip(feed(3, seed=1), 0)
    assert len(first) == 6
    for clip, waveform in first.items():
        assert torch.equal(waveform, other_batches[clip])
        assert torch.equal(waveform, in_worker[clip])
        assert not torch.equal(waveform, next_epoch[clip])
        assert not torch.equal(waveform, other_seed[clip])


def test_a_seed_that_an_item_brings_is_its_own():
    feed = af.Feed(
        Items(), af.LogMelSpectrogram(**MEL), batch_size=6, device="cpu", workers=0, augment=af.augment.Dither(0.1)
    )
    collate = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=af.augment.Dither(0.1))
    alone = collate([Items()[2]]).waveforms[0]
    assert torch.equal(by_clip(feed, 0)[2], alone)


def test_without_seeds_a_loader_draws_from_torchs_generator():
    collate = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=af.augment.Dither(0.1))
    items = [item(0), item(1)]
    torch.manual_seed(3)
    first, second = collate(items).waveforms, collate(items).waveforms
    torch.manual_seed(3)
    again = collate(items)
    # drawn once, as the batch is made, and not as it is read
    torch.manual_seed(4)
    assert torch.equal(first, again.waveforms)
    assert not torch.equal(first, second)


def test_a_feed_tells_a_plain_function_the_seeds_by_the_samplers_key():
    def passed(batch_size):
        seen = {}

        def augment(waveforms, lengths, seeds):
            seen.update(zip(lengths.tolist(), seeds.tolist(), strict=True))
            return waveforms

        feed = af.Feed(
            Items(seeded=False), af.LogMelSpectrogram(**MEL), batch_size=batch_size, device="cpu", augment=augment
        )
        for batch in feed:
            assert batch.features is not None
        return seen

    seen = passed(3)
    assert len(seen) == len(set(seen.values())) == 6
    assert passed(2) == seen


def test_a_function_of_clips_has_the_same_seeds_whenever_the_batch_is_computed_again():
    seen = []

    def augment(clips):
        seen.append(clips.seeds.tolist())
        return clips

    class Module(torch.nn.Module):
        def forward(self, clips):
            return augment(clips)

    mel = af.LogMelSpectrogram(**MEL, trainable_mel=True)
    batch = af.GPUSpecCollate(mel, device="cpu", augment=Module())([item(0), item(1)])
    with torch.no_grad():
        _ = batch.features
    batch.features.sum().backward()
    assert len({tuple(seeds) for seeds in seen}) == 1


def test_an_evaluation_that_is_augmented_is_warned_of():
    settings = {"batch_size": 3, "evaluation": True, "device": "cpu"}
    with pytest.warns(UserWarning, match="evaluation=True augments the clips of an evaluation"):
        af.Feed(Items(), af.LogMelSpectrogram(**MEL), augment=af.augment.Dither(), **settings)
    # filterwarnings make another warning an error
    af.Feed(Items(), af.LogMelSpectrogram(**MEL), augment=af.augment.Dither().eval(), **settings)


class Derived(af.augment.Mixup):
    """Draws by a name of its own, in the worker as on the device."""


def test_what_a_derived_augmentation_reads_is_for_the_clips_that_it_mixes():
    items = [item(n, 50 + n) for n in range(12)]
    augment = Derived(items, n_classes=12, p=0.5)
    batch = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=augment)(items)
    chosen = Draws(torch.tensor([50 + n for n in range(12)]), "Derived").chosen(0.5)
    assert 2 < chosen.sum() < 10
    assert torch.equal(batch.fields["mix_weight"] < 1, chosen)


def test_a_probability_that_is_raised_after_the_worker_reads_by_it_is_an_error():
    for augment in (af.augment.Mixup(ITEMS, n_classes=3, p=0.5), af.augment.AddBackground(ITEMS, p=0.5)):
        collate = af.GPUSpecCollate(af.LogMelSpectrogram(**MEL), device="cpu", augment=augment)
        augment.p = 0.9
        with pytest.raises(ValueError, match=r"has p=0.9, and the collate was made when it was 0.5"):
            _ = collate(ITEMS).waveforms
