"""Kernels of augmentations: torch's values, the same bits in any company, and when torch computes instead."""

from __future__ import annotations

import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch

from audiofeed.augment import (
    AddBackground,
    AddNoise,
    BitDepth,
    Clips,
    Compose,
    Dither,
    DropChunks,
    Filter,
    Gain,
    MuLaw,
    OneOf,
    Polarity,
    ReverbFrom,
    SpecAugment,
)
from audiofeed.augment.contract import augmentation as base
from audiofeed.augment.contract.draws import Draws, HostDraws, member_draws, member_seeds, stream_seeds
from audiofeed.augment.contract.noise import hashes, uniforms
from audiofeed.augment.kernels import hash as hash_kernel
from audiofeed.augment.kernels.convolution import machine_of
from audiofeed.augment.kernels.passes import Passes
from audiofeed.augment.kernels.rows import joined
from audiofeed.augment.spectra import spec_augment
from audiofeed.methods.short_time.kernel import jit
from tests.augment.cases.filters import rooms

RATE = 16_000
LENGTHS = [9_000, 0, 1, 40, 4_321, 20_000]
needs_kernels = pytest.mark.skipif(not jit.lanes(), reason="no kernels here: " + str(jit.missing()))


def sounds(dtype: torch.dtype = torch.int16, channels: int = 1) -> list[tuple[torch.Tensor, int]]:
    """Backgrounds of several lengths, some of them shorter than the clips."""
    made = [torch.randn(channels, n, generator=torch.Generator().manual_seed(n)) for n in (500, 30_000, 9_000)]
    return [((0.1 * x * 32_768).to(dtype) if dtype == torch.int16 else 0.1 * x, RATE) for x in made]


def clips(lengths=LENGTHS, channels: int | None = None, size: int | None = None) -> Clips:
    shape = () if channels is None else (channels,)
    waveforms = torch.zeros(len(lengths), *shape, size or max([*lengths, 1]))
    for row, n in enumerate(lengths):
        waveforms[row, ..., :n] = 0.1 * torch.randn(*shape, n, generator=torch.Generator().manual_seed(n))
    seeds = torch.tensor([100 + n for n in lengths])
    return Clips(waveforms, torch.tensor(lengths), seeds, RATE)


MAKE = {
    "gain": lambda: Gain((-12, 6), p=0.7),
    "polarity": lambda: Polarity(p=0.6),
    "reverb": lambda: ReverbFrom(rooms(), p=0.8),
    "reverb, wet": lambda: ReverbFrom(rooms(2), (0.2, 0.9)),
    "background": lambda: AddBackground(sounds(), (3, 30), keep="device", p=0.8),
    "background, read": lambda: AddBackground(sounds(), (3, 30), short="pad"),
    "background, float": lambda: AddBackground(sounds(torch.float32, 2), 10.0, keep="device"),
    "chain": lambda: Compose(
        [AddBackground(sounds(), (3, 30)), ReverbFrom(rooms(), p=0.5), Gain((-12, 6)), Polarity()]
    ),
    "noise": lambda: AddNoise((3, 30), p=0.8),
    "colored noise": lambda: AddNoise((3, 30), color=("blue", "brown"), p=0.8),
    "dither": lambda: Dither(0.1, p=0.8),
    "chunks of silence": lambda: DropChunks((0, 4), p=0.8),
    "chunks of noise": lambda: DropChunks((0, 4), (0.0, 0.05), fill="noise", p=0.8),
    "noisy chain": lambda: Compose([Gain(-3.0), AddNoise(10.0), DropChunks(2, 0.02, fill="noise"), Dither(0.01)]),
    "filter": lambda: Filter("peak", (50, 5_000), q=(0.5, 5), p=0.8),
    "filters": lambda: Compose([Filter("high_pass", 100.0), Gain(-3.0), Filter("low_shelf", 900.0)]),
    "one of": lambda: OneOf([Gain(-6.0), ReverbFrom(rooms())]),
    "bits": lambda: BitDepth((2, 9), p=0.8),
}
# a sample at the border of two steps may fall to either
AT_BORDERS = {"mu law": lambda: MuLaw((2, 9), p=0.8)}


FEATURES_TOO = {
    "all": lambda: [MAKE["background"](), MAKE["reverb"](), Gain(-3.0), SpecAugment(time_width=0.3, freq_width=5)],
    "some": lambda: [Gain(-3.0, p=0.5), SpecAugment(time_width=20, freq_width=5, p=0.5), SpecAugment(freq_masks=0)],
    "none": lambda: [Gain(-3.0, p=1e-9), SpecAugment(freq_width=5, fill=-2.0)],
}


def with_features(given: Clips) -> Clips:
    """The clips with features of two channels, noise in the padding too."""
    frames = (given.lengths // 100).clamp_min(1)
    features = torch.randn(given.batch, 2, 20, int(frames.max()), generator=torch.Generator().manual_seed(5))
    return given.with_values(features=features, feature_lengths=frames)


@contextlib.contextmanager
def by_torch(monkeypatch):
    """No augmentation takes its kernel."""
    with monkeypatch.context() as patch:
        patch.setattr(base, "readable", lambda *tensors: False)
        patch.setattr(spec_augment, "readable", lambda *tensors: False)
        yield


@contextlib.contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@needs_kernels
@pytest.mark.parametrize("channels", [None, 1, 2])
@pytest.mark.parametrize("name", MAKE)
def test_a_kernel_gives_what_torch_gives(name, channels, monkeypatch):
    augmentation, given = MAKE[name](), clips(channels=channels, size=21_000)
    assert augmentation.planned(given) is not None
    before = given.waveforms.clone()
    found = augmentation.run(given).waveforms
    with by_torch(monkeypatch):
        assert augmentation.planned(given) is None
        expected = augmentation.run(given).waveforms
    assert torch.equal(given.waveforms, before)
    assert (found - expected).abs().max() < 1e-6
    assert (found - before).abs().amax(-1).gt(0.01).sum() >= 2
    for row, n in enumerate(LENGTHS):
        assert not found[row, ..., n:].any()


@needs_kernels
@pytest.mark.parametrize("name", MAKE | AT_BORDERS)
def test_the_same_bits_alone_in_a_batch_and_on_two_threads(name):
    augmentation, given = (MAKE | AT_BORDERS)[name](), clips([40_000, *LENGTHS, 30_000, 29_999], size=50_000)
    with threads(1):
        together = augmentation.run(given).waveforms
    with threads(2):
        assert torch.equal(augmentation.run(given).waveforms, together)
        for row, n in enumerate(given.lengths.tolist()):
            own = clips([n])
            own = own.with_values(seeds=given.seeds[row : row + 1])
            assert torch.equal(augmentation.run(own).waveforms[0, :n], together[row, :n])


@needs_kernels
@pytest.mark.parametrize(
    "name", ["gain", "reverb", "background", "chain", "noise", "colored noise", "dither", "noisy chain", "filters"]
)
def test_waveforms_of_any_strides(name):
    augmentation, given = MAKE[name](), clips(channels=2)
    expected = augmentation.run(given).waveforms
    apart = given.waveforms.transpose(0, 1).contiguous().transpose(0, 1)
    every_other = given.waveforms.repeat_interleave(2, -1)[..., ::2]
    wide = torch.nn.functional.pad(given.waveforms, (3, 5))[..., 3:-5]
    for other in (apart, every_other, wide):
        assert torch.equal(other, given.waveforms)
        assert not other.is_contiguous()
        assert torch.equal(augmentation.run(given.with_values(waveforms=other)).waveforms, expected)


@needs_kernels
@pytest.mark.parametrize(
    "name", ["gain", "reverb", "background", "chain", "noise", "colored noise", "dither", "noisy chain", "filters"]
)
def test_what_a_kernel_cannot_do_torch_does(name):
    augmentation, given = MAKE[name](), clips()
    by_kernel = augmentation.run(given).waveforms
    double = given.with_values(waveforms=given.waveforms.double())
    assert augmentation.planned(double) is None
    assert augmentation.run(double).waveforms.dtype == torch.float64
    assert (augmentation.run(double).waveforms - by_kernel).abs().max() < 1e-6
    graph = given.with_values(waveforms=given.waveforms.clone().requires_grad_())
    assert augmentation.planned(graph) is None
    assert augmentation.run(graph).waveforms.requires_grad
    with torch.no_grad():
        assert augmentation.planned(graph) is not None


@pytest.mark.parametrize(
    "name", ["gain", "reverb", "background", "chain", "noise", "colored noise", "dither", "noisy chain", "filters"]
)
def test_without_a_compiler_torch_does_it(name, monkeypatch):
    augmentation, given = MAKE[name](), clips()
    expected = augmentation.run(given).waveforms
    monkeypatch.setattr(jit, "lanes", lambda: 0)
    hash_kernel._kernel.cache_clear()
    try:
        assert augmentation.planned(given) is None
        assert (augmentation.run(given).waveforms - expected).abs().max() < 1e-6
    finally:
        hash_kernel._kernel.cache_clear()


@needs_kernels
@pytest.mark.parametrize("size", [1024, 2048, 4096, 8192, 32_768, 65_536, 131_072])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_the_passes_leave_each_bin_once(lanes, size):
    passes = Passes(lanes, size)
    assert sorted(passes.order.tolist()) == list(range(size))
    assert np.prod(passes.radices) * lanes == size
    assert passes.sub >= lanes**2


@needs_kernels
@pytest.mark.parametrize("lanes", [4, 8])
@pytest.mark.parametrize("taps", [300, 5_000])
def test_narrower_vectors_give_the_definition(lanes, taps, monkeypatch):
    response = torch.randn(3, taps, generator=torch.Generator().manual_seed(1)) * torch.linspace(1, 0.01, taps)
    given = clips([9_000, 30_000])
    expected = ReverbFrom(response, 0.7).run(given).waveforms
    if lanes > jit.lanes():
        pytest.skip(f"this processor has vectors of {jit.lanes()} floats")
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    found = ReverbFrom(response, 0.7).run(given).waveforms
    assert (found - expected).abs().max() < 1e-6


@needs_kernels
def test_rooms_follow_a_copy_and_do_not_travel_with_it():
    augmentation, given = ReverbFrom(rooms()), clips()
    expected = augmentation.run(given).waveforms
    assert augmentation._rooms._rooms is not None
    assert len(pickle.dumps(augmentation)) < 2 * augmentation.spectra.nbytes
    for other in (copy.deepcopy(augmentation), pickle.loads(pickle.dumps(augmentation))):
        assert torch.equal(other.run(given).waveforms, expected)
    augmentation.spectra = augmentation.spectra.flip(0).contiguous()
    assert not torch.equal(augmentation.run(given).waveforms, expected)


@needs_kernels
def test_rooms_that_do_not_fit_twice_are_torchs():
    needed = ReverbFrom(rooms()).spectra.nbytes
    fits = ReverbFrom(rooms(), keep_gb=2.1 * needed / 1e9)
    tight = ReverbFrom(rooms(), keep_gb=1.9 * needed / 1e9)
    given = clips()
    assert fits.planned(given) is not None
    assert tight.spectra is not None
    assert tight.planned(given) is None
    assert (tight.run(given).waveforms - fits.run(given).waveforms).abs().max() < 1e-6


@needs_kernels
def test_a_kernel_that_cannot_be_made_leaves_it_to_torch(monkeypatch):
    given, augmentation = clips(), ReverbFrom(rooms())
    expected = augmentation.run(given).waveforms
    monkeypatch.setattr(jit, "Machine", None)
    machine_of.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="llvmlite cannot make code"):
            found = ReverbFrom(rooms()).run(given).waveforms
        assert (found - expected).abs().max() < 1e-6
    finally:
        machine_of.cache_clear()


def test_an_augmentation_of_somebodys_own_is_not_passed_over():
    class Doubled(Gain):
        def change(self, clips, active, draws):
            return clips.put(active, 2 * clips.waveforms)

    class Noted(Gain):
        def run(self, clips, gate=None, stage=None):
            seen.append(clips.waveforms.clone())
            return super().run(clips, gate, stage)

    given, seen = clips(), []
    found = Compose([Gain(0.0), Doubled(0.0), Noted(0.0)]).run(given).waveforms
    assert torch.equal(found, 2 * given.waveforms)
    assert torch.equal(seen[0], 2 * given.waveforms)


def test_a_chain_is_its_members_one_after_another():
    members = [MAKE["background"](), MAKE["reverb"](), Gain(-3.0), lambda w, n, s: w.clamp(-0.05, 0.05), Gain(2.0)]
    chain, given = Compose(members), clips()
    together = chain.run(given).waveforms
    after = given
    for place, member in enumerate(chain.members):
        after = member.run(after.with_values(seeds=stream_seeds(given.seeds, place)))
    assert torch.equal(together, after.waveforms)


@needs_kernels
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("name", ["reverb", "reverb, wet", "background"])
def test_a_gain_done_by_the_step_before_it_has_the_bits_of_its_own(name, channels):
    chain, given = Compose([MAKE[name](), Gain((-12, 6), p=0.7), Gain(2.0)]), clips([40_000, *LENGTHS], channels)
    steps = chain.planned(given)
    passes = [sum(len(step.rows) for step in some) for some in (steps, joined(steps, given.batch))]
    assert passes[0] > passes[1]
    together, after = chain.run(given).waveforms, given
    for place, member in enumerate(chain.members):
        after = member.run(after.with_values(seeds=stream_seeds(given.seeds, place)))
    assert torch.equal(together, after.waveforms)


@needs_kernels
@pytest.mark.parametrize("lead", [0, 1, 37, 2_000])
@pytest.mark.parametrize("n", [1, 15, 4_095, 24_000, 24_001, 49_000, 60_000])
def test_parts_of_a_block_over_the_ends_of_a_clip(lead, n):
    response = 0.01 * torch.randn(1, 8_000, generator=torch.Generator().manual_seed(1))
    response[0, lead] = 1.0
    given = clips([n])
    room = np.convolve(given.waveforms[0, :n].double().numpy(), response[0].double().numpy())[lead : lead + n]
    before = given.waveforms.double().square().sum().sqrt().item()
    expected = torch.from_numpy(room * before / np.linalg.norm(room))
    found = ReverbFrom(response).run(given).waveforms[0]
    assert (found - expected).abs().max() < 1e-6


@needs_kernels
@pytest.mark.parametrize("fill", ["mean", "zero", -4.0])
@pytest.mark.parametrize("shape", [(20, 300), (2, 20, 300), (3, 1)])
@pytest.mark.parametrize("wide", [{"time_width": 30}, {"time_width": 0.29, "time_masks": 0.07, "placing": "nemo"}])
def test_masks_are_torchs(wide, shape, fill, monkeypatch):
    features = torch.randn(7, *shape, generator=torch.Generator().manual_seed(0))
    frames = torch.tensor([300, 1, 0, 100, 299, 16, 300]).clamp_max(shape[-1])
    augmentation = SpecAugment(freq_width=min(5, shape[-2]), max_time_share=0.29, **wide, fill=fill, p=0.8)
    seeds = torch.arange(7)
    found = augmentation(features, frames, seeds)
    with by_torch(monkeypatch):
        expected = augmentation(features, frames, seeds)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(found == features, expected == features)
    apart = features.transpose(0, -1).contiguous().transpose(0, -1)
    with threads(2):
        assert torch.equal(augmentation(apart, frames, seeds), found)
    for row in range(7):
        n = int(frames[row])
        alone = augmentation(features[row : row + 1, ..., : max(n, 1)], frames[row : row + 1], seeds[row : row + 1])
        assert torch.equal(alone[0, ..., :n], found[row, ..., :n])


@needs_kernels
@pytest.mark.parametrize("name", FEATURES_TOO)
def test_waveforms_and_features_of_a_chain_are_done_together(name):
    chain, given = Compose(FEATURES_TOO[name]()), with_features(clips([30_000, *LENGTHS]))
    steps, after = chain.planned(given), given
    assert {step.of for step in steps} == {"waveforms", "features"} - ({"waveforms"} if name == "none" else set())
    for place, member in enumerate(chain.members):
        after = member.run(after.with_values(seeds=stream_seeds(given.seeds, place)))
    assert not torch.equal(after.features, given.features)
    for count in (1, 2):
        with threads(count):
            together = chain.run(given)
        assert torch.equal(together.waveforms, after.waveforms)
        assert torch.equal(together.features, after.features)
    for stage, changed in (("waveforms", after.waveforms), ("features", after.features)):
        part = chain.run(given, stage=stage)
        assert torch.equal(getattr(part, stage), changed)
        other = ({"waveforms", "features"} - {stage}).pop()
        assert getattr(part, other) is getattr(given, other)


@needs_kernels
def test_features_by_name_are_masked_as_each_is_alone():
    given = with_features(clips())
    both = {"a": given.features, "b": given.features[:, :, :7, ::2].contiguous()}
    frames = {"a": given.feature_lengths, "b": (given.feature_lengths + 1) // 2}
    found = SpecAugment(freq_width=5).run(given.with_values(features=both, feature_lengths=frames)).features
    for name in ("a", "b"):
        own = given.with_values(features=both[name], feature_lengths=frames[name])
        alone = SpecAugment(freq_width=5).run(own).features
        # the same masks over time, and others over the frequency of the second
        assert torch.equal(alone, found[name]) == (name == "a")
        assert not torch.equal(found[name], both[name])


@needs_kernels
def test_a_kernels_companding_is_torchs_but_at_borders_and_keeps_nan(monkeypatch):
    augmentation, given = MuLaw((2, 9)), clips([9_000, 4_321, 20_000])
    found = augmentation.run(given).waveforms
    assert augmentation.planned(given) is not None
    with by_torch(monkeypatch):
        expected = augmentation.run(given).waveforms
    assert (found != expected).float().mean() < 1e-3
    odd = torch.tensor([[float("nan"), float("inf"), -float("inf"), 2.0, -0.0, 1e-30]])
    for made in (MuLaw(5), BitDepth(5)):
        values = made(odd, seeds=torch.tensor([1]))
        with by_torch(monkeypatch):
            torch.testing.assert_close(values, made(odd, seeds=torch.tensor([1])), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("by_kernel", [True, False])
def test_draws_on_the_host_are_those_of_tensors(by_kernel, monkeypatch):
    seeds = torch.tensor([3, -4, 5, 2**62])
    if not by_kernel:
        monkeypatch.setattr(hash_kernel, "_stream_kernel", lambda: None)
        assert member_draws(seeds, ["Gain"]) is None
    each = [(seeds, HostDraws(seeds, "Gain"), "Gain"), (seeds, Draws(seeds, "Gain").on_host(), "Gain")]
    if by_kernel:
        names = ["Gain", "Polarity", "Gain"]
        pairs = zip(member_draws(seeds, names), names, strict=True)
        each += [(own, draws, name) for (own, draws), name in pairs]
        assert torch.equal(torch.stack([own for own, _, _ in each[2:]]), member_seeds(seeds, 3))
    for own, draws, name in each:
        tensors = Draws(own, name)
        gate = torch.tensor([True, False, True, True])
        assert draws.rows(1.0, None).tolist() == [0, 1, 2, 3]
        assert draws.rows(1.0, gate).tolist() == [0, 2, 3]
        tensors.skip(2)
        chosen = tensors.chosen(0.5)
        assert draws.rows(0.5, None).tolist() == chosen.nonzero()[:, 0].tolist()
        chosen = tensors.chosen(0.5) & gate
        assert draws.rows(0.5, gate).tolist() == chosen.nonzero()[:, 0].tolist()
        assert draws.chosen(0.5).tolist() == tensors.chosen(0.5).tolist()
        for count in (None, 3, 30):
            assert np.array_equal(draws.uniform(-6.0, 6.0, count), tensors.uniform(-6.0, 6.0, count).numpy())
            assert np.array_equal(draws.integers(7, count), tensors.integers(7, count).numpy())
        assert np.array_equal(draws.bits(2), tensors.bits(2).numpy())
        assert torch.equal(draws.on_tensors().uniform(), tensors.uniform())
        assert torch.equal(draws.seeds, tensors.seeds)


def test_draws_are_numbered_however_they_are_asked_for():
    seeds = torch.tensor([3, -4, 5])
    own = stream_seeds(seeds, "Gain")
    draws, taken = Draws(seeds, "Gain"), 0
    for count in (1, 3, None, 11, 2, 40, None):
        drawn = draws.uniform(count=count)
        expected = uniforms(own, count or 1, taken)
        assert torch.equal(drawn, expected[:, 0] if count is None else expected)
        taken += count or 1
    draws.skip(2)
    assert torch.equal(draws.bits(), hashes(own, 1, taken + 2))


@needs_kernels
def test_draws_are_torchs_to_the_bit(monkeypatch):
    seeds = torch.tensor([0, 1, -1, 2**62, -(2**63), 12_345])[::2]
    asked = [(n, first) for n in (1, 7, 8, 1_001) for first in (0, 5, 2**40)]
    found = [(hashes(seeds, *each), uniforms(seeds, *each)) for each in asked]
    monkeypatch.setattr(hash_kernel, "_kernel", lambda uniform: None)
    for (ours, draws), each in zip(found, asked, strict=True):
        assert torch.equal(ours, hashes(seeds, *each))
        assert torch.equal(draws, uniforms(seeds, *each))
