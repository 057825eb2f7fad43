"""A chain takes steps along and works in its own memory: the values of each member alone, unseen by anybody else."""

from __future__ import annotations

import random

import pytest
import torch

import audiofeed as af
from audiofeed.methods.frame_steps import Affine
from audiofeed.methods.short_time.kernel import jit, layout, lines
from audiofeed.transforms.short_time import short_time_transform
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from tests.signals import single_noise as noise

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}
BINS = [float(b) for b in range(10)], [1.0 + b / 7 for b in range(10)]
kernels = pytest.mark.skipif(not jit.lanes(), reason="needs llvmlite")

# chains whose values are those of their members to the last bit
EXACT = {
    "constants": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize(-4.0, 3.0)),
    "bins": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize(*BINS), af.Rescale(add=0.3, divide=7.0)),
    "no_logarithm": lambda: af.Chain(af.MelSpectrogram(**MEL), af.Rescale(add=0.1, divide=0.3)),
    "limit": lambda: af.Chain(af.LogMelSpectrogram(**MEL, log="log10", top=1.5), af.Normalize(*BINS)),
    "limit_alone": lambda: af.Chain(af.LogMelSpectrogram(**MEL, log="db", top_db=9.0), af.PadFrames(multiple=8)),
    "cepstrum": lambda: af.Chain(
        af.MFCC(sample_rate=8000, n_fft=128, n_mels=10, n_mfcc=6, log="ln", top_db=None),
        af.Rescale(add=0.3, divide=7.0),
    ),
    "filled": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.PadFrames(to=60, value=0.5, longer="crop", counts=True), af.Normalize(*BINS)
    ),
    "filled_to_multiple": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.Rescale(add=2.0), af.PadFrames(multiple=8, counts=True), af.Normalize(*BINS)
    ),
    "cropped": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.PadFrames(to=5, longer="crop", counts=True), af.Rescale(add=2.0)
    ),
    "padded_value": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.PadFrames(to=60, value=-2.0), af.Rescale(add=1.0)),
    "padded_cropped": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.Normalize(1.0, 3.0), af.PadFrames(to=7, longer="crop"), af.Rescale(add=1.0)
    ),
    "padded_value_last": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.Rescale(add=1.0), af.PadFrames(to=60, value=-2.0)
    ),
    "padded_last": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize(1.0, 3.0), af.PadFrames(to=60)),
    "emphasis": lambda: af.Chain(af.PreEmphasis(0.97), af.LogMelSpectrogram(**MEL), af.Normalize(-4.0, 3.0)),
    "two_before": lambda: af.Chain(
        af.RemoveMean(), af.PreEmphasis(0.9, first="drop"), af.MelSpectrogram(**MEL), af.Rescale(divide=3.0)
    ),
    "one_mean": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize(0.5, BINS[1])),
    "one_deviation": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.Normalize(BINS[0], 3.0), af.PadFrames(to=60, counts=True)
    ),
    "foreign": lambda: af.Chain(af.LogMelSpectrogram(**MEL), torch.nn.Tanh(), af.Rescale(add=1.0), af.Normalize(*BINS)),
}
# chains whose logarithm or moments are those of machine code instead
CLOSE = {
    "compressed": lambda: af.Chain(
        af.MelSpectrogram(**MEL), af.Rescale(divide=1e-2), af.LogCompression(log="log1p"), af.Rescale(divide=2.3)
    ),
    "magnitude": lambda: af.Chain(
        af.Spectrogram(128, hop_length=32, power=1.0), af.LogCompression(log="log1p"), af.NormalizeClips(over="clip")
    ),
    "by_bin": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.NormalizeClips(), af.PadFrames(multiple=4)),
    "variance": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.NormalizeClips(unbiased=False, eps_to="variance"), af.LogCompression(offset=9.0)
    ),
    "powers": lambda: af.Chain(af.Spectrogram(128, hop_length=32), af.NormalizeClips(over="clip", eps=0.0)),
    "shifted": lambda: af.Chain(
        af.LogMelSpectrogram(**MEL), af.Rescale(add=50.0), af.NormalizeClips(over="clip", unbiased=False)
    ),
    "mean_alone": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.NormalizeClips(norm_vars=False)),
    "limited_compression": lambda: af.Chain(af.MelSpectrogram(**MEL), af.LogCompression(log="db", top_db=7.0)),
}


def one_by_one(chain: af.Chain, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
    """What the members make one after another, each called as it is."""
    for i in range(len(chain)):
        x, lengths = chain._step(i, x, lengths)
    return x


def inputs() -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
    """One clip, a batch, channels, 16-bit samples, and a padded batch with NaN past its ends."""
    padded, lengths = noise(3, 700), torch.tensor([700, 333, 131])
    for row, length in zip(padded, lengths.tolist(), strict=True):
        row[length:] = torch.nan
    return {
        "one": (noise(701), None),
        "batch": (noise(3, 700), None),
        "channels": (noise(2, 2, 700), torch.tensor([650, 700])),
        "int16": ((noise(2, 700) * 3000).to(torch.int16), torch.tensor([700, 200])),
        "half": (noise(2, 700).bfloat16(), None),
        "double": (noise(2, 700).double(), torch.tensor([700, 400])),
        "padded": (padded, lengths),
    }


@pytest.mark.parametrize("name", [*EXACT, *CLOSE])
def test_a_chain_has_the_values_of_its_members(name):
    chain = {**EXACT, **CLOSE}[name]()
    for kind, (x, lengths) in inputs().items():
        before = x.clone()
        expected = one_by_one(chain, x, lengths)
        found = chain(x, lengths)
        assert torch.equal(x.nan_to_num(), before.nan_to_num()), kind
        assert found.dtype == expected.dtype
        assert found.is_contiguous() == expected.is_contiguous(), kind
        if name in EXACT:
            assert torch.equal(found, expected), kind
        else:
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=3e-5, msg=kind)
        with torch.inference_mode():
            assert torch.equal(chain(x, lengths), found), kind


@kernels
@pytest.mark.parametrize("name", [name for name in EXACT if name not in ("limit_alone", "foreign")])
def test_steps_are_taken_along(name, monkeypatch):
    given = []
    real = ShortTime.carrying
    monkeypatch.setattr(ShortTime, "carrying", lambda self, *a, **k: given.append(a) or real(self, *a, **k))
    chain = EXACT[name]()
    chain(noise(2, 700))
    assert len(given) == 1
    emphasized = [isinstance(member, af.PreEmphasis) for member in chain]
    assert (given[0][3] is not None) == any(emphasized)
    # what comes after frames that do not count is to leave them as they are
    until = next((i for i, m in enumerate(chain) if isinstance(m, af.PadFrames) and not m.counts), len(chain))
    assert len(given[0][2]) == sum(isinstance(member, af.Normalize | af.Rescale) for member in list(chain)[:until])


@kernels
@pytest.mark.parametrize("clips", [noise(2, 700), noise(2, 3, 700), noise(700)], ids=["rows", "channels", "one"])
def test_clips_are_closed_where_their_frames_are_computed(clips, monkeypatch):
    passes, forms = [], []
    pass_over, run = lines.Lines._run, layout.FrameLayout._run

    def spied(self, spec, *others):
        forms.append(spec.closing)
        return run(self, spec, *others)

    monkeypatch.setattr(lines.Lines, "_run", lambda self, *a: passes.append(a[0]) or pass_over(self, *a))
    monkeypatch.setattr(layout.FrameLayout, "_run", spied)
    for chain in (CLOSE["by_bin"](), CLOSE["variance"](), CLOSE["magnitude"](), EXACT["limit"]()):
        chain(clips)
    assert forms == [
        ("bin", "unbiased", "std"),
        ("bin", "biased", "variance"),
        ("clip", "unbiased", "std"),
        ("limit", "affine"),
    ]
    assert passes == []


@kernels
def test_what_cannot_be_closed_is_passed_over(monkeypatch):
    """Means alone, features of a member that has steps of clips of its own, and frames that count as padding."""
    passes = []
    real = lines.Lines._run
    monkeypatch.setattr(lines.Lines, "_run", lambda self, *a: passes.append(a[0]) or real(self, *a))
    limited = af.Chain(af.LogMelSpectrogram(**MEL, log="db", top_db=9.0), af.NormalizeClips(over="clip"))
    padded = af.Chain(af.LogMelSpectrogram(**MEL), af.PadFrames(multiple=8, counts=True), af.NormalizeClips())
    for chain in (CLOSE["mean_alone"](), limited, padded):
        for x, lengths in inputs().values():
            torch.testing.assert_close(chain(x, lengths), one_by_one(chain, x, lengths), rtol=1e-5, atol=3e-5)
    assert {"moments", ("scale",), ("standardize", "unbiased", "std")} <= set(passes)


def test_features_of_the_caller_stay_as_they_are():
    for chain in (
        af.Chain(af.Normalize(1.0, 2.0), af.Rescale(add=1.0), af.NormalizeClips()),
        af.Chain(af.LogCompression(offset=9.0), af.PadFrames(multiple=1), af.Rescale(add=1.0)),
        af.Chain(af.PadFrames(multiple=1), af.Rescale(add=1.0)),
        af.Chain(torch.nn.Identity(), af.Rescale(add=1.0)),
        af.Chain(af.NormalizeClips(), af.Normalize(1.0, 2.0)),
    ):
        features = noise(2, 5, 30)
        before = features.clone()
        for lengths in (None, torch.tensor([30, 7])):
            expected = one_by_one(chain, features, lengths)
            torch.testing.assert_close(chain(features, lengths), expected, rtol=1e-5, atol=1e-5)
            assert torch.equal(features, before)


class Unchanged(af.NormalizeClips):
    """A user's member that gives back what it is given, and may work in place."""

    def compute(self, features, lengths, *, graph):
        return features

    def compute_own(self, features, lengths):
        return features


def test_features_that_a_member_hands_on_are_still_the_callers():
    chain, features = af.Chain(Unchanged(), af.Rescale(add=1.0), af.Normalize(1.0, 2.0)), noise(2, 5, 30)
    before = features.clone()
    assert torch.equal(chain(features), one_by_one(chain, before))
    assert torch.equal(features, before)


def test_a_hook_sees_its_member_and_keeps_what_it_saw():
    for number in range(4):
        chain = af.Chain(
            af.PreEmphasis(),
            af.LogMelSpectrogram(**MEL),
            af.Normalize(1.0, 2.0),
            af.NormalizeClips(),
            af.Rescale(add=1.0),
        )
        x = noise(2, 700)
        expected = chain(x)
        seen, values = [], x
        for member in list(chain)[: number + 1]:
            before, values = values, member(values)
        chain[number].register_forward_hook(lambda _, given, result, seen=seen: seen.append((given[0], result)))
        torch.testing.assert_close(chain(x), expected, rtol=1e-5, atol=1e-5)
        assert len(seen) == 1
        torch.testing.assert_close(seen[0][0], before, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen[0][1], values, rtol=1e-5, atol=1e-5)


def test_a_hook_before_a_member_keeps_what_it_saw():
    chain = af.Chain(af.LogMelSpectrogram(**MEL), af.NormalizeClips(), af.Rescale(add=1.0))
    x, seen = noise(2, 700), []
    chain[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    chain(x)
    assert torch.equal(seen[0], chain[0](x))


def test_a_hook_of_all_modules_sees_each_member():
    chain, seen = af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize(1.0, 2.0), af.NormalizeClips()), []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    try:
        chain(noise(2, 700))
    finally:
        handle.remove()
    assert seen == [af.LogMelSpectrogram, af.Normalize, af.NormalizeClips, af.Chain]


class Twice(af.Normalize):
    """A user's own computation, in place of ours."""

    def compute(self, features, lengths, *, graph):
        return super().compute(features, lengths, graph=graph) * 2


class Kept(af.LogMelSpectrogram):
    """A user's transform that keeps what it gave."""

    def compute(self, waveform, lengths, *, graph):
        self.kept = super().compute(waveform, lengths, graph=graph)
        return self.kept


def test_what_a_subclass_computes_is_asked_for():
    x = noise(2, 700)
    chain = af.Chain(af.LogMelSpectrogram(**MEL), Twice(1.0, 2.0), af.Rescale(add=1.0))
    assert torch.equal(chain(x), one_by_one(chain, x))
    chain = af.Chain(Kept(**MEL), af.Rescale(add=1.0), af.NormalizeClips())
    chain(x)
    assert torch.equal(chain[0].kept, af.LogMelSpectrogram(**MEL)(x))
    limited = Kept(**MEL, log="db", top_db=9.0)
    assert limited(x).amin() < limited.kept.amax() - 8.0
    chain = af.Chain(af.LogMelSpectrogram(**MEL), af.Rescale(add=1.0))
    chain[1].forward = lambda features, lengths=None: features * 3
    assert torch.equal(chain(x), chain[0](x) * 3)


def test_changed_constants_count_at_the_next_call():
    chain, x = af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize(*BINS)), noise(2, 700)
    first = chain(x)
    chain.load_state_dict({"1.mean": torch.zeros(10), "1.std": torch.ones(10)})
    assert torch.equal(chain(x), chain[0](x))
    chain[1].of_mean.fill_(3.0)
    assert torch.equal(chain(x), one_by_one(chain, x))
    assert not torch.equal(chain(x), first)


def test_gradients_and_compilers_find_each_member():
    chain, x = EXACT["emphasis"](), noise(2, 700)
    x.requires_grad_()
    chain(x).sum().backward()
    found, x.grad = x.grad, None
    one_by_one(chain, x).sum().backward()
    assert found.abs().sum() > 0
    torch.testing.assert_close(found, x.grad, rtol=1e-4, atol=1e-4)
    trained = af.Chain(af.LogMelSpectrogram(**MEL, trainable_mel=True), af.Normalize(1.0, 2.0))
    trained(noise(2, 700)).sum().backward()
    assert trained[0].mel.grad.abs().sum() > 0
    torch._dynamo.reset()
    compiled = torch.compile(chain, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(noise(2, 700)), chain(noise(2, 700)), rtol=1e-4, atol=1e-4)
    assert chain.to("meta")(torch.empty(2, 700, device="meta")).shape == (2, 10, 22)


@pytest.mark.parametrize("name", ["limit", "filled", "padded_last", "magnitude", "by_bin", "variance", "mean_alone"])
def test_gradients_are_those_of_the_members(name):
    chain = {**EXACT, **CLOSE}[name]()
    found, expected = (noise(2, 700).requires_grad_() for _ in range(2))
    chain(found).square().sum().backward()
    one_by_one(chain, expected).square().sum().backward()
    assert found.grad.abs().sum() > 0
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-4)


class Gain(af.Rescale):
    """A user's member that trains the constant of its steps."""

    def __init__(self):
        super().__init__(add=1.0)
        self.gain = torch.nn.Parameter(torch.tensor(2.0))

    def value_steps(self, like):
        return (Affine(torch.tensor(0.0), self.gain),)

    def compute(self, features, lengths, *, graph):
        return features / self.gain


def test_a_member_that_trains_gets_its_gradient():
    chain = af.Chain(af.LogMelSpectrogram(**MEL), Gain(), af.NormalizeClips(eps=1.0))
    chain(noise(2, 700)).square().sum().backward()
    assert chain[1].gain.grad.abs() > 0


def test_a_wrong_number_of_bins_is_named():
    chain = af.Chain(af.LogMelSpectrogram(**MEL), af.Normalize([0.0, 1.0], [1.0, 1.0]))
    with pytest.raises(ValueError, match="2 bins"):
        chain(noise(2, 700))


def test_any_number_of_threads_gives_the_same_bits():
    chains = [make() for make in (EXACT["limit"], EXACT["emphasis"], CLOSE["magnitude"], CLOSE["by_bin"])]
    x, before = noise(8, 20_000), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = [chain(x) for chain in chains]
        torch.set_num_threads(2)
        for chain, one in zip(chains, expected, strict=True):
            assert torch.equal(chain(x), one)
    finally:
        torch.set_num_threads(before)


@kernels
def test_pre_emphasis_with_the_frames_is_that_of_the_clip(monkeypatch):
    used = []
    real = short_time_transform.emphasized_powers
    monkeypatch.setattr(short_time_transform, "emphasized_powers", lambda *a, **k: used.append(1) or real(*a, **k))
    draw = random.Random(0)
    for _ in range(150):
        n_fft = draw.choice([64, 96, 100, 128])
        settings = {
            "n_fft": n_fft,
            "hop_length": draw.choice([7, 16, 40]),
            "win_length": draw.choice([n_fft, n_fft // 2 + 3]),
        }
        settings["placement"] = draw.choice(["center", "hops", "but_last_sample", "start", "snip_edges", "keep_edges"])
        if settings["placement"] not in ("start", "snip_edges"):
            settings["pad_mode"] = draw.choice(["reflect", "constant", "replicate", "symmetric", "circular"])
        if settings["placement"] == "keep_edges":
            settings["hop_length"] = min(settings["hop_length"], settings["win_length"])
        first = draw.choice(["keep", "replicate", "extrapolate", "drop"])
        chain = af.Chain(af.PreEmphasis(0.97, first=first), af.Spectrogram(**settings))
        time = draw.randint(n_fft + 2, 700)
        x, lengths = noise(*draw.choice([(3, time), (2, 2, time)])), None
        if draw.random() < 0.6:
            lengths = torch.tensor([draw.randint(n_fft + 2, time) for _ in x])
            for clip, length in zip(x, lengths.tolist(), strict=True):
                clip[..., length:] = torch.nan
        assert torch.equal(chain(x, lengths), one_by_one(chain, x, lengths)), (settings, first, time, lengths)
    assert len(used) == 150


def test_frames_past_a_cropped_clip_hold_the_value_alone_and_in_a_batch():
    pad = af.PadFrames(multiple=3, longer="crop", value=2.0)
    features, lengths = torch.ones(3, 1, 8), torch.tensor([8, 5, 1])
    rows = pad(features, lengths)[:, 0].tolist()
    assert rows == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2], [1, 2, 2, 2, 2, 2]]
    assert pad.frame_lengths(lengths).tolist() == [6, 3, 1]
    assert pad(features[2:, :, :1])[0, 0].tolist() == [1, 2, 2]
