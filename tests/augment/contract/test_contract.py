"""What every augmentation keeps: a clip is augmented alike in any batch, padding stays, nothing is read back."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import audiofeed as af
from audiofeed.augment import Augmentation, Clips
from audiofeed.augment.compose.compose import Composed, Given
from audiofeed.augment.mixing.mixing import Mixing
from audiofeed.feed.augmenting import WorkerPart
from audiofeed.feed.collate import BatchSettings
from audiofeed.feed.padding import Padded
from benchmarks.device.determinism import Refused, deterministic
from tests.augment.cases.every import CASES
from tests.transforms.contract.fake_device import needs_cuda_build

RATE = 16_000
LENGTHS = [9_000, 4_321, 1, 9_000, 7_777]
FRAMES = [90, 43, 1, 90, 77]
SEEDS = [11, 2**61 + 5, 3, 4, 99]


def classes() -> set[type]:
    """Every augmentation of the package, found by walking it."""
    found = set()
    for info in pkgutil.walk_packages(af.augment.__path__, "audiofeed.augment."):
        members = vars(importlib.import_module(info.name)).values()
        found |= {m for m in members if inspect.isclass(m) and issubclass(m, Augmentation)}
    return {cls for cls in found if cls.__module__.startswith("audiofeed.")} - {Augmentation, Composed, Given, Mixing}


def test_every_augmentation_has_a_case_and_a_public_name():
    names = {name.split("-")[0] for name in CASES}
    assert {cls.__name__ for cls in classes()} == names
    assert names <= set(af.augment.__all__)


def built(name: str, p: float | None = None) -> Augmentation:
    augmentation = CASES[name].make()
    if p is not None:
        augmentation.p = p
    return augmentation


def clips(rows: list[int], augmentation: Augmentation, *, channels: int | None = None, dtype=torch.float32) -> Clips:
    """The clips of some rows of one batch, padded to the longest of them alone."""
    lengths, frames = [LENGTHS[row] for row in rows], [FRAMES[row] for row in rows]
    shape = () if channels is None else (channels,)
    waveforms = torch.zeros(len(rows), *shape, max(lengths), dtype=dtype)
    features = torch.zeros(len(rows), *shape, 20, max(frames), dtype=dtype)
    for place, row in enumerate(rows):
        generator = torch.Generator().manual_seed(row)
        waveforms[place, ..., : LENGTHS[row]] = 0.3 * torch.randn(*shape, LENGTHS[row], generator=generator)
        features[place, ..., : FRAMES[row]] = torch.randn(*shape, 20, FRAMES[row], generator=generator)
    seeds = torch.tensor([SEEDS[row] for row in rows])
    made = Clips(waveforms, torch.tensor(lengths), seeds, RATE, targets=torch.eye(5)[rows])
    if "features" in augmentation.stages:
        made = made.with_values(features=features, feature_lengths=torch.tensor(frames))
    return fetched(augmentation, made)


def fetched(augmentation: Augmentation, given: Clips) -> Clips:
    """The clips with what the worker reads for them."""
    padded = Padded(given.waveforms, given.lengths, given.targets, None, given.sample_rate, given.seeds)
    return given.with_values(fetched=WorkerPart.of(augmentation).add_to(padded, BatchSettings().pad_others).fetched)


def changed(given: Clips, after: Clips) -> torch.Tensor:
    """Which clips are not as they were (batch,)."""
    if after.features is not None:
        return (after.features != given.features).flatten(1).any(1)
    width = min(after.size, given.size)
    other = (after.waveforms[..., :width] != given.waveforms[..., :width]).flatten(1).any(1)
    return other | (after.lengths != given.lengths)


alone = [name for name in CASES if CASES[name].make().alone]
# those of filters change nothing before the transform: see test_filter_jitter
of_clips = [name for name in CASES if "filters" not in CASES[name].make().stages]


@pytest.mark.parametrize("channels", [None, 2], ids=["mono", "stereo"])
@pytest.mark.parametrize("name", [name for name in alone if name in of_clips])
def test_a_clip_has_the_same_bits_alone_and_in_any_batch(name, channels):
    augmentation = built(name)
    rows = list(range(len(LENGTHS)))
    whole_given = clips(rows, augmentation, channels=channels)
    together = augmentation.run(whole_given)
    assert changed(whole_given, together).sum() >= 2
    for part in ([0], [1], [2], [4, 1], [3, 4, 2]):
        found = augmentation.run(clips(part, augmentation, channels=channels))
        for place, row in enumerate(part):
            length = int(together.lengths[row])
            assert int(found.lengths[place]) == length
            ours, theirs = found.waveforms[place, ..., :length], together.waveforms[row, ..., :length]
            assert torch.equal(ours, theirs), f"row {row} of {part}: {(ours - theirs).abs().max()}"
            assert torch.equal(found.targets[place], together.targets[row])
            if together.features is not None:
                frames = int(together.feature_lengths[row])
                assert torch.equal(found.features[place, ..., :frames], together.features[row, ..., :frames])


@pytest.mark.parametrize("name", of_clips)
def test_padding_stays_padding_and_values_stay_finite(name):
    augmentation = built(name)
    after = augmentation.run(clips([0, 1, 2, 3, 4], augmentation, channels=2))
    for row, length in enumerate(after.lengths.tolist()):
        assert length <= after.size
        assert not after.waveforms[row, ..., length:].any()
    assert after.waveforms.isfinite().all()
    assert after.waveforms.dtype == torch.float32
    if after.features is not None:
        assert after.features.isfinite().all()
        for row, length in enumerate(after.feature_lengths.tolist()):
            assert not after.features[row, ..., length:].any()


@pytest.mark.parametrize("name", of_clips)
def test_evaluation_and_a_probability_of_0_change_nothing(name):
    for augmentation in (built(name).eval(), built(name, p=0.0)):
        given = clips([0, 1, 2], augmentation)
        after = augmentation.run(given)
        assert after.waveforms is given.waveforms
        assert after.features is given.features
        assert after.targets is given.targets
        assert after.lengths is given.lengths


@pytest.mark.parametrize("name", [name for name in of_clips if CASES[name].keeps_p])
def test_a_probability_is_the_share_of_clips_that_change(name):
    augmentation = built(name, p=1.0)
    n = 1000
    values = torch.randn(n, 4, 12, generator=torch.Generator().manual_seed(0))
    whole = torch.full((n,), 400)
    noise = 0.3 * torch.randn(n, 400, generator=torch.Generator().manual_seed(1))
    given = Clips(noise, whole, torch.arange(n), RATE, targets=torch.eye(n))
    if "features" in augmentation.stages:
        given = given.with_values(features=values, feature_lengths=torch.full((n,), 12))
    given = fetched(augmentation, given)
    always = changed(given, augmentation.run(given))
    augmentation.p = 0.3
    sometimes = changed(given, augmentation.run(given))
    assert not (sometimes & ~always).any()
    share = sometimes.sum() / always.sum()
    assert abs(share - 0.3) < 0.06, (share, always.sum())


@pytest.mark.parametrize("name", of_clips)
def test_other_seeds_draw_otherwise(name):
    augmentation = built(name)
    given = clips([0, 1, 3, 4], augmentation)
    first = augmentation.run(given)
    again = augmentation.run(given)
    other = augmentation.run(fetched(augmentation, given.with_values(seeds=given.seeds + 1)))
    attribute = "features" if given.features is not None else "waveforms"
    assert torch.equal(getattr(first, attribute), getattr(again, attribute))
    if getattr(first, attribute).shape == getattr(other, attribute).shape:
        assert not torch.equal(getattr(first, attribute), getattr(other, attribute))


@pytest.mark.parametrize("name", [name for name in of_clips if CASES[name].has_gradient])
def test_gradients_reach_the_clips(name):
    augmentation = built(name)
    given = clips([0, 1, 3], augmentation)
    attribute = "features" if given.features is not None else "waveforms"
    values = getattr(given, attribute).clone().requires_grad_()
    after = augmentation.run(given.with_values(**{attribute: values}))
    getattr(after, attribute).square().sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert values.grad.flatten(1).abs().sum(1).gt(0).any()


@needs_cuda_build
@pytest.mark.parametrize("name", of_clips)
def test_nothing_is_read_back_from_a_device(name):
    """Under fake tensors on a CUDA device a read back of a value raises, and so does an operation of two devices.

    Nor is there an operation that torch refuses where it is asked for the same bits in every run.
    """
    augmentation = built(name)
    given = clips([0, 1, 4], augmentation)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:

        def moved(value):
            if isinstance(value, torch.Tensor):
                return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")
            if isinstance(value, (list, tuple)):
                return type(value)(moved(entry) for entry in value)
            return {key: moved(entry) for key, entry in value.items()} if isinstance(value, dict) else value

        def to_fake(value):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")

        for module in augmentation.modules():
            for key, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[key] = to_fake(buffer)
        assert mode is not None
        fields = ("waveforms", "lengths", "seeds", "targets", "fields", "features", "feature_lengths", "fetched")
        fake = given.with_values(**{name: moved(getattr(given, name)) for name in fields})
        with deterministic(), Refused() as refused:
            after = augmentation.run(fake)
            refused.look_back((after.waveforms, after.features))
        assert refused.names == set()
        assert after.waveforms.device.type == "cuda"
        assert after.lengths.device.type == "cuda"


@pytest.mark.parametrize("name", of_clips)
def test_an_augmentation_can_be_pickled_and_says_what_it_is(name):
    augmentation = built(name)
    twin = pickle.loads(pickle.dumps(augmentation))
    given = clips([0, 1], augmentation)
    assert torch.equal(augmentation.run(given).waveforms, twin.run(given).waveforms)
    assert type(augmentation).__name__ in repr(augmentation)
    assert repr(twin) == repr(augmentation)


class Noises(torch.utils.data.Dataset):
    """Clips of unequal lengths, with the seed that a dataset of ours would give them."""

    takes_keys = True

    def __init__(self, n: int = 12) -> None:
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, key):
        epoch, index = (0, key) if isinstance(key, int) else (key[0], key[1])
        generator = torch.Generator().manual_seed(index)
        length = 2_000 + 700 * (index % 5)
        noise = (3000 * torch.randn(length, generator=generator)).round().to(torch.int16)
        seed = 1 + 1000 * epoch + index
        return af.AudioExample(noise, RATE, torch.eye(3)[index % 3], key=str(index), seed=seed)


def features_by_name(name: str, **settings) -> dict[str, torch.Tensor]:
    collate = af.GPUSpecCollate(
        af.LogMelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=20), device="cpu", augment=built(name)
    )
    loader = torch.utils.data.DataLoader(Noises(), collate_fn=collate, **settings)
    found = {}
    for batch in loader:
        for clip, features, frames in zip(batch.names, batch.features, batch.feature_lengths, strict=True):
            found[clip] = features[:, :frames]
    return found


@pytest.mark.parametrize("name", alone)
def test_a_clip_has_the_same_features_at_any_number_of_ranks_and_batch_sizes(name):
    together = features_by_name(name, batch_size=12)
    parts: dict[str, torch.Tensor] = {}
    for rank in (0, 1):
        sampler = af.EpochSampler(Noises(), shuffle=True, seed=3, rank=rank, world_size=2)
        parts |= features_by_name(name, batch_size=3, sampler=sampler)
    assert parts.keys() == together.keys()
    for clip, features in together.items():
        assert torch.equal(features, parts[clip]), clip
