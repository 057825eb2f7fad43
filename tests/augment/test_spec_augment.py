"""SpecAugment: masks where the definition puts them, within the true frames, and a warp that targets follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips, SpecAugment
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.spectra.time_warp import Warp

N = 2000


def clips(features, frames, **values) -> Clips:
    batch = len(frames)
    nothing = torch.zeros(batch, 0)
    made = Clips(nothing, torch.zeros(batch, dtype=torch.int64), torch.arange(batch), features=features, **values)
    return made.with_values(feature_lengths=torch.tensor(frames))


def defined(settings: SpecAugment, frames: int, bins: int, draws: Draws, row: int) -> np.ndarray:
    """The mask (bins, frames) of one clip by loops, from the numbers that are drawn for it."""
    is_adaptive = isinstance(settings.time_masks, float)
    most = settings.max_time_masks if is_adaptive else settings.time_masks
    drawn = draws.uniform(count=2 * most + 2)[row].numpy()
    more = draws.uniform(count=2 * settings.freq_masks)[row].numpy()
    mask = np.zeros((bins, frames), dtype=bool)
    number = min(most, int(np.floor(settings.time_masks * frames))) if is_adaptive else most
    width = settings.time_width
    widest = int(np.floor(frames * width)) if isinstance(width, float) else width
    if settings.placing == "nemo" and isinstance(width, float):
        widest = max(widest, 1)
    widest = min(widest, int(np.floor(settings.max_time_share * frames)))
    for i in range(number):
        own = int(drawn[i] * (widest + 1))
        room = max(frames - widest, 0) if settings.placing == "nemo" else frames - own
        begin = int(drawn[most + i] * (room + 1))
        mask[:, begin : begin + own] = True
    widest = int(bins * settings.freq_width) if isinstance(settings.freq_width, float) else settings.freq_width
    for i in range(settings.freq_masks):
        own = int(more[i] * (widest + 1))
        room = bins - widest if settings.placing == "nemo" else bins - own
        begin = int(more[settings.freq_masks + i] * (room + 1))
        mask[begin : begin + own] = True
    return mask


@pytest.mark.parametrize(
    "settings",
    [
        SpecAugment(fill="zero"),
        SpecAugment(fill="zero", time_masks=1, freq_masks=0, time_width=7, max_time_share=1.0),
        SpecAugment(fill="zero", time_masks=0.04, time_width=0.05, freq_width=0.2),
        SpecAugment(fill="zero", time_masks=5, time_width=0.05, freq_width=20, placing="nemo"),
        SpecAugment(fill="zero", time_masks=3, time_width=40, freq_masks=3, placing="nemo", max_time_share=1.0),
        SpecAugment(fill="zero", time_masks=0),
    ],
)
def test_masks_lie_where_their_definition_puts_them(settings):
    frames = [300, 41, 1, 7, 120]
    features = torch.full((5, 40, 300), 3.0)
    after = settings.run(clips(features, frames)).features
    masked = 0
    for row, own in enumerate(frames):
        draws = Draws(torch.arange(5), "SpecAugment")
        draws.chosen(1.0)
        mask = defined(settings, own, 40, draws, row)
        assert np.array_equal((after[row, :, :own] == 0).numpy(), mask), row
        assert (after[row, :, own:] == 3.0).all()
        masked += int(mask.sum())
    assert masked > 0


def test_widths_and_places_are_uniform_and_within_the_true_frames():
    augmentation = SpecAugment(fill="zero", time_masks=1, time_width=9, freq_masks=0, max_time_share=1.0)
    after = augmentation.run(clips(torch.ones(N, 1, 80), [40] * N)).features[:, 0]
    assert (after[:, 40:] == 1).all()
    widths = (after == 0).sum(1)
    counts = torch.bincount(widths, minlength=10).double()
    assert len(counts) == 10
    # chi-squared with 9 degrees of freedom: above 27.9 once in a thousand
    assert float(((counts - N / 10) ** 2 / (N / 10)).sum()) < 27.9
    of_width = (after[widths == 9] == 0).double().argmax(1)
    assert of_width.min() == 0
    assert of_width.max() == 31
    assert abs(of_width.double().mean() - 15.5) < 3 * (32 / 12**0.5) / len(of_width) ** 0.5


def test_nemo_never_starts_where_the_widest_would_not_fit():
    augmentation = SpecAugment(
        fill="zero", time_masks=1, time_width=9, freq_masks=0, max_time_share=1.0, placing="nemo"
    )
    after = augmentation.run(clips(torch.ones(N, 1, 40), [40] * N)).features[:, 0]
    starts = (after == 0).double().argmax(1)
    assert starts.max() == 31
    narrow = (after == 0).sum(1) == 1
    assert (starts[narrow] <= 31).all()
    assert narrow.sum() > 100


def test_nemo_s_widths_and_places_are_uniform_and_independent():
    """A width from 0 to the widest, and a begin from which the widest would fit, whichever was drawn: 10 x 32 of them.

    Over frequency and, in NeMo's adaptive form, over time; a mask of width 0 has no place to be seen.
    """
    common = {"fill": "zero", "max_time_share": 1.0, "placing": "nemo"}
    cases = {
        "time": SpecAugment(time_masks=1, time_width=9, freq_masks=0, **common),
        "adaptive": SpecAugment(time_masks=1, time_width=9 / 40 + 1e-4, freq_masks=0, **common),
        "frequency": SpecAugment(time_masks=0, freq_masks=1, freq_width=9, **common),
    }
    for name, augmentation in cases.items():
        shape = (N, 40, 4) if name == "frequency" else (N, 1, 60)
        after = augmentation.run(clips(torch.ones(shape), [min(40, shape[-1])] * N)).features
        masked = (after[:, :, 0] if name == "frequency" else after[:, 0]) == 0
        assert not masked[:, 40:].any()
        widths, begins = masked.sum(1).numpy(), masked.int().argmax(1).numpy()
        assert stats.chisquare(np.bincount(widths, minlength=10)).pvalue > 1e-3, name
        assert len(np.bincount(widths)) == 10
        seen = widths > 0
        counts = np.bincount(begins[seen], minlength=32)
        assert len(counts) == 32
        assert stats.chisquare(counts).pvalue > 1e-3, name
        # wide and narrow masks begin alike
        both = [np.bincount(begins[seen & part] // 4, minlength=8) for part in (widths < 5, widths >= 5)]
        assert stats.chi2_contingency(np.array(both)).pvalue > 1e-3, name


def test_the_number_of_adaptive_masks_follows_the_clip_alone():
    """Park et al. 2020: min(20, 0.04 frames) masks of at most 0.05 frames."""
    augmentation = SpecAugment(fill="zero", time_masks=0.04, time_width=0.05, freq_masks=0)
    for frames, most in ((1000, 20 * 50), (100, 4 * 5), (24, 0)):
        after = augmentation.run(clips(torch.ones(500, 1, 1200), [frames] * 500)).features[:, 0]
        masked = (after == 0).sum(1)
        assert masked.max() <= most
        # masks overlap: 1 - (1 - mean share)^number of the frames are masked, but for the edges
        number, widest = min(20, int(0.04 * frames)), int(0.05 * frames)
        expected = frames * (1 - (1 - widest / 2 / frames) ** number)
        assert abs(masked.double().mean() - expected) <= 0.1 * expected


@pytest.mark.torchaudio
def test_masks_of_torchaudio_fall_into_the_padding_and_ours_do_not():
    torchaudio = pytest.importorskip("torchaudio", reason="not installed: pip install -e '.[dev]'")
    features = torch.ones(500, 1, 4, 80)
    torch.manual_seed(0)
    theirs = torchaudio.transforms.TimeMasking(20, iid_masks=True)(features)
    ours = SpecAugment(fill="zero", time_masks=1, time_width=20, freq_masks=0, max_time_share=1.0).run(
        clips(features, [20] * 500)
    )
    assert (theirs[..., 20:] == 0).any(-1).flatten().double().mean() > 0.5
    assert not (ours.features[..., 20:] == 0).any()
    assert (ours.features[..., :20] == 0).any()


def test_what_stands_in_a_mask():
    features = torch.rand(3, 2, 8, 30, generator=torch.Generator().manual_seed(0)) + 1
    given = clips(features, [30, 12, 30])
    zero = SpecAugment(fill="zero", freq_width=4, max_time_share=0.5).run(given).features
    mask = zero == 0
    assert mask.any()
    assert torch.equal(mask[:, 0], mask[:, 1])  # channels alike
    filled = SpecAugment(freq_width=4, max_time_share=0.5, fill=-7).run(given).features
    assert torch.equal(filled, torch.where(mask, -7.0, features))
    mean = SpecAugment(freq_width=4, max_time_share=0.5, fill="mean").run(given).features
    means = torch.stack([features[i, ..., :n].double().mean() for i, n in enumerate((30, 12, 30))]).float()
    assert torch.allclose(mean, torch.where(mask, means.view(3, 1, 1, 1), features), rtol=1e-6, atol=0)


def test_features_of_a_stack_have_the_same_masks_over_time():
    frames = torch.tensor([40, 25])
    features = {"mel": torch.ones(2, 20, 40), "chroma": torch.ones(2, 12, 40), "half": torch.ones(2, 20, 20)}
    lengths = {"mel": frames, "chroma": frames, "half": frames // 2}
    given = clips(features, [40, 25]).with_values(feature_lengths=lengths)
    after = SpecAugment(fill="zero", freq_masks=0, max_time_share=0.5).run(given).features
    assert torch.equal(after["mel"][:, 0], after["chroma"][:, 0])
    assert (after["mel"] == 0).any()
    both = SpecAugment(fill="zero", freq_width=6, time_masks=0).run(given).features
    assert (both["chroma"] == 0).any()
    with pytest.raises(ValueError, match=r"freq_width=27 must be at most the features' 20 bins; .* share"):
        SpecAugment().run(given)


def test_the_warp_of_time_is_a_straight_interpolation():
    frames = [60, 33, 3, 60]
    features = torch.randn(4, 5, 60, generator=torch.Generator().manual_seed(1))
    augmentation = SpecAugment(time_masks=0, freq_masks=0, warp=10)
    after = augmentation.run(clips(features, frames)).features
    draws = Draws(torch.arange(4), "SpecAugment")
    draws.chosen(1.0)
    drawn = draws.uniform(count=2)
    for row, own in enumerate(frames):
        assert torch.equal(after[row, :, own:], features[row, :, own:])
        if own < 4:
            assert torch.equal(after[row], features[row])
            continue
        reach = min(10, (own - 1) / 4)
        old = reach + drawn[row, 0].item() * (own - 1 - 2 * reach)
        new = min(max(old + (2 * drawn[row, 1].item() - 1) * reach, 1), own - 2)
        at = np.interp(np.arange(own), [0, new, own - 1], [0, old, own - 1])
        expected = np.stack([np.interp(at, np.arange(own), bins) for bins in features[row, :, :own].double().numpy()])
        assert np.abs(after[row, :, :own].numpy() - expected).max() < 1e-6
        assert abs(new - old) > 0.1


def test_the_point_that_is_warped_and_its_way_are_uniform():
    drawn = Draws(torch.arange(N), "x").uniform(count=2)
    warp = Warp(20, drawn[:, 0], drawn[:, 1], torch.ones(N, dtype=torch.bool))
    old, new = warp.pivots(torch.full((N,), 201))
    assert 20 <= old.min() < 21
    assert 179 < old.max() <= 180
    assert abs(old.mean() - 100) < 4
    moved = new - old
    assert -20 <= moved.min() < -19
    assert 19 < moved.max() <= 20
    assert abs(moved.mean()) < 1
    assert abs(moved.std() - 40 / 12**0.5) < 0.5


def test_clicks_and_their_labels_stay_together_through_the_warp():
    """Wide peaks, so that none falls between two frames; their labels have one frame each."""
    rng = np.random.default_rng(0)
    batch, frames = 40, 200
    features = torch.zeros(batch, 1, frames)
    targets = torch.zeros(batch, 2, frames)
    for row in range(batch):
        for place in np.sort(rng.choice(np.arange(8, 190, 12), 6, replace=False)):
            features[row, 0] += torch.exp(-0.5 * ((torch.arange(frames) - place) / 2.0) ** 2)
            targets[row, row % 2, place] = 1
    given = clips(features, [frames] * batch, targets=targets, fields={"speaker": torch.arange(batch)})
    given = given.with_values(framed=frozenset({"targets"}))
    after = SpecAugment(time_masks=0, freq_masks=0, warp=40).run(given)
    moved = 0
    for row in range(batch):
        labels = after.targets[row, row % 2].nonzero().flatten()
        assert not after.targets[row, 1 - row % 2].any()
        values = after.features[row, 0]
        peaks = [i for i in range(1, frames - 1) if values[i] > 0.5 and values[i] >= values[i - 1 : i + 2].max()]
        assert len(labels) >= 6
        assert all((labels - peak).abs().min() <= 1 for peak in peaks)
        assert all(values[label] > 0.5 for label in labels)
        moved += int(not torch.equal(after.targets[row], targets[row]))
    assert moved > 30
    assert torch.equal(after.fields["speaker"], torch.arange(batch))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8])
def test_labels_of_any_type_are_warped_as_they_are(dtype):
    targets = (torch.arange(100) % 7 == 0).expand(3, 100).to(dtype)
    given = clips(torch.rand(3, 4, 100), [100] * 3, targets={"activity": targets}, framed=frozenset({"targets"}))
    after = SpecAugment(time_masks=0, freq_masks=0, warp=20).run(given).targets["activity"]
    assert after.dtype == dtype
    assert not torch.equal(after, targets)
    assert (after.long().sum(1) >= 14).all()


def test_targets_in_frames_follow_in_a_collate():
    class Clicks(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            wave = torch.zeros(8000)
            wave[1000 + 500 * index] = 1.0
            return {"waveform": wave, "sample_rate": 8000, "seed": index, "target": index % 2}

    mel = af.LogMelSpectrogram(sample_rate=8000, n_fft=256, hop_length=80, n_mels=20)
    collate = af.GPUSpecCollate(mel, device="cpu", augment=SpecAugment(fill="zero", freq_width=0.3))
    batch = collate([Clicks()[i] for i in range(6)])
    plain = af.GPUSpecCollate(mel, device="cpu")([Clicks()[i] for i in range(6)])
    assert batch.features.shape == plain.features.shape
    assert not torch.equal(batch.features, plain.features)
    assert torch.equal(batch.targets, plain.targets)


def test_a_compiler_follows_it_in_one_graph():
    augmentation = SpecAugment(freq_width=5, warp=4, fill="mean")
    features, lengths, seeds = torch.rand(4, 20, 50), torch.tensor([50, 20, 9, 50]), torch.arange(4)

    def of(features, lengths, seeds):
        given = Clips(features[:, 0, :0], lengths * 0, seeds, features=features, feature_lengths=lengths)
        return augmentation.run(given).features

    compiled = torch.compile(of, backend="aot_eager", fullgraph=True)
    # the mean that fills is torch's in a compiled graph, and otherwise a kernel's
    torch.testing.assert_close(compiled(features, lengths, seeds), of(features, lengths, seeds), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_masks": -1}, r"time_masks=-1 must be an integer number of masks, 0 or more, or a float from 0 to 1"),
        ({"time_masks": 1.5}, r"time_masks=1.5 must be"),
        ({"time_width": True}, r"time_width=True must be"),
        ({"time_width": 2.0}, r"time_width=2.0 must be .* time_width=10 or time_width=0.05"),
        ({"freq_masks": 0.5}, r"freq_masks=0.5 must be an integer number of masks, 0 or more"),
        ({"freq_width": "a"}, r"freq_width='a' must be"),
        ({"max_time_share": 1.5}, r"max_time_share=1.5 must be a probability"),
        ({"max_time_masks": 0}, r"max_time_masks=0 must be an integer number of masks, 1 or more"),
        ({"placing": "torchaudio"}, r"placing='torchaudio'"),
        ({"fill": "noise"}, r"fill='noise' must be 'zero', 'mean', or a finite number"),
        ({"fill": float("nan")}, r"fill=nan must be"),
        ({"warp": 1.5}, r"warp=1.5 must be an integer number of frames, 0 or more"),
        ({"p": 2}, r"p=2 must be a probability"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SpecAugment(**settings)


def test_its_settings_are_shown_and_a_tensor_is_enough():
    assert "time_width=100, freq_masks=2" in repr(SpecAugment())
    assert "fill='mean'" in repr(SpecAugment())
    features = torch.ones(2, 40, 30)
    assert (SpecAugment(fill="zero")(features, torch.tensor([30, 30]), torch.tensor([1, 2])) == 0).any()
    with pytest.raises(TypeError, match=r"changes \['features', 'fields', 'targets'\]"):
        SpecAugment(warp=3)(features)
    with pytest.raises(ValueError, match=r"features of shape \(2, 30\) cannot be augmented"):
        SpecAugment().run(clips(torch.ones(2, 30), [30, 30]))
    with pytest.raises(ValueError, match=r"SpecAugment augments features, and these clips have none"):
        SpecAugment()(Clips(torch.ones(2, 30), torch.tensor([30, 30]), torch.tensor([1, 2])))
