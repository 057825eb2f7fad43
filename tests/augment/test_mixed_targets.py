"""Targets of mixed clips: weighted, united, replaced in a stretch, or refused with the remedy."""

from __future__ import annotations

import pickle

import pytest
import torch

import audiofeed as af
from audiofeed.augment import Compose, CutMix, Mixup, MixWithin, OneOf, Sometimes
from audiofeed.data.targets.timed import CutEvents
from audiofeed.data.targets.timed_mixes import MixedBatch, SplicedBatch
from tests.augment.sounds import Clicks, Sounds, batch_of, number, of_index


@pytest.mark.parametrize("kind", [MixWithin, CutMix, lambda **settings: Mixup(Sounds(target=of_index), **settings)])
@pytest.mark.parametrize("around", ["itself", "Sometimes", "OneOf", "Compose"])
def test_targets_have_one_form_in_every_batch(kind, around):
    """Also where no clip of a batch is drawn: a loss for shares would fail on classes."""
    augment = kind(n_classes=4, p=1e-9 if around == "itself" else 1.0)
    augment = {
        "itself": augment,
        "Sometimes": Sometimes(augment, p=1e-9),
        "OneOf": OneOf([augment, af.augment.Dither(0.1)], weights=[1e-9, 1]),
        "Compose": Compose([augment], p=1e-9),
    }[around]
    batch = batch_of(augment, Sounds(target=of_index), rows=range(4))
    assert torch.equal(batch.targets, torch.eye(4))
    assert batch.fields["mix_weight"].tolist() == [1.0] * 4
    augment.eval()
    assert batch_of(augment, Sounds(target=of_index), rows=range(4)).targets.tolist() == [0, 1, 2, 3]


def test_labels_of_each_kind():
    def target(index):
        return {"class": index % 3, "tags": torch.eye(5)[index % 5] > 0, "age": 10.0 * index, "pair": (index % 2, 0.5)}

    clips = Sounds(target=target)
    settings = {"n_classes": {"class": 3, "pair[0]": 2}}
    batch = batch_of(Mixup(clips, **settings), clips)
    share = batch.fields["mix_weight"].double()
    partners = torch.tensor([number(name) for name in batch.fields["mix_partner"]])
    own = torch.arange(12)

    def lerp(mine, theirs):
        weight = share.view(-1, *[1] * (mine.dim() - 1))
        return (weight * mine + (1 - weight) * theirs).float()

    assert torch.allclose(batch.targets["class"], lerp(torch.eye(3)[own % 3], torch.eye(3)[partners % 3]))
    assert torch.allclose(batch.targets["tags"], lerp(torch.eye(5)[own % 5], torch.eye(5)[partners % 5]))
    assert torch.allclose(batch.targets["age"].float(), lerp(10.0 * own, 10.0 * partners))
    assert torch.allclose(batch.targets["pair"][0], lerp(torch.eye(2)[own % 2], torch.eye(2)[partners % 2]))
    union = batch_of(Mixup(clips, labels="union", **settings), clips)
    assert torch.equal(union.targets["tags"], torch.maximum(torch.eye(5)[own % 5], torch.eye(5)[partners % 5]))
    kept = batch_of(Mixup(clips, labels="own"), clips)
    assert torch.equal(kept.targets["class"], own % 3)
    assert torch.equal(kept.waveforms, union.waveforms)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (of_index, {}, r"targets are integers, classes .* n_classes=10, .* or give labels='own'"),
        (of_index, {"n_classes": 3}, r"targets have a class 3, and n_classes=3; they go from 0 to 2"),
        (lambda i: torch.tensor([1, i]), {"n_classes": 4}, r"integers \(2,\) of each clip, which cannot be mixed"),
        (lambda i: "a text", {}, r"are list and those of their partners list, which cannot be mixed; .* labels='own'"),
        (lambda i: {"text": "a", "class": 1.0}, {}, r"text of the clips are list"),
    ],
)
@pytest.mark.parametrize("kind", [MixWithin, "Mixup"])
def test_a_target_that_cannot_be_mixed_is_an_error_with_the_remedy(kind, target, settings, message):
    clips = Sounds(target=target)
    augment = Mixup(clips, **settings) if kind == "Mixup" else kind(**settings)
    with pytest.raises(ValueError, match=message):
        batch_of(augment, clips).targets  # noqa: B018


def clicks_in(batch, row):
    """Frames of clicks of a batch's clip, by sound: those whose energy is a peak."""
    energy = batch.features[row].sum(0)
    return {i for i in range(1, len(energy) - 1) if energy[i] > 1e-6 and energy[i] >= max(energy[i - 1 : i + 2])}


@pytest.mark.parametrize(
    "augment",
    [
        lambda: Mixup(Clicks(9, step=500), fit="once"),
        lambda: MixWithin(fit="once", by="energy"),
        lambda: CutMix(fit="once"),
        lambda: Compose(
            [MixWithin(fit="once"), CutMix(fit="once"), af.augment.SpecAugment(freq_width=2, warp=2, fill="zero")]
        ),
    ],
    ids=["Mixup", "MixWithin", "CutMix", "together"],
)
def test_clicks_and_their_labels_stay_together(augment):
    dataset = Clicks(step=700)
    plain = batch_of(None, dataset, rows=range(8))
    batch = batch_of(augment(), dataset, rows=range(8))
    assert batch.targets.shape == plain.targets.shape
    assert not torch.equal(batch.targets, plain.targets)
    together = 0
    for row in range(8):
        labeled = set(batch.targets[row].amax(0).nonzero().flatten().tolist())
        if isinstance(augment(), Compose):  # whose warp is of features; a mask may hide a click
            heard = clicks_in(batch, row)
            near = {frame for frame in heard if any(abs(frame - label) <= 1 for label in labeled)}
            assert len(near) >= 0.8 * len(heard), (row, heard, labeled)
            together += len(near)
            continue
        samples = batch.waveforms[row].nonzero().flatten()
        assert {round(place / 80) for place in samples.tolist()} == labeled
        together += len(labeled)
    assert together > 30


def test_weights_of_labels_in_time_are_the_shares():
    dataset = Clicks()
    batch = batch_of(MixWithin(fit="once"), dataset, rows=range(8))
    plain = batch_of(None, dataset, rows=range(8))
    share, rows = batch.fields["mix_weight"][:, None, None], batch.fields["mix_partner"]
    assert torch.allclose(batch.targets, share * plain.targets + (1 - share) * plain.targets[rows])
    union = batch_of(MixWithin(fit="once", labels="union"), dataset, rows=range(8))
    assert torch.equal(union.targets, torch.maximum(plain.targets, plain.targets[rows]))
    with pytest.raises(ValueError, match=r"events or labels in time, which fit='tile' would have to repeat .*'once'"):
        batch_of(MixWithin(), dataset, rows=range(8)).targets  # noqa: B018
    given = CutMix(fit="once")
    batch = batch_of(given, dataset, rows=range(8))
    for row in range(8):
        for frame in range(batch.targets.shape[-1]):
            source = plain.targets[row, :, frame], plain.targets[rows_of(batch)[row], :, frame]
            assert any(torch.equal(batch.targets[row, :, frame], one) for one in source)


def rows_of(batch):
    return batch.fields["mix_partner"].tolist()


def test_a_target_that_is_a_waveform_is_mixed_as_its_mixture():
    def voice(index):
        return 0.5 * Sounds().wave(index)

    class Mixtures(Sounds):
        def __getitem__(self, key):
            example = super().__getitem__(key)
            index = key if isinstance(key, int) else key[1]
            from dataclasses import replace

            from audiofeed.data.targets.timed import CutWaveform

            return replace(example, target=CutWaveform(voice(index)))

    for augment in (Mixup(Mixtures(), by="energy"), MixWithin(), CutMix()):
        batch = batch_of(augment, Mixtures())
        assert batch.targets.shape == batch.waveforms.shape
        assert torch.allclose(batch.targets, 0.5 * batch.waveforms, atol=1e-7)


def test_targets_by_frame_are_mixed_with_the_features():
    dataset = Clicks()
    plain = batch_of(None, dataset, rows=range(8))
    for augment in (MixWithin(on="features"), CutMix(on="features"), CutMix(on="features", along="frequency")):
        batch = batch_of(augment, dataset, rows=range(8))
        share, rows = batch.fields["mix_weight"][:, None, None], batch.fields["mix_partner"]
        mixed = share * plain.targets + (1 - share) * plain.targets[rows]
        if isinstance(augment, CutMix) and augment.along == "time":
            replaced = (batch.features != plain.features).any(1)[:, None]
            assert torch.equal(batch.targets, torch.where(replaced, plain.targets[rows], plain.targets)) or (
                (batch.targets != torch.where(replaced, plain.targets[rows], plain.targets)).double().mean() < 0.02
            )
            continue
        assert torch.allclose(batch.targets, mixed, atol=1e-6)
    union = batch_of(MixWithin(on="features", labels="union"), dataset, rows=range(8))
    assert torch.equal(union.targets, torch.maximum(plain.targets, plain.targets[union.fields["mix_partner"]]))
    assert torch.equal(batch_of(MixWithin(on="features", labels="own"), dataset, rows=range(8)).targets, plain.targets)


def test_targets_in_time_that_wait_are_pickled_with_the_batch():
    batch = batch_of(None, Clicks(), rows=range(3))
    twin = pickle.loads(pickle.dumps(batch_of(MixWithin(fit="once"), Clicks(), rows=range(3))))
    assert twin.targets.shape == batch.targets.shape
    events = CutEvents.join([Clicks()[i].target for i in range(2)])
    mixed = events.mixed(events, torch.ones(2), torch.zeros(2)).spliced(events, torch.zeros(2), torch.ones(2))
    assert isinstance(mixed, SplicedBatch)
    assert isinstance(mixed.outer, MixedBatch)
    again = pickle.loads(pickle.dumps(mixed))
    where = torch.arange(20) * 160.0, torch.tensor([20, 20]), torch.tensor([4000, 4000])
    assert torch.equal(again.at(*where), mixed.at(*where))
