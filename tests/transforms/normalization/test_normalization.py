"""Normalization by constants and by each clip, scale and shift, frames added: formulas, files, checkpoints."""

from __future__ import annotations

import copy
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import audiofeed as af
from audiofeed.signal.standardization import standardized
from tests.signals import noise, single_noise

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}
MEANS, DEVIATIONS = np.linspace(-3, 2, 10), np.linspace(0.3, 4, 10)


# ---------------------------------------------------------------- constants


def test_constants_are_taken_off_and_divided_by():
    x = noise(2, 3, 10, 7)
    for mean, std in ((-4.2677393, 2 * 4.5689974), (MEANS, DEVIATIONS), (0.5, DEVIATIONS), (MEANS, 2.0)):
        expected = (x.numpy() - np.reshape(mean, (-1, 1))) / np.reshape(std, (-1, 1))
        for kind in (lambda v: v, lambda v: torch.as_tensor(v, dtype=torch.float64), lambda v: np.asarray(v).tolist()):
            found = af.Normalize(kind(mean), kind(std))(x)
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)
        single = af.Normalize(mean, std)(x.float())
        np.testing.assert_allclose(single, expected, rtol=1e-6, atol=1e-6)
        back = af.Normalize(mean, std).inverse()(found)
        np.testing.assert_allclose(back, x, rtol=1e-12, atol=1e-13)


def test_a_rescaling_is_what_front_ends_end_with():
    x = noise(2, 10, 7)
    for add, divide in ((4.0, 4.0), (4.5, 5.0), (5.536622, 2.116101)):
        rescale = af.Rescale(add=add, divide=divide)
        assert torch.equal(rescale(x), (x + add) / divide)
        assert torch.equal(rescale(x.float()), (x.float() + add) / divide)
        torch.testing.assert_close(rescale.inverse()(rescale(x)), x, rtol=1e-13, atol=1e-14)


def test_past_the_end_is_0_and_what_stands_there_is_left_alone():
    x, lengths = single_noise(2, 10, 7), torch.tensor([7, 3])
    x[1, :, 3:] = float("nan")
    given_x = x.clone()
    for module in (af.Normalize(1.0, 2.0), af.Rescale(add=1.0, divide=2.0)):
        found = module(x, lengths)
        assert torch.all(found[1, :, 3:] == 0)
        assert torch.equal(found[1, :, :3], module(x[1, :, :3]))
        assert torch.equal(x.nan_to_num(9.0), given_x.nan_to_num(9.0))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (float("nan"), 1.0, "mean is nan, and must be finite"),
        (0.0, 0.0, r"std is 0\.0, and must be finite and > 0; for bins that never change take 1\.0"),
        ([0.0, 1.0], [1.0, 0.0], r"std of bin 1 is 0\.0"),
        ([0.0, float("inf")], 1.0, "mean of bin 1 is inf"),
        (0.0, -1.0, r"std is -1\.0"),
        ([0.0, 1.0], [1.0, 1.0, 1.0], "same number of bins.*'mean': 2, 'std': 3"),
        ([[0.0, 1.0]], 1.0, r"mean has shape \(1, 2\), .*\(bins,\); mean.reshape\(-1\) has them in a row"),
        (0.0, torch.ones(3, 2), r"std has shape \(3, 2\), and must be a number, or one for each bin: \(bins,\)$"),
        ("a", 1.0, "mean='a' must be a number"),
        ("0", 1.0, "mean='0' must be a number"),
        (None, 1.0, "mean=None must be a number"),
        (0.0, [1.0, None], r"std=\[1\.0, None\] must be a number"),
        (torch.tensor([1j]), 1.0, "mean=array.*complex64.* must be a number"),
        ([[0.0], [0.0, 1.0]], 1.0, r"mean=\[\[0\.0\], \[0\.0, 1\.0\]\] must be a number"),
        (["a"] * 1000, 1.0, r"mean=\['a'.{50,60}\.\.\. must be a number"),
        ([], 1.0, r"mean has shape \(0,\), and must be a number"),
    ],
)
def test_wrong_constants_are_named(mean, std, message):
    with pytest.raises(ValueError, match=message):
        af.Normalize(mean, std)


def test_other_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"features has shape \(..., 9, 7\), and mean and std are of 10 bins"):
        af.Normalize(MEANS, 1.0)(noise(2, 9, 7))
    for make, message in (
        (lambda: af.Rescale(divide=0.0), r"divide=0\.0 must be a finite number > 0"),
        (lambda: af.Rescale(add=float("nan")), "add=nan must be a finite number"),
        (lambda: af.Rescale(add=torch.zeros(3)), r"add has shape \(3,\), and must be a finite number; .*Normalize"),
        (lambda: af.Rescale(divide=np.ones(3)), r"divide has shape \(3,\), and must be a finite number"),
        (lambda: af.Rescale(add=[1.0]), r"add=\[1\.0\] must be a finite number"),
        (lambda: af.Rescale(add=True), "add=True must be a finite number"),
        (lambda: af.PreEmphasis(torch.ones(2)), r"coeff has shape \(2,\), and must be a finite number"),
        (lambda: af.NormalizeRMS(level_db=torch.ones(2)), r"level_db has shape \(2,\)"),
        (lambda: af.AmplitudeToDB(ref=np.max), "ref=<function max.* must be a number > 0, or 'max' .*librosa"),
        (lambda: af.AmplitudeToDB(ref=0.0), r"ref=0\.0 must be a number > 0"),
        (lambda: af.NormalizeClips(over="time"), "over='time' must be 'bin' or 'clip'"),
        (lambda: af.NormalizeClips(eps=-1.0), r"eps=-1\.0 must be a number >= 0"),
        (lambda: af.NormalizeClips(eps_to="mean"), "eps_to='mean' must be 'std' or 'variance'"),
        (lambda: af.PadFrames(), "one of multiple and to must be given, and neither is"),
        (lambda: af.PadFrames(multiple=4, to=8), "both are given: multiple=4, to=8"),
        (lambda: af.PadFrames(multiple=0), "multiple=0 must be an integer number of frames"),
        (lambda: af.PadFrames(to=2.5), r"to=2\.5 must be an integer number of frames"),
        (lambda: af.PadFrames(to=8, longer="drop"), "longer='drop' must be 'error' or 'crop'"),
        (lambda: af.PadFrames(to=8, value=float("inf")), "value=inf must be a finite number"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


# ---------------------------------------------------------------- files and checkpoints


def test_a_file_has_all_digits_and_runs_no_code(tmp_path):
    path = tmp_path / "statistics.json"
    for module in (af.Normalize(1 / 3, 0.1), af.Normalize(MEANS / 3, DEVIATIONS / 7)):
        module.save(path)
        found = af.Normalize.load(str(path))
        assert (found.mean, found.std) == (module.mean, module.std)
    assert isinstance(json.loads(path.read_text())["mean"], list)
    for text in ("{", "[]", '{"format": "audiofeed.Normalize", "mean": 1.0}', '{"mean": 0.0, "std": 1.0}',
                 '{"format": "audiofeed.Normalize", "mean": 0.0, "std": 0.0}'):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ValueError, match=r"statistics\.json is no file of Normalize\.save"):
            af.Normalize.load(path)
    with pytest.raises(FileNotFoundError):
        af.Normalize.load(tmp_path / "other.json")


class Model(nn.Module):
    def __init__(self, *members):
        super().__init__()
        self.front = nn.ModuleList(members)
        self.head = nn.Linear(2, 2)


def test_a_checkpoint_keeps_what_was_measured_and_an_old_one_breaks_nothing():
    trained = Model(af.Normalize(MEANS / 3, DEVIATIONS))
    saved = io.BytesIO()
    torch.save(trained.state_dict(), saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    x = noise(2, 10, 5)
    for fresh in (Model(af.Normalize(0.0, 1.0)), Model(af.Normalize(np.zeros(10), 1.0)).double()):
        fresh.load_state_dict(state)
        assert torch.equal(fresh.front[0](x), trained.front[0](x))
        assert fresh.front[0].mean == trained.front[0].mean
        assert fresh.front[0].of_mean.dtype == fresh.head.weight.dtype
        assert torch.equal(copy.deepcopy(fresh).front[0](x.float()), trained.front[0](x.float()))
    # one of a model that had no constants yet
    old = {name: value for name, value in state.items() if name.startswith("head")}
    kept = Model(af.Normalize(MEANS, DEVIATIONS))
    kept.load_state_dict(old)
    assert kept.front[0].mean == tuple(MEANS.tolist())
    for wrong, message in (
        ({**state, "front.0.std": torch.zeros(10)}, "std of bin 0 is 0.0"),
        ({name: value for name, value in state.items() if name != "front.0.std"}, "Missing key.*front.0.std"),
        ({**state, "front.0.other": torch.zeros(1)}, "Unexpected key.*front.0.other"),
    ):
        with pytest.raises(RuntimeError, match=message):
            kept.load_state_dict(wrong)
    cast = Model(af.Normalize(MEANS / 3, DEVIATIONS)).half()
    assert torch.equal(cast.state_dict()["front.0.mean"], state["front.0.mean"])


def test_what_is_loaded_takes_the_place_of_what_a_module_has_used_before():
    module = af.Normalize(1.0, 2.0)
    x = noise(2, 10, 5)
    module(x)  # keeps a float64 copy
    module.load_state_dict(af.Normalize(-1.0, 0.5).state_dict())
    assert torch.equal(module(x), (x + 1.0) / 0.5)
    assert torch.equal(module(x.float()), (x.float() + 1.0) / 0.5)


# ---------------------------------------------------------------- measured


def clips_of(n, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    return [noise(10, int(random.integers(1, 30)), seed=i) * spread + torch.arange(10.0)[:, None] for i in range(n)]


def batches(clips, size, padding=7.0):
    for first in range(0, len(clips), size):
        some = clips[first : first + size]
        lengths = torch.tensor([clip.shape[-1] for clip in some])
        x = torch.full((len(some), 10, int(lengths.max())), padding, dtype=some[0].dtype)
        for row, clip in enumerate(some):
            x[row, :, : clip.shape[-1]] = clip
        yield x, lengths


@settings(max_examples=30)
@given(data=st.data())
def test_what_is_measured_is_exact_whatever_the_batches(data):
    clips = clips_of(
        data.draw(st.integers(1, 20)), data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1.0, 1e-3]))
    )
    everything = torch.cat(clips, dim=-1).numpy() + 100
    clips = [clip + 100 for clip in clips]
    if everything.shape[-1] == 1:
        return
    size = data.draw(st.integers(1, 21))
    found = af.Normalize.of(batches(clips, size), progress=False)
    np.testing.assert_allclose(found.mean, everything.mean(-1), rtol=1e-13)
    np.testing.assert_allclose(found.std, everything.std(-1), rtol=1e-9)
    one = af.Normalize.of(batches(clips, size), per_bin=False, progress=False)
    np.testing.assert_allclose((one.mean, one.std), (everything.mean(), everything.std()), rtol=1e-11)
    garbage = af.Normalize.of(batches(clips, size, padding=float("nan")), progress=False)
    assert (garbage.mean, garbage.std) == (found.mean, found.std)
    # what it is for
    normal = torch.cat([found(clip) for clip in clips], dim=-1).numpy()
    np.testing.assert_allclose(normal.mean(-1), 0, atol=1e-9)
    np.testing.assert_allclose(normal.std(-1), 1, atol=1e-9)


def test_our_loaders_and_other_batches_are_measured_alike():
    mel = af.LogMelSpectrogram(**MEL)
    samples = [single_noise(n, seed=n) for n in (400, 130, 999, 64, 333)]
    everything = torch.cat([mel(clip) for clip in samples], dim=-1).double().numpy()
    make = {
        "batch": lambda **more: af.GPUSpecCollate(mel, device="cpu", **more),
        "tuple": lambda **more: af.GPUSpecCollate(mel, device="cpu", output="tuple", **more),
    }
    for collate in make.values():
        for workers in (0, 1):
            loader = torch.utils.data.DataLoader(
                [(clip, i) for i, clip in enumerate(samples)], batch_size=2, collate_fn=collate(), num_workers=workers
            )
            found = af.Normalize.of(loader)
            np.testing.assert_allclose(found.mean, everything.mean(-1), rtol=1e-6)
            np.testing.assert_allclose(found.std, everything.std(-1), rtol=1e-6)
    plain = af.Normalize.of([mel(clip) for clip in samples])
    np.testing.assert_allclose(plain.std, everything.std(-1), rtol=1e-6)
    channels = af.Normalize.of([torch.stack([mel(clip), mel(clip) + 1])[None] for clip in samples])
    np.testing.assert_allclose(channels.mean, everything.mean(-1) + 0.5, rtol=1e-6)
    assert not any(p.requires_grad for p in plain.parameters())


def test_a_bin_that_never_changes_becomes_0_with_a_warning():
    x = noise(2, 10, 50)
    x[:, 3], x[:, 7] = -23.02585, 0.0
    with pytest.warns(UserWarning, match=r"bins 3, 7 \(of 10\) never change") as found:
        normalize = af.Normalize.of([x])
    assert found[0].filename == __file__
    out = normalize(x)
    assert torch.isfinite(out).all()
    np.testing.assert_allclose(out[:, [3, 7]], 0, atol=1e-12)
    with pytest.warns(UserWarning, match="features never change"):
        assert af.Normalize.of([torch.ones(1, 2, 3)], per_bin=False).std == 1.0


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        ([], ValueError, "the loader gave no batch"),
        ([torch.full((1, 2, 3), float("nan"))], ValueError, "clip 0 of batch 0 has features that are NaN or infinite"),
        ([noise(1, 2, 3), noise(1, 4, 3)], ValueError, "batch 1 has 4 bins, and those before have 2"),
        (
            [(noise(2, 2, 3), torch.tensor([0, 1]))],
            ValueError,
            "batch 0 is .features, lengths. whose lengths lie between 0",
        ),
        ([(noise(2, 2, 3), ["a", "b"])], TypeError, "batch 0 is .features, lengths. whose lengths is list"),
        ([{"mel": noise(2, 2, 3)}], TypeError, "batch 0 has features .*NoneType"),
        ([{"features": {"a": noise(1, 2, 3), "b": noise(1, 2, 3)}}], TypeError, r"several features, \['a', 'b'\]"),
        ([3], TypeError, "batch 0 is a int; batches must be features"),
        ([torch.zeros(2, 3, dtype=torch.int64)], TypeError, "batch 0 has features torch.int64"),
    ],
)
def test_batches_that_cannot_be_measured_are_named(loader, error, message):
    with pytest.raises(error, match=message):
        af.Normalize.of(loader)


def test_a_transform_that_counts_no_frames_is_warned_of():
    class Energy(nn.Module):
        def forward(self, x):
            return x.unfold(-1, 4, 4).square().sum(-1).unsqueeze(-2)

    collate = af.GPUSpecCollate(Energy(), device="cpu")
    with pytest.warns(UserWarning, match="so that padding is measured as well"):
        af.Normalize.of([collate([(single_noise(8), 0), (single_noise(12), 1)])])


def test_a_progress_bar_counts_batches(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    af.Normalize.of([noise(1, 2, 3)] * 4, progress=True)
    assert "measuring features" in stream.getvalue()
    assert "4/4" in stream.getvalue()
    quiet = io.StringIO()
    monkeypatch.setattr("sys.stderr", quiet)
    af.Normalize.of([noise(1, 2, 3)] * 4)
    assert quiet.getvalue() == ""


# ---------------------------------------------------------------- each clip


@pytest.mark.parametrize("over", ["bin", "clip"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("eps", "eps_to"), [(0.0, "std"), (1e-5, "std"), (1e-2, "variance")])
@pytest.mark.parametrize("leading", [(), (3,), (3, 2)])
def test_a_clip_is_normalized_as_the_formula_says(over, unbiased, eps, eps_to, leading):
    module = af.NormalizeClips(over=over, unbiased=unbiased, eps=eps, eps_to=eps_to)
    x = noise(*leading, 10, 70) * 3 - 9
    axes = (-1,) if over == "bin" else tuple(range(1 if len(leading) > 0 else 0, x.dim()))
    values = x.numpy()
    variance = values.var(axis=axes, keepdims=True, ddof=int(unbiased))
    divisor = np.sqrt(variance + eps) if eps_to == "variance" else np.sqrt(variance) + eps
    expected = (values - values.mean(axis=axes, keepdims=True)) / divisor
    np.testing.assert_allclose(module(x), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(module(x.clone().requires_grad_()).detach(), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        standardized(x, axis=axes, unbiased=unbiased, eps=eps, eps_to=eps_to), expected, rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(module(x.float()), expected, rtol=0, atol=5e-6)


def test_nemos_per_feature_normalization_of_a_padded_batch():
    """Mean and unbiased deviation over each clip's own frames, 1e-5 added, zeros past the end."""
    x, lengths = single_noise(3, 10, 40) * 4 - 10, torch.tensor([40, 17, 2])
    found = af.NormalizeClips()(x, lengths)
    for row, n in enumerate(lengths.tolist()):
        own = x[row, :, :n].double()
        expected = (own - own.mean(1, keepdim=True)) / (own.std(1, keepdim=True) + 1e-5)
        torch.testing.assert_close(found[row, :, :n].double(), expected, rtol=1e-5, atol=1e-5)
        assert torch.all(found[row, :, n:] == 0)


@pytest.mark.parametrize("value", [0.0, 0.1, -23.02585, 1e-30])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_features_that_do_not_change_are_0_with_a_finite_gradient(value, eps):
    for frames in (1, 2, 777):
        for over in ("bin", "clip"):
            x = torch.full((2, 3, frames), value, requires_grad=True)
            module = af.NormalizeClips(over=over, eps=eps)
            out = module(x, torch.tensor([frames, 1]))
            out.sum().backward()
            assert torch.isfinite(x.grad).all()
            assert torch.all(out.abs() <= 1e-6)
            assert torch.all(module(x.detach()).abs() <= 1e-6)


# ---------------------------------------------------------------- frames added


def test_frames_are_added_up_to_a_number_or_a_multiple():
    x, lengths = single_noise(2, 10, 9), torch.tensor([9, 4])
    clean = af.Rescale()(x, lengths)
    multiple = af.PadFrames(multiple=4)
    assert torch.equal(multiple(x, lengths), nn.functional.pad(clean, (0, 3)))
    assert multiple.frame_lengths(lengths).tolist() == [9, 4]
    assert multiple(x[..., :8]).shape[-1] == 8
    counted = af.PadFrames(multiple=4, counts=True, value=-5.0)
    out = counted(x, lengths)
    assert counted.frame_lengths(lengths).tolist() == [12, 4]
    assert torch.all(out[0, :, 9:] == -5)
    assert torch.all(out[1, :, 4:] == 0)  # no frames of the second clip, which needs none
    torch.testing.assert_close(counted(x[1, :, :3])[:, 3:], torch.full((10, 1), -5.0))
    to = af.PadFrames(to=12, value=-5.0)
    assert to.frame_lengths(lengths).tolist() == [9, 4]
    for row, n in enumerate(lengths.tolist()):
        assert torch.equal(to(x, lengths)[row], to(x[row, :, :n]))
        assert torch.all(to(x, lengths)[row, :, n:] == -5)
    assert af.PadFrames(to=12, counts=True).frame_lengths(lengths).tolist() == [12, 12]


def test_a_longer_clip_is_an_error_or_cropped():
    x, lengths = single_noise(2, 10, 9), torch.tensor([6, 4])
    with pytest.raises(
        ValueError, match=r"to=5 frames must be at least as many as a clip has, and one has 6; pass longer="
    ):
        af.PadFrames(to=5)(x, lengths)
    crop = af.PadFrames(to=5, longer="crop")
    assert torch.equal(crop(x, lengths)[0], x[0, :, :5])
    assert crop.frame_lengths(lengths).tolist() == [5, 4]
    # what is longer than any clip is padding alone
    assert torch.equal(af.PadFrames(to=6)(x, lengths), af.Rescale()(x, lengths)[..., :6])


@pytest.mark.parametrize("with_lengths", [True, False])
def test_added_frames_count_for_what_comes_after_or_stay_0(with_lengths):
    """The audio spectrogram transformer normalizes its padding; Matcha does not."""
    mel = af.LogMelSpectrogram(**MEL)
    x, lengths = single_noise(2, 500), torch.tensor([500, 300] if with_lengths else [500, 500])
    given_lengths = (lengths,) if with_lengths else ()
    frames = mel.frame_lengths(lengths).tolist()
    ast = af.Chain(mel, af.PadFrames(to=24, longer="crop", counts=True), af.Normalize(-4.2677393, 2 * 4.5689974))
    matcha = af.Chain(mel, af.PadFrames(multiple=24), af.Rescale(add=5.536622, divide=2.116101))
    out = {name: chain(x, *given_lengths) for name, chain in (("ast", ast), ("matcha", matcha))}
    assert ast.frame_lengths(lengths).tolist() == [24, 24]
    assert matcha.frame_lengths(lengths).tolist() == frames
    for row, (n, count) in enumerate(zip(lengths.tolist(), frames, strict=True)):
        alone = mel(x[row, :n])
        padded = nn.functional.pad(alone, (0, 24 - count))
        torch.testing.assert_close(out["ast"][row], (padded + 4.2677393) / (2 * 4.5689974))
        torch.testing.assert_close(out["ast"][row], ast(x[row, :n]))
        torch.testing.assert_close(out["matcha"][row, :, :count], (alone + 5.536622) / 2.116101)
        assert torch.all(out["matcha"][row, :, count:] == 0)
        torch.testing.assert_close(out["matcha"][row], matcha(x[row, :n]))


def test_a_chain_in_a_chain_says_where_clips_end():
    mel, x = af.LogMelSpectrogram(**MEL), single_noise(3, 500)
    inner = af.Chain(mel, af.PadFrames(multiple=24))
    for front in (inner, af.Chain(inner)):
        for given_x in (x, x[0], x[:1]):
            out = af.Chain(front, af.Rescale(add=5.0))(given_x)
            torch.testing.assert_close(out[..., :16], mel(given_x) + 5.0)
            assert torch.all(out[..., 16:] == 0)


@settings(max_examples=60)
@given(data=st.data())
def test_a_front_end_of_a_padded_batch_is_that_of_each_clip(data):
    members = {
        "constants": af.Normalize(MEANS, DEVIATIONS),
        "rescale": af.Rescale(add=4.0, divide=4.0),
        "bins": af.NormalizeClips(),
        "clip": af.NormalizeClips(over="clip", unbiased=False),
        "multiple": af.PadFrames(multiple=8),
        "counted": af.PadFrames(multiple=8, counts=True),
        "number": af.PadFrames(to=30, longer="crop", counts=True, value=-1.0),
    }
    names = data.draw(st.lists(st.sampled_from(sorted(members)), min_size=1, max_size=4))
    first = data.draw(st.sampled_from([af.RemoveMean(), af.PreEmphasis(first="drop")]))
    chain = af.Chain(first, af.LogMelSpectrogram(**MEL, floor=1e-3), *(members[name] for name in names))
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=4)))
    x = single_noise(len(lengths), int(lengths.max()))
    out, ends = chain(x, lengths), chain.frame_lengths(lengths)
    for row, (n, end) in enumerate(zip(lengths.tolist(), ends.tolist(), strict=True)):
        alone = chain(x[row, :n])
        torch.testing.assert_close(out[row, :, :end], alone[:, :end], rtol=1e-4, atol=1e-4)
        assert torch.all(out[row, :, end:] == 0)
        assert torch.all(alone[:, end:] == 0)


def test_a_front_end_in_a_collate():
    chain = af.Chain(af.LogMelSpectrogram(**MEL), af.PadFrames(to=24, counts=True), af.Normalize(MEANS, DEVIATIONS))
    clips = [single_noise(n, seed=n) for n in (500, 130)]
    batch = af.GPUSpecCollate(chain, device="cpu")([(clip, 0) for clip in clips])
    assert batch.features.shape == (2, 10, 24)
    assert batch.feature_lengths.tolist() == [24, 24]
    for row, clip in enumerate(clips):
        torch.testing.assert_close(batch.features[row], chain(clip), rtol=1e-5, atol=1e-5)


def test_numbers_of_a_step_are_made_once_and_never_of_tensors_without_values():
    rescale, like = af.Rescale(add=7.25, divide=3.5), torch.zeros(1, 2)
    with FakeTensorMode():
        (step,) = rescale.value_steps(like)
        assert type(step.add) is not torch.Tensor
    with torch.inference_mode():
        (step,) = rescale.value_steps(like)
    assert (step.add.item(), step.divide.item(), step.add.is_inference()) == (7.25, 3.5, False)
    assert rescale.value_steps(like)[0].add is step.add
    assert rescale.value_steps(like.double())[0].add.dtype == torch.float64
    x = torch.ones(1, 2, requires_grad=True)
    step.apply(x, None).sum().backward()
    assert x.grad.tolist() == [[pytest.approx(1 / 3.5)] * 2]
