"""Every public transform in the hands of frameworks: inference mode, the meta device, traces, compilers, attributes."""

from __future__ import annotations

import functools
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import audiofeed as af
from audiofeed.methods.short_time.kernel import guard
from tests.transforms.cases import CASES, IDS
from tests.transforms.contract.test_contract import real, rounding

every = pytest.mark.parametrize("case", CASES, ids=IDS)

# ---------------------------------------------------------------- inference mode, then training


def trains(case, transform, x):
    """Whether gradients reach the input of a transform and are finite."""
    x = x.clone().requires_grad_()
    out = case.run(transform, x)
    if out.requires_grad:
        real(out).abs().sum().backward()
        assert torch.isfinite(real(x.grad)).all()
    assert out.requires_grad or case.flat


@every
@pytest.mark.parametrize("kind", ["as it is", "bfloat16 module", "float64 input", "made there", "cast there"])
def test_inference_mode_leaves_nothing_in_the_way_of_training(case, kind):
    """Lightning's sanity check does exactly that: a validation step under inference mode, then training."""
    x = case.input(2) if kind == "float64 input" else case.single(2)
    transform = case.build()
    if kind == "bfloat16 module":
        transform = transform.bfloat16()
    with torch.inference_mode():
        if kind == "made there":
            transform = case.build()
        if kind == "cast there":
            transform = transform.double().float()
        expected = transform(x)
    trains(case, transform, x)
    with torch.no_grad():
        torch.testing.assert_close(transform(x), expected.clone(), equal_nan=True)


# ---------------------------------------------------------------- without values: the meta device


def on_meta(case):
    """A transform made on the CPU, and another made on the meta device, both on the meta device."""
    with torch.device("meta"):
        made_there = case.build()
    return case.build().to("meta"), made_there


@every
def test_a_transform_that_comes_from_the_meta_device_is_as_a_fresh_one(case):
    """How FSDP, torchtitan and Accelerate load: `to_empty` brings memory, and a checkpoint what is trained."""
    fresh, x = case.build(), case.single(2)
    with torch.no_grad():
        expected = fresh(x)
        for transform in on_meta(case):
            tensors = [*transform.buffers(), *transform.parameters()]
            assert {tensor.device.type for tensor in tensors} <= {"meta"}
            transform.to_empty(device="cpu")
            assert torch.equal(transform(x), expected)  # before a checkpoint is loaded, too: it begins as it would
            transform.load_state_dict(fresh.state_dict(), strict=True)
            assert torch.equal(transform(x), expected)


@every
def test_memory_made_anew_loses_no_fixed_filter(case):
    """`to_empty` of a module that had values, `assign=True`, casts on the meta device, and `reset_parameters`."""
    fresh, x, wide = case.build(), case.single(2), case.input(2)
    state = fresh.state_dict()
    with torch.no_grad():
        expected, exact = fresh(x), fresh(wide)
        emptied = case.build().to_empty(device="cpu")
        emptied.load_state_dict(state)
        assigned = case.build().to("meta")
        assigned.load_state_dict(state, assign=True)
        cast = case.build().to("meta").half().to_empty(device="cpu")
        cast.float().load_state_dict(state)
        reset = case.build()
        for tensor in [*reset.buffers(), *reset.parameters()]:
            tensor.zero_()
        for module in reset.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        for transform in (emptied, assigned, cast, reset):
            assert torch.equal(transform(x), expected)
            assert torch.equal(transform(wide), exact)


@every
def test_a_forward_on_the_meta_device_gives_the_shape(case):
    fresh, transform, x = case.build(), case.build().to("meta"), case.single(2, 3)
    lengths = case.lengths(case.size, 23)
    for given in (None, lengths, lengths.to("meta")):
        own = None if given is None else lengths
        expected = case.run(fresh, x, own)
        found = case.run(transform, x.to("meta"), given)
        assert (found.device.type, found.shape, found.dtype) == ("meta", expected.shape, expected.dtype)
    y = x.to("meta").requires_grad_()
    out = transform(y)
    if out.requires_grad:
        real(out).sum().backward()
        assert y.grad.shape == x.shape


def test_filters_lie_on_the_default_device_and_are_held_in_what_is_computed_in():
    with torch.device("meta"):
        assert af.MFCC(sample_rate=16000).cosines.device.type == "meta"
    mel = af.LogMelSpectrogram(sample_rate=16000).bfloat16()
    assert {buffer.dtype for buffer in mel.buffers()} == {torch.float32}
    assert {buffer.dtype for buffer in mel.half().double().buffers()} == {torch.float64}


def test_a_cast_keeps_the_memory_that_it_made():
    """As `pin_memory` or `share_memory_` do it."""
    made = []

    def moved(tensor):
        made.append(torch.full_like(tensor, float("nan")))
        return made[-1]

    mel = af.MelSpectrogram(sample_rate=16000)
    before = {name: buffer.clone() for name, buffer in mel.named_buffers()}
    mel._apply(moved)
    assert [id(buffer) for buffer in mel.buffers()] == [id(tensor) for tensor in made]
    for name, buffer in mel.named_buffers():
        assert torch.equal(buffer, before[name])


# ---------------------------------------------------------------- traces


@every
def test_a_script_is_refused_with_the_ways_there_are(case):
    with (
        pytest.warns(DeprecationWarning, match="script"),
        pytest.raises(TypeError, match=r"cannot be compiled by torch\.jit\.script; use torch\.jit\.trace"),
    ):
        torch.jit.script(torch.nn.Sequential(case.build(), torch.nn.ReLU()))


def traced(transform, *example):
    with warnings.catch_warnings():
        # sizes that a trace keeps, all of which are guarded; and torch says that traces are deprecated
        warnings.simplefilter("ignore")
        return torch.jit.trace(transform, example, check_trace=False)


def is_refused(case):
    """Whether the work of a case depends on values: its number of steps, or filters by each clip's tuning."""
    return bool(case.not_compiled)


def with_graph(transform, x):
    """The values as autograd follows them, of which a trace has the operations; another test compares the two paths."""
    with torch.enable_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "watched", lambda x: "as if it were traced: no kernel")
        return transform(x.clone().requires_grad_()).detach()


@every
@pytest.mark.parametrize("graph", [True, False], ids=["grad", "no_grad"])
def test_a_trace_follows_the_batch_or_is_refused(case, graph):
    transform = case.build()
    with torch.set_grad_enabled(graph):
        if is_refused(case):
            with pytest.raises(NotImplementedError, match=r"cannot be traced by torch\.jit\.trace.*values|own tuning"):
                traced(transform, case.single(2))
            return
        trace = traced(transform, case.single(2))
        for batch in (1, 2, 3):
            x = case.single(batch, seed=batch)
            torch.testing.assert_close(trace(x), with_graph(transform, x), rtol=1e-5, atol=1e-5, equal_nan=True)


@every
def test_a_trace_follows_the_length_or_refuses_another(case):
    """None of another length gives wrong numbers in silence."""
    transform = case.build()
    if is_refused(case):
        return
    with torch.no_grad():
        trace = traced(transform, case.single(2))
        for n in (case.size + 1, case.size // 2, 3 * case.size):
            x = case.single(3, n=n, seed=n)
            try:
                found = trace(x)
            except RuntimeError:
                continue
            torch.testing.assert_close(found, with_graph(transform, x), rtol=1e-5, atol=1e-5, equal_nan=True)


class WithLengths(nn.Module):
    """A model's part that passes lengths on."""

    def __init__(self, transform):
        super().__init__()
        self.transform = transform

    def forward(self, x, lengths):
        return self.transform(x, lengths=lengths)


@pytest.mark.parametrize("name", [name for name in IDS if name.endswith("-0")])
def test_a_trace_follows_the_lengths_of_a_padded_batch(name):
    case = CASES[IDS.index(name)]
    if is_refused(case):
        return
    transform, size = case.build(), case.size
    trace = traced(WithLengths(transform), case.single(2), torch.tensor([size, size // 2]))
    for given in ([size - 3], [size // 3, size], [1, size, size // 2]):
        x, lengths = case.single(len(given), seed=len(given)), torch.tensor(given)
        expected = case.run(transform, x.clone().requires_grad_(), lengths).detach()
        torch.testing.assert_close(trace(x, lengths), expected, rtol=1e-4, atol=1e-4)


def test_what_is_refused_says_why_and_what_to_do():
    mel = af.InverseMel(sample_rate=8000, n_fft=64, n_mels=8)
    with pytest.raises(NotImplementedError, match=r"InverseMel.*cannot be traced.*call the module as it is"):
        traced(mel, torch.rand(2, 8, 9))
    cqt = af.CQT(sample_rate=8000, n_bins=24, tuning=None)
    with pytest.raises(NotImplementedError, match=r"tuning=None.*cannot be traced"):
        traced(cqt, torch.rand(2, 4000))


def test_an_onnx_export_of_the_convolution_has_the_values(tmp_path):
    """By the trace that `torch.onnx.export(dynamo=False)` makes; all was 0."""
    onnx, reference = pytest.importorskip("onnx"), pytest.importorskip("onnx.reference")
    mel = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=20, method="conv")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            mel,
            (torch.randn(2, 1600),),
            file,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            opset_version=17,
        )
    session = reference.ReferenceEvaluator(onnx.load_model_from_string(file.getvalue()))
    for batch in (1, 2, 3):
        x = torch.randn(batch, 1600)
        (found,) = session.run(None, {"x": x.numpy()})
        np.testing.assert_allclose(found, mel(x).detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["MelSpectrogram-0", "MFCC-0", "CQT-0", "TimeStretch-0", "CMVN-0", "RMS-0"])
def test_vmap_has_the_values_of_a_loop(name):
    """What observes each operation cannot follow memory that is written in place."""
    case = CASES[IDS.index(name)]
    transform, x = case.build(), case.single(3, 2)
    with torch.no_grad():
        found = torch.vmap(transform)(x)
        expected = torch.stack([transform(one) for one in x])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=rounding(case, transform, x, None))


# ---------------------------------------------------------------- compilers


def compiles(case, transform, x, **settings):
    torch._dynamo.reset()
    compiled = torch.compile(transform, backend="aot_eager", fullgraph=not case.not_compiled, **settings)
    limit = rounding(case, transform, x, None)
    torch.testing.assert_close(compiled(x), transform(x), rtol=1e-4, atol=limit, equal_nan=True)


SAMPLE = ["STFT-0", "LogMelSpectrogram-1", "MFCC-0", "CQT-0", "SincFilterbank-0", "InvertibleCQT-0", "GriffinLim-0"]
of_sample = pytest.mark.parametrize("name", SAMPLE)


@of_sample
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_torch_compile_takes_a_module_of_few_bits(name, dtype):
    case = CASES[IDS.index(name)]
    # what is long to compile once takes a minute where every size is a symbol
    dynamic = True if dtype == torch.bfloat16 and name in ("STFT-0", "LogMelSpectrogram-1", "MFCC-0") else None
    compiles(case, case.build().to(dtype), case.single(2), dynamic=dynamic)


@of_sample
def test_torch_compile_takes_float64_input_of_a_float32_module_with_all_its_digits(name):
    case = CASES[IDS.index(name)]
    transform, x = case.build(), case.input(2)
    torch._dynamo.reset()
    found = torch.compile(transform, backend="aot_eager", fullgraph=True)(x)
    expected = transform(x)
    assert found.dtype == expected.dtype
    limit = 1e-9 * float(real(expected).abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=limit)


def test_torch_compile_takes_two_transforms_with_filters_of_one_name():
    """In one graph, in which constants are told apart by their names; and again after a pickle."""
    both = nn.ModuleDict({"a": _mel(8), "b": _mel(12)})

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = both

        def forward(self, x):
            return torch.cat([self.members["a"](x), self.members["b"](x)], dim=1)

    x = torch.randn(2, 2000, dtype=torch.float64)
    module = Both()
    torch._dynamo.reset()
    found = torch.compile(module, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(found, module(x))


def _mel(n_mels):
    return af.MelSpectrogram(sample_rate=8000, n_fft=256, n_mels=n_mels)


# ---------------------------------------------------------------- attributes that are not known


@every
def test_asking_for_an_attribute_never_raises(case):
    transform = case.build()
    for name in [name for name in dir(type(transform)) if isinstance(getattr(type(transform), name), property)]:
        assert hasattr(transform, name) in (True, False)
        assert getattr(transform, name, None) is None or hasattr(transform, name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (functools.partial(af.STFT, 400), "sample_rate="),
        (functools.partial(af.Spectrogram, 400), "sample_rate="),
        (functools.partial(af.MFCC, sample_rate=16000), "MFCC has no frequencies: its rows stand for none"),
        (functools.partial(af.SpectralCentroid, sample_rate=16000), "SpectralCentroid has no frequencies"),
        (functools.partial(af.RMS, 400), "RMS has no frequencies"),
        (functools.partial(af.Tonnetz, sample_rate=16000), "Tonnetz has no frequencies"),
        (lambda: af.Chain(af.MFCC(sample_rate=16000)), "frequencies is not known after MFCC"),
    ],
)
def test_what_is_not_known_is_an_attribute_error_that_says_why(make, message):
    transform = make()
    assert not hasattr(transform, "frequencies")
    assert getattr(transform, "frequencies", None) is None
    for kind in (AttributeError, ValueError):
        with pytest.raises(kind, match=message):
            _ = transform.frequencies
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = transform.nothing


def test_a_property_of_a_derived_class_has_its_own_words():
    class Own(af.Transform):
        @property
        def bins(self):
            raise AttributeError("bins are counted once the filters are known")

    with pytest.raises(AttributeError, match="once the filters are known"):
        _ = Own().bins
    assert not hasattr(Own(), "bins")
