"""The contract of every transform: shapes, lengths, batch-mates, precision, gradients, state."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import pickle
import pkgutil
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
import audiofeed.transforms
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.transform import Transform
from tests.signals import single_noise as noise
from tests.transforms.cases import CASES, IDS

every = pytest.mark.parametrize("case", CASES, ids=IDS)
of_waveforms = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.takes == "waveform"],
    ids=[name for case, name in zip(CASES, IDS, strict=True) if case.takes == "waveform"],
)
of_features = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.takes != "waveform"],
    ids=[name for case, name in zip(CASES, IDS, strict=True) if case.takes != "waveform"],
)
# what is public in audiofeed.transforms and no transform by itself
ABSTRACT = {af.Transform, af.FeatureTransform, af.ShortTime}
# of other transforms; a Stack has several results, and tests of its own in test_composition.py
COMPOSED = {af.Chain, af.Concat, af.Stack}


def real(x):
    return torch.view_as_real(x) if x.is_complex() else x


def test_every_public_transform_has_a_case():
    public = {getattr(audiofeed.transforms, name) for name in audiofeed.transforms.__all__} - ABSTRACT
    assert public - {af.Stack} == {case.cls for case in CASES}
    for cls in public:
        assert getattr(af, cls.__name__) is cls
        assert issubclass(cls, Transform | FeatureTransform) or cls in COMPOSED


def transforms_of(package):
    """Every transform that a file of a package defines, whether or not it was imported before."""
    files = [
        importlib.import_module(info.name) for info in pkgutil.walk_packages(package.__path__, "audiofeed.transforms.")
    ]
    return {
        member
        for module in files
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Transform | FeatureTransform)
    }


def test_every_transform_of_the_package_is_public():
    """Found by walking the package, so that a new one cannot be forgotten; what others derive from is no transform."""
    found = transforms_of(audiofeed.transforms)
    parents = {parent for cls in found for parent in cls.__mro__[1:]}
    public = {getattr(audiofeed.transforms, name) for name in audiofeed.transforms.__all__}
    assert public - COMPOSED <= found
    assert {cls.__name__ for cls in found - parents} <= {cls.__name__ for cls in public}


def test_a_transform_that_is_not_imported_anywhere_is_found(tmp_path, monkeypatch):
    (tmp_path / "forgotten").mkdir()
    (tmp_path / "forgotten" / "__init__.py").touch()
    (tmp_path / "forgotten" / "stray.py").write_text(
        "from audiofeed.transforms.contract.transform import Transform\n\n\nclass Stray(Transform):\n    pass\n"
    )
    monkeypatch.setattr(audiofeed.transforms, "__path__", [*audiofeed.transforms.__path__, str(tmp_path)])
    try:
        assert "Stray" in {cls.__name__ for cls in transforms_of(audiofeed.transforms)}
    finally:
        for name in [name for name in sys.modules if name.startswith("audiofeed.transforms.forgotten")]:
            del sys.modules[name]
        vars(audiofeed.transforms).pop("forgotten", None)


@every
def test_leading_dimensions(case):
    transform = case.build()
    x = case.single(2, 3)
    whole = transform(x)
    assert whole.shape[:2] == (2, 3)
    torch.testing.assert_close(transform(x[1:2])[0], whole[1])
    if not case.shares:
        torch.testing.assert_close(transform(x[1]), whole[1])
        torch.testing.assert_close(transform(x[1, 2]), whole[1, 2])
    assert transform(x[None]).shape == (1, *whole.shape)


@of_waveforms
def test_frames_are_what_the_formula_says(case):
    transform = case.build()
    for time in (1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000):
        frames = transform(noise(time)).shape[-1]
        own = int(transform.frame_lengths(torch.tensor([time]))[0])
        assert own <= frames if case.pads else own == frames
    assert transform.frame_lengths(torch.tensor([0])).tolist() == [0]


@every
def test_lengths_clear_what_lies_past_and_look_at_nothing_there(case):
    transform = case.build()
    # not 1: a Hann window starts with 0, and without centring nothing is left of a single sample
    lengths = case.lengths(400, 2, 37)
    x = case.single(3, 2, n=min(400, case.size))
    garbage = x.clone()
    for row, length in enumerate(lengths):
        x[row, ..., length:] = 0
        garbage[row, ..., length:] = float("nan")
    out, dirty = case.run(transform, x, lengths), case.run(transform, garbage, lengths)
    assert torch.equal(out, dirty)
    for row, end in enumerate(case.result_lengths(transform, lengths)):
        assert torch.all(out[row, ..., end:] == 0)
        assert case.may_vanish or torch.any(out[row, ..., :end] != 0)
    # 0-dimensional lengths of a single clip
    alone = x[0, 0, ..., : lengths[0]]
    torch.testing.assert_close(case.run(transform, alone, lengths[0]), transform(alone))


@every
@settings(max_examples=20)
@given(data=st.data())
def test_each_clip_is_what_it_is_alone(case, data):
    """Every row of a padded batch equals the clip alone, at all of its frames."""
    transform = case.shared()
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, case.size), min_size=1, max_size=4), "lengths"))
    extra = data.draw(st.sampled_from([0, 0, 9]), "extra")
    clips = [case.single(n=int(n), seed=i) * 10.0 ** -data.draw(st.integers(0, 3)) for i, n in enumerate(lengths)]
    batch = clips[0].new_full((len(clips), *clips[0].shape[:-1], int(lengths.max()) + extra), 3.0)
    for row, clip in enumerate(clips):
        batch[row, ..., : clip.shape[-1]] = clip
    with torch.no_grad():
        out, alones = case.run(transform, batch, lengths), [transform(clip) for clip in clips]
    for row, (clip, end) in enumerate(zip(clips, case.result_lengths(transform, lengths).tolist(), strict=True)):
        alone = alones[row]
        if case.pads:
            assert torch.all(alone[..., end:] == 0)
            alone = alone[..., :end]
        assert alone.shape[-1] == end
        mine = out[row, ..., :end]
        limit = case.tolerance * max(float(real(alone).norm()), 1e-3 * float(real(clip).norm() ** 2))
        assert float(real(mine - alone).norm()) <= limit + case.rounding
        assert torch.all(out[row, ..., end:] == 0)


@pytest.mark.slow
@settings(max_examples=1000)
@given(data=st.data())
def test_batch_mates_never_matter(data):
    """Every row of a padded batch equals the clip alone, at all of its frames, for every pad mode."""
    n_fft = data.draw(st.integers(2, 200), "n_fft")
    config = {
        "n_fft": n_fft,
        "hop_length": data.draw(st.integers(1, n_fft + 20), "hop"),
        "win_length": data.draw(st.one_of(st.none(), st.integers(1, n_fft)), "win"),
        "center": data.draw(st.booleans(), "center"),
        "pad_mode": data.draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]), "pad_mode"),
        "method": data.draw(st.sampled_from(["fft", "conv"]), "method"),
    }
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=5), "lengths"))
    clips = [noise(int(n), seed=i) * 10.0 ** -data.draw(st.integers(0, 3)) for i, n in enumerate(lengths)]
    extra = data.draw(st.sampled_from([0, 0, 37]), "extra")
    batch = torch.zeros(len(clips), int(lengths.max()) + extra)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = clip
    kind = data.draw(st.sampled_from(["stft", "power", "mel", "log", "db"]), "kind")
    with_mel = {"sample_rate": 8000, "n_mels": 1 + n_fft // 32, "norm": None}
    with_mel |= {"f_min": 0.0, "f_max": 4000.0}
    transform = {
        "stft": lambda: af.STFT(**config),
        "power": lambda: af.Spectrogram(**config, power=2.0),
        "mel": lambda: silent(af.MelSpectrogram, **config, **with_mel),
        "log": lambda: silent(af.LogMelSpectrogram, **config, **with_mel, floor=1e-8),
        "db": lambda: silent(af.LogMelSpectrogram, **config, **with_mel, log="db", floor=1e-8, top_db=30.0),
    }[kind]()
    out = transform(batch, lengths)
    for row, clip in enumerate(clips):
        alone = transform(clip)
        frames = alone.shape[-1]
        assert frames == transform.frame_lengths(lengths)[row]
        mine = out[row, ..., :frames]
        if kind in ("log", "db"):  # 1e-6 of a mel value, through the logarithm, and the rounding of a log of up to 20
            limit = {"log": 1e-6, "db": 4.4e-6}[kind] + 4 * 1.2e-7 * float(alone.abs().max())
            # a band of pure rounding noise (a constant clip past its own lobe) has no digits to agree in
            lively = alone > alone.max() - (9 if kind == "log" else 39)
            assert float((mine - alone)[lively].abs().max()) <= limit
        else:
            # a window of zeros or a constant clip leaves only rounding, which is that of the samples
            assert float((mine - alone).norm()) <= 1e-6 * max(float(alone.norm()), 1e-3 * float(clip.norm() ** 2))
        assert torch.all(out[row, ..., frames:] == 0)


def silent(cls, **config):
    """A transform with so few bins that some filters may be empty, which it would warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(**config)


@every
def test_a_single_sample_or_frame_is_enough(case):
    out = case.build()(case.single(1, n=1))
    assert out.shape[-1] >= 1
    assert torch.isfinite(real(out)).all()


@every
def test_gradients_are_finite_on_silence(case):
    transform = case.build()
    x = torch.zeros_like(case.single(2)).requires_grad_()
    out = case.run(transform, x, case.lengths(case.size, 10))
    assert torch.isfinite(real(out)).all()
    if case.flat:
        return
    real(out).abs().sum().backward()
    assert torch.isfinite(real(x.grad)).all()
    assert all(torch.isfinite(p.grad).all() for p in transform.parameters())


@every
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_derivatives_forward_are_finite_on_silence(case):
    x = torch.zeros_like(case.single(2))
    lengths = case.lengths(case.size, 10)
    transform = case.build()
    out, tangent = torch.func.jvp(lambda x: case.run(transform, x, lengths), (x,), (torch.ones_like(x),))
    assert torch.isfinite(real(out)).all()
    assert torch.isfinite(real(tangent)).all()


@every
def test_gradcheck(case):
    if case.flat or case.kinks:
        pytest.skip(case.flat or case.kinks)
    transform = case.build(**case.small).double()
    names = [name for name, _ in transform.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in transform.parameters()]
    x = case.input(2, n=case.small_size, small=True).requires_grad_()
    lengths = torch.tensor([case.small_size, -(-case.small_size * 2 // 3)])

    def features(x, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(transform, given, (x,), {"lengths": lengths})

    assert torch.autograd.gradcheck(features, (x, *values))


def rounding(case, transform, x, lengths):
    """How far two computations in float32 may lie apart: 1e-5, or more where the feature itself is that sensitive.

    That is asked of the float64 feature, of samples moved by a few roundings of float32: no code under test has a say.
    """
    wide = x.to(torch.complex128 if x.is_complex() else torch.float64)
    moved = wide + 3e-7 * wide.abs().max() * torch.randn(wide.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        change = case.run(transform, wide, lengths) - case.run(transform, moved, lengths)
    return max(1e-5, 3 * change.abs().nan_to_num().max().item())


@every
def test_the_graph_path_has_the_values_of_the_other(case):
    transform = case.build()
    x, lengths = case.single(3), case.lengths(case.size, 30, 1)
    with_graph = case.run(transform, x.clone().requires_grad_(), lengths)
    assert with_graph.requires_grad or case.flat
    with torch.no_grad():
        alone = case.run(transform, x, lengths)
        torch.testing.assert_close(with_graph.detach(), alone, rtol=1e-5, atol=rounding(case, transform, x, lengths))


@every
def test_two_threads_compute_what_one_computes(case):
    """Of an input long enough for torch to share it out; the threads of kernels have tests of their own."""
    transform, x, lengths = case.shared(), case.single(6, n=6 * case.size), torch.arange(1, 7) * case.size
    limit = rounding(case, transform, x, lengths)
    with torch.no_grad():
        alone = case.run(transform, x, lengths)
        torch.set_num_threads(2)
        both = case.run(transform, x, lengths)
    torch.testing.assert_close(both, alone, rtol=1e-5, atol=limit)


@every
def test_float64_in_float64_out_and_half_computes_in_float32(case):
    transform = case.build()
    x = case.single(2) * 0.1
    exact = transform(x.to(torch.complex128 if x.is_complex() else torch.float64))
    assert real(exact).dtype == torch.float64
    single = transform(x)
    assert real(single).dtype == torch.float32
    if not x.is_complex():
        for half in (torch.bfloat16, torch.float16):
            out = transform(x.to(half))
            assert out.dtype == single.dtype
            torch.testing.assert_close(out, transform(x.to(half).float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(transform(x), single)


@of_waveforms
def test_int16_counts_as_its_value_over_full_scale_to_the_bit(case):
    transform = case.build()
    samples = (noise(3, 500) * 8000).to(torch.int16)
    samples[0, 0] = -32768
    lengths = torch.tensor([500, 77, 2])
    assert torch.equal(transform(samples, lengths), transform(samples.float() / 32768, lengths))
    assert torch.equal(transform(samples[0]), transform(samples[0].float() / 32768))


@every
def test_casting_the_model_does_not_round_the_filters(case):
    if case.state:
        pytest.skip("what is trained is the user's to round")
    x = case.input(2)
    exact = case.build()(x)
    cast = case.build().half().bfloat16().double()
    assert torch.equal(cast(x), exact)
    y = case.single(2)
    assert torch.equal(case.build().half()(y), case.build()(y))


@every
def test_only_what_trains_is_state(case):
    transform = case.build()
    state = transform.state_dict()
    assert set(state) == {*case.state, *case.kept}
    assert {name for name, _ in transform.named_parameters()} == set(case.state)
    trained = [value.numel() for name, value in state.items() if name not in case.kept]
    assert sum(trained) == sum(p.numel() for p in transform.parameters())


@every
def test_copies_and_pickles_compute_the_same(case):
    transform = case.build()
    x, wide = case.single(2), case.input(2)
    transform(wide)  # leaves a float64 filter behind that must not travel
    data = pickle.dumps(transform)
    saved = io.BytesIO()
    torch.save(transform, saved)
    saved.seek(0)
    for other in (copy.deepcopy(transform), pickle.loads(data), torch.load(saved, weights_only=False)):
        assert torch.equal(other(x), transform(x))
        assert torch.equal(other(wide), transform(wide))


@every
def test_every_filter_follows_the_device(case):
    transform = case.build().to("meta")
    assert {t.device.type for t in [*transform.buffers(), *transform.parameters()]} <= {"meta"}


@pytest.mark.cuda
@pytest.mark.parametrize(
    "case",
    CASES
    if torch.cuda.is_available()
    else [pytest.param(None, id="every", marks=pytest.mark.skip(reason="needs a CUDA device"))],
    ids=IDS if torch.cuda.is_available() else None,
)
def test_every_filter_follows_the_cuda_device(case):
    # in float64, in which what raises rounding (CFP's small powers) stays small, too
    transform = case.build().double()
    x = case.single(2)
    x = x.to(torch.promote_types(x.dtype, torch.float64))
    expected = transform(x)
    transform.to("cuda")
    assert {t.device.type for t in [*transform.buffers(), *transform.parameters()]} <= {"cuda"}
    torch.testing.assert_close(transform(x.cuda()).cpu(), expected, rtol=1e-4, atol=1e-4)


@every
def test_torch_compile_takes_it_as_one_graph(case):
    if case.not_compiled:
        pytest.skip(case.not_compiled)
    transform = case.build()
    x, lengths = case.single(2), case.lengths(case.size, 23)
    torch._dynamo.reset()
    compiled = torch.compile(transform, backend="aot_eager", fullgraph=True)
    found, expected = case.run(compiled, x, lengths), case.run(transform, x, lengths)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=rounding(case, transform, x, lengths))


@every
def test_repr_names_the_settings(case):
    text = repr(case.build())
    for key, value in case.settings.items():
        if key not in ("n_fft", "floor", "top_db", "stype", "amin", "tempogram"):
            assert f"{key}={value!r}" in text or (isinstance(value, int | float) and f"{key}={value:g}" in text)


@pytest.mark.parametrize(
    ("waveform", "error", "message"),
    [
        (torch.zeros(2, 0), ValueError, "at least one sample"),
        (torch.zeros(0, 5), ValueError, "at least one sample"),
        (torch.tensor(1.0), ValueError, "time"),
        (torch.zeros(5, dtype=torch.int32), TypeError, "or int16"),
        (torch.zeros(5, dtype=torch.complex64), TypeError, "real"),
        (np.zeros(5), TypeError, "torch.as_tensor"),
        (torch.ones(5).to_sparse(), TypeError, r"of layout torch.sparse_coo, and must be a dense tensor"),
        (
            torch.nested.nested_tensor([torch.ones(5), torch.ones(3)], layout=torch.jagged),
            TypeError,
            "a nested tensor, and must be .* pad",
        ),
    ],
    ids=["empty", "no-clips", "scalar", "int32", "complex", "numpy", "sparse", "nested"],
)
def test_a_wrong_waveform_is_named(waveform, error, message):
    with pytest.raises(error, match=message):
        af.MelSpectrogram(sample_rate=8000)(waveform)


def test_every_transform_of_waveforms_checks_its_waveform():
    """By the check of them all, so that each has the messages of the test before this one."""
    for case in CASES:
        if case.takes == "waveform":
            with pytest.raises(TypeError, match=r"int64.* or int16"):
                case.build()(torch.zeros(500, dtype=torch.int64))
            with pytest.raises(ValueError, match="at least one sample"):
                case.build()(torch.zeros(2, 0))


@of_features
def test_wrong_features_are_named(case):
    transform = case.build()
    x = case.single(2)
    with pytest.raises(TypeError, match="complex" if case.takes == "spectrum" else "real"):
        transform(x.real if x.is_complex() else x.to(torch.complex64))
    with pytest.raises(TypeError, match=r"torch\.as_tensor"):
        transform(x.numpy())
    with pytest.raises(ValueError, match="at least one frame"):
        transform(x[..., :0])
    with pytest.raises(ValueError, match="bins, frames"):
        transform(x[0, 0])
    with pytest.raises(ValueError, match=r"\(2,\)"):
        transform(x, lengths=torch.tensor([1]))
    with pytest.raises(ValueError, match="in frames"):
        transform(x, lengths=torch.tensor([1, case.size + 1]))


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        (torch.tensor([5.0, 5.0]), TypeError, "integers"),
        ([5, 5], TypeError, "list"),
        (torch.tensor([True, True]), TypeError, "bool"),
        (torch.tensor([5]), ValueError, r"\(2,\)"),
        (torch.tensor([[5, 5]]), ValueError, r"\(2,\)"),
        (torch.tensor([0, 5]), ValueError, "between 0 and 5"),
        (torch.tensor([5, 11]), ValueError, "between 5 and 11.*1 and 10"),
    ],
)
def test_wrong_lengths_are_named(lengths, error, message):
    with pytest.raises(error, match=message):
        af.STFT(8)(torch.zeros(2, 10), lengths)


@of_waveforms
def test_long_input_is_computed_in_blocks_with_the_same_result(case, monkeypatch):
    transform = case.build()
    x, lengths = noise(5, 700), torch.tensor([700, 3, 256, 699, 120])
    with torch.no_grad():
        whole = transform(x, lengths)
        for block in (1, 700, 5000):
            monkeypatch.setattr("audiofeed.methods.frames.CPU_BLOCK", block)
            torch.testing.assert_close(transform(x, lengths), whole, rtol=1e-5, atol=1e-5)


@every
def test_forward_leaves_its_input_and_its_last_result_alone(case):
    transform = case.build()
    x = case.single(2)
    before = x.clone()
    with torch.no_grad():
        first = transform(x)
        kept = first.clone()
        transform(case.single(2, seed=1))
    assert torch.equal(x, before)
    assert torch.equal(first, kept)
