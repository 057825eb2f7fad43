"""What is asked of a transform: every attribute is optional, and a transform of anybody's can be read."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from feed_datasets import Bands, Foreign, Pairs
from torch import nn

import audiofeed as af
from audiofeed.feed import GPUSpecCollate, transform_contract

READERS = {
    "frame_lengths": transform_contract.frame_lengths_of,
    "takes_int16": transform_contract.takes_int16,
    "takes_features": transform_contract.takes_features,
    "sample_rate": transform_contract.sample_rate_of,
    "times": lambda transform: transform_contract.times_of(transform, 3),
    "centers": lambda transform: transform_contract.centers_of(transform, 3, 16000),
    "frequencies": transform_contract.frequencies_of,
    "log": transform_contract.log_of,
}


def read(transform):
    return {name: reader(transform) for name, reader in READERS.items()}


def test_any_module_will_do():
    assert read(nn.Linear(2, 3)) == read(Foreign()) == {
        "frame_lengths": None,
        "takes_int16": False,
        "takes_features": False,
        "sample_rate": None,
        "times": None,
        "centers": None,
        "frequencies": None,
        "log": None,
    }  # fmt: skip


def test_ours_answer_every_question():
    transform = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=40, log="db")
    found = read(transform)
    assert found["frame_lengths"](torch.tensor([1600])).tolist() == [11]
    assert found["takes_int16"]
    assert not found["takes_features"]
    assert found["sample_rate"] == 16000
    assert found["times"].tolist() == pytest.approx([0, 0.01, 0.02])
    assert found["centers"].tolist() == [0, 160, 320]
    assert len(found["frequencies"]) == 40
    assert found["log"] == "db"
    assert transform_contract.takes_features(af.AmplitudeToDB())
    assert not transform_contract.takes_int16(af.Chain(Foreign(), af.AmplitudeToDB()))


@pytest.mark.parametrize("chained", [False, True])
def test_a_transform_made_without_a_rate_has_no_times_and_no_frequencies(chained):
    transform = af.Spectrogram(400)
    transform = af.Chain(transform, af.AmplitudeToDB()) if chained else transform
    with pytest.raises(ValueError, match="sample rate"):
        transform.times(3)
    assert transform_contract.times_of(transform, 3) is None
    assert transform_contract.frequencies_of(transform) is None
    assert transform_contract.frame_lengths_of(transform) is not None


def test_attributes_of_another_kind_are_not_taken_for_ours():
    class Odd(nn.Module):
        frame_lengths = 3
        sample_rate = 8000

        def __init__(self):
            super().__init__()
            self.log = nn.Identity()
            self.register_buffer("times", torch.ones(3))

        def frequencies(self):
            return None

    found = read(Odd())
    assert found.pop("sample_rate") == 8000
    assert set(found.values()) == {None, False}


def test_an_error_inside_an_attribute_is_not_hidden():
    class Wrong(nn.Module):
        @property
        def frequencies(self):
            raise ZeroDivisionError("inside")

        def times(self, n_frames):
            raise AttributeError("inside")

    with pytest.raises(ZeroDivisionError, match="inside"):
        transform_contract.frequencies_of(Wrong())
    with pytest.raises(AttributeError, match="inside"):
        transform_contract.times_of(Wrong(), 3)


def test_a_wrapper_that_forwards_attributes_counts_as_what_it_wraps():
    """As the module of `torch.compile` does."""

    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            return super().__getattr__(name) if name == "inner" else getattr(super().__getattr__("inner"), name)

        def forward(self, *arguments):
            return self.inner(*arguments)

    items = [Pairs()[index] for index in range(3)]
    batch = GPUSpecCollate(Wrapper(Bands()), device="cpu")(items)
    assert batch.sample_rate == 16000
    assert batch.feature_lengths.tolist() == GPUSpecCollate(Bands(), device="cpu")(items).feature_lengths.tolist()


def test_readers_are_the_only_way_to_a_transforms_attributes():
    """No attribute of a transform is asked for by a string in feed/ or plot/, where no type checker would see it."""
    root = Path(transform_contract.__file__).parent
    for path in [*root.glob("*.py"), *(root.parent / "plot").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("getattr", "hasattr")
            ):
                asked = node.args[1]
                assert not (isinstance(asked, ast.Constant) and asked.value in READERS), f"{path}:{node.lineno}"


def test_every_attribute_has_its_protocol_and_its_place_in_the_table():
    protocols = [value for value in vars(transform_contract).values() if getattr(value, "_is_protocol", False)]
    declared = {name for protocol in protocols for name in vars(protocol) if not name.startswith("_")}
    assert declared == set(READERS)
    for name in READERS:
        assert f"| `{name}" in transform_contract.__doc__


@pytest.mark.parametrize("rate", [16000, 16000.0, None])
def test_the_sample_rate_of_a_batch_is_an_integer(rate):
    transform = Bands()
    transform.sample_rate = rate
    batch = GPUSpecCollate(transform, device="cpu")([torch.ones(100)])
    assert batch.sample_rate == rate
    assert not isinstance(batch.sample_rate, float)
    assert transform_contract.sample_rate_of(SimpleNamespace(sample_rate=rate)) == rate
