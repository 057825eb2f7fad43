"""GPUSpecCollate in the process that owns it: arguments, augmentation, targets, what a pickle carries."""

import copy
import gc
import inspect
import pickle
import weakref

import pytest
import torch
from feed_datasets import Bands, Pairs, sum_targets
from torch import nn

import audiofeed as af
from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.feed.states.runtime import find_runtime

ITEMS = [Pairs()[index] for index in range(3)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"transform": torch.sin}, TypeError, "must be an instance of torch.nn.Module"),
        ({"transform": Bands}, TypeError, "must be an instance of torch.nn.Module"),
        ({"transform": af.AmplitudeToDB()}, TypeError, "transform=AmplitudeToDB takes features, and must take wavef"),
        ({"transform": af.Chain(af.Deltas(), af.CMVN())}, TypeError, "transform=Chain takes features"),
        ({"output": "pair"}, ValueError, "output='pair' must be 'batch', 'tuple' or 'tensors'"),
        ({"max_ahead": -1}, ValueError, "max_ahead=-1"),
        ({"max_ahead": 1.5}, ValueError, r"max_ahead=1\.5"),
        ({"max_ahead": True}, ValueError, "max_ahead=True"),
        ({"augment": 3}, TypeError, "augment=3"),
        ({"target_collate": 3}, TypeError, "target_collate=3"),
        ({"device": "gpu"}, ValueError, "device='gpu' must be"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        GPUSpecCollate(**{"transform": Bands(), **arguments})


class Counted(torch.nn.Module):
    """Says how many frames a clip has, and takes no lengths."""

    def forward(self, waveform):
        return waveform.unfold(-1, 4, 4).sum(-1)[:, None]

    def frame_lengths(self, lengths):
        return lengths // 4


class CountedByLengths(Counted):
    def forward(self, waveform, lengths=None):
        return super().forward(waveform)


def test_a_transform_that_would_be_given_lengths_and_takes_none_is_refused_at_once():
    for transform in (Counted(), torch.nn.DataParallel(Counted())):
        with pytest.raises(TypeError, match=r"has frame_lengths, so .* takes none: write forward\(self, wave"):
            GPUSpecCollate(transform)
    assert GPUSpecCollate(CountedByLengths())([torch.ones(8)]).features.tolist() == [[[4.0, 4.0]]]


@pytest.mark.parametrize("made", [PadCollate, lambda **given: GPUSpecCollate(Bands(), **given)])
def test_a_mistyped_argument_is_answered_with_the_right_one(made):
    with pytest.raises(TypeError, match=r"Collate has no argument targets_field='text'; do you mean target_field\?"):
        made(targets_field="text")


@pytest.mark.parametrize("cls", [PadCollate, GPUSpecCollate])
def test_each_argument_has_its_entry_in_the_documentation(cls):
    for name in inspect.signature(cls).parameters:
        assert f"\n    {name}: " in cls.__doc__, name


def test_no_device_named_is_the_cpu_where_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert GPUSpecCollate(Bands())(ITEMS).features.device.type == "cpu"


def test_no_device_named_is_the_current_accelerator_at_first_use(monkeypatch):
    current = {"index": 0}
    collate = GPUSpecCollate(Bands())
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current["index"])
    current["index"] = 3
    assert collate._runtime.device() == torch.device("cuda:3")
    current["index"] = 1
    assert collate._runtime.device() == torch.device("cuda:3")
    assert GPUSpecCollate(Bands(), device="cuda")._runtime.device() == torch.device("cuda:1")


def test_the_transform_moves_to_the_device_at_first_use():
    transform = Bands()
    collate = GPUSpecCollate(transform, device="meta")
    assert transform.weight.device.type == "cpu"
    assert collate(ITEMS).features.device.type == "meta"
    assert transform.weight.device.type == "meta"


def test_the_live_module_is_used_as_it_is_at_the_first_read():
    transform = Bands()
    collate = GPUSpecCollate(transform, device="cpu")
    assert collate.transform is transform
    batch = collate(ITEMS)
    with torch.no_grad():
        transform.weight.mul_(2)
    assert torch.equal(batch.features, transform(batch.waveforms, batch.lengths))


def test_a_rate_the_transform_was_not_built_for():
    with pytest.raises(ValueError, match=r"clip 0 .*sample_rate=8000 and the transform has 16000"):
        GPUSpecCollate(Bands(), device="cpu")([AudioExample(torch.ones(100), 8000, key="a.wav")])


class Scale:
    """An augmentation that shows what it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, waveforms, lengths, seeds):
        self.seen.append((waveforms.dtype, lengths.tolist(), None if seeds is None else seeds.tolist()))
        return waveforms * 3


def test_the_augmentation_runs_once_before_the_transform():
    augment = Scale()
    transform = Bands()
    collate = GPUSpecCollate(transform, device="cpu", augment=augment)
    short = AudioExample(torch.ones(2, dtype=torch.int16), 16000, seed=5)
    batch = collate([short, AudioExample(torch.ones(3, dtype=torch.int16), 16000, seed=7)])
    assert augment.seen == []
    assert torch.equal(batch.waveforms, torch.tensor([[3.0, 3.0, 0.0], [3.0, 3.0, 3.0]]) / 32768)
    assert torch.equal(batch.features, transform(batch.waveforms, batch.lengths))
    assert augment.seen == [(torch.float32, [2, 3], [5, 7])]
    _ = collate(ITEMS).features
    assert augment.seen[1][2] is None


def test_an_augmentation_must_keep_the_shape():
    for augment, got in ((lambda w, n, s: w[:, 1:], r"\(3, 973\)"), (lambda w, n, s: None, "NoneType")):
        batch = GPUSpecCollate(Bands(), device="cpu", augment=augment)(ITEMS)
        with pytest.raises(ValueError, match=f"augment returned {got}; .*shape"):
            _ = batch.features
        assert batch.targets.tolist() == [0, 1, 2]


def test_waveforms_not_augmented_yet_are_not_passed_off_as_augmented(monkeypatch):
    plain = GPUSpecCollate(Bands(), device="cpu")
    augmenting = GPUSpecCollate(Bands(), device="cpu", augment=Scale())
    for collate in (plain, augmenting):
        monkeypatch.setattr(collate._runtime, "is_here", lambda: False)
    assert plain(ITEMS).waveforms.shape == (3, 974)
    with pytest.raises(RuntimeError, match=r"batch\.waveforms was read in process"):
        _ = augmenting(ITEMS).waveforms


def test_a_trained_augmentation_gets_its_gradient():
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(2.0))

        def forward(self, waveforms, lengths, seeds):
            return waveforms * self.gain

    gain = Gain()
    batch = GPUSpecCollate(Bands(), device="cpu", augment=gain)(ITEMS)
    with torch.no_grad():
        before = batch.waveforms
    batch.features.sum().backward()
    assert gain.gain.grad is not None
    assert torch.equal(before, batch.waveforms)


def test_target_collate_takes_over_and_its_tensors_move():
    batch = GPUSpecCollate(Bands(), device="meta", target_collate=sum_targets)(ITEMS)
    assert batch.targets["sum"].device.type == "meta"
    assert batch.targets["raw"] == [0, 1, 2]
    assert PadCollate(target_collate=sum_targets)(ITEMS).targets["sum"].item() == 3


def test_targets_that_do_not_stack():
    collate = GPUSpecCollate(Bands(), device="meta")
    assert collate([(torch.ones(5), "a"), (torch.ones(5), "b")]).targets == ["a", "b"]
    assert collate([torch.ones(5)]).targets is None
    ragged = collate([(torch.ones(5), torch.ones(1)), (torch.ones(5), torch.ones(2))]).targets
    assert [target.device.type for target in ragged] == ["meta", "meta"]


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(50_000_000), requires_grad=False)

    def forward(self, waveform):
        return waveform[:, None]


def test_a_deep_copy_copies_no_module():
    collate = GPUSpecCollate(Large(), device="cpu", target_collate=sum_targets, augment=Scale())
    assert copy.deepcopy(collate).transform is collate.transform
    state = collate.__getstate__()
    del state["_carried"]
    assert len(pickle.dumps(state)) < 1000


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, lambda collate: pickle.loads(pickle.dumps(collate))])
def test_a_copy_has_the_live_transform(copier):
    transform = Bands()
    collate = GPUSpecCollate(transform, device="cpu")
    twin = copier(collate)
    del collate
    assert twin.transform is transform
    assert torch.equal(twin(ITEMS).features, GPUSpecCollate(transform, device="cpu")(ITEMS).features)


def test_a_subclass_keeps_its_attributes():
    twin = pickle.loads(pickle.dumps(Named(Bands(), device="cpu")))
    assert twin.name == "mine"
    assert isinstance(twin, Named)


class Named(GPUSpecCollate):
    name = "class"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.name = "mine"


def test_nothing_keeps_a_dropped_collate_alive():
    collate = GPUSpecCollate(Bands(), device="cpu")
    token = collate._info.token
    transform = weakref.ref(collate.transform)
    batch = collate(ITEMS)
    _ = batch.features
    del collate
    assert find_runtime(token) is not None
    del batch
    gc.collect()
    assert find_runtime(token) is None
    assert transform() is None


def test_what_left_the_cpu_is_not_held_there():
    collate = GPUSpecCollate(Bands(), device="meta")
    batch = collate([torch.ones(100, dtype=torch.int16)])
    samples = weakref.ref(batch._progress.state.padded.waveforms)
    assert samples() is not None
    _ = batch.features
    assert samples() is None
    assert batch._progress.state.moved.padded.waveforms is batch.waveforms


def test_repr():
    assert repr(GPUSpecCollate(Bands(), output="tuple")) == "GPUSpecCollate(Bands, output='tuple')"


def test_a_transform_without_values_is_loaded_or_said():
    """As one is made under `torch.device("meta")` before a checkpoint is loaded into it."""
    with torch.device("meta"):
        transform = af.SincFilterbank(sample_rate=8000, n_filters=4, win_length=65, hop_length=100)
    collate = GPUSpecCollate(transform, device="cpu")
    clips = [torch.ones(400), torch.ones(300)]
    with pytest.raises(ValueError, match=r"transform=SincFilterbank is on the meta device \(.*to_empty"):
        collate(clips).features  # noqa: B018
    shapes = GPUSpecCollate(transform, device="meta")(clips).features
    fresh = af.SincFilterbank(sample_rate=8000, n_filters=4, win_length=65, hop_length=100)
    transform.to_empty(device="cpu").load_state_dict(fresh.state_dict())
    found = collate(clips).features
    assert found.shape == shapes.shape
    torch.testing.assert_close(found, GPUSpecCollate(fresh, device="cpu")(clips).features)
