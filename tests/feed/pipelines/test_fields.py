"""Fields: nothing of an item is lost on its way into the batch, or an error names it."""

import wave
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from feed_datasets import Bands
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from audiofeed.data.example import AudioExample
from audiofeed.data.manifest import AudioManifest
from audiofeed.feed import GPUSpecCollate, PadCollate, register_item_form
from audiofeed.feed.items import Clip, read_items, unregister_item_form

WAVE = torch.arange(6, dtype=torch.float32) / 8


@dataclass
class Samples:
    """torchcodec's AudioSamples."""

    data: torch.Tensor
    pts_seconds: float = 1.5
    duration_seconds: float = 6 / 16000
    sample_rate: int = 16000


def only(item):
    return read_items([item])[0]


@pytest.mark.parametrize(
    ("item", "target", "key", "fields"),
    [
        ({"waveform": WAVE, "label": 1, "speaker": 4}, 1, None, {"speaker": 4}),
        ({"waveform": WAVE, "target": None, "speaker": 4}, None, None, {"speaker": 4}),
        ({"waveform": WAVE, "label": 1, "key": "a", "path": "b.wav"}, 1, "a", {"path": "b.wav"}),
        ({"waveform": WAVE, "label": 1, "audio": "b.wav"}, 1, None, {"audio": "b.wav"}),
        ({"audio": WAVE, "text": "hi"}, {"text": "hi"}, None, {"text": "hi"}),
        ({"waveform": WAVE, "label": 0, "target": 1}, {"label": 0, "target": 1}, None, {"label": 0, "target": 1}),
        # Hugging Face, with the row's own columns beside the sound's
        ({"audio": {"array": WAVE, "sampling_rate": 8000, "path": "d"}, "label": 2, "n": 3}, 2, "d", {"n": 3}),
        ({"audio": {"array": WAVE, "path": "d"}, "id": "x", "label": 2}, 2, "x", {"path": "d"}),
        ({"audio": {"array": WAVE, "bytes": b"RIFF"}, "label": 2}, 2, None, {"bytes": b"RIFF"}),
        ({"array": WAVE.numpy(), "sampling_rate": 8000, "label": 2}, 2, None, {}),
        ({"array": WAVE.tolist(), "path": "d", "id": 5, "label": 2, "n": 3}, 2, "d", {"id": 5, "n": 3}),
        ({"array": WAVE, "text": "hi"}, None, None, {"text": "hi"}),
        ({"array": WAVE, "label": 1, "target": 2}, {"label": 1, "target": 2}, None, {"label": 1, "target": 2}),
        (({"array": WAVE, "sampling_rate": 16000}, 16000), 16000, None, {}),
        # named tuples, by the names that are known, else by place
        (namedtuple("Item", "audio label speaker")(WAVE, 2, 4), 2, None, {"speaker": 4}),
        (namedtuple("Item", "samples sample_rate label speaker")(WAVE, 500, 2, 4), 2, None, {"speaker": 4}),
        (namedtuple("Item", "x label")(WAVE, 44100), 44100, None, {}),
        (namedtuple("Item", "x y")(WAVE, 44100), 44100, None, {}),
        (namedtuple("Item", "x y z")(WAVE, 5, "a"), (5, "a"), None, {"y": 5, "z": "a"}),
        # a number under another name is no rate
        (
            namedtuple("Item", "x speaker take")(WAVE, 16000, None),
            (16000, None),
            None,
            {"speaker": 16000, "take": None},
        ),
        (namedtuple("Item", "x sr take")(WAVE, 16000, 7), 7, None, {}),
        # examples, alone and within others
        (AudioExample(WAVE, 8000, target=1, key="k", fields={"a": 1}), 1, "k", {"a": 1}),
        ((AudioExample(WAVE, 8000, target=1, fields={"a": 1}), 7), (1, 7), None, {"a": 1}),
        ({"audio": AudioExample(WAVE, 8000, key="k", fields={"a": 1}), "label": 2, "b": 3}, 2, "k", {"a": 1, "b": 3}),
        ({"audio": AudioExample(WAVE, 8000, key="k", fields={"a": 1}), "label": 2, "a": 3}, 2, "k", {"a": (1, 3)}),
        ({"audio": AudioExample(WAVE, 8000, key="k"), "label": 2, "id": "x"}, 2, "x", {"key": "k"}),
        ({"x": AudioExample(WAVE, 8000, fields={"a": 1}), "y": 3}, {"y": 3}, None, {"a": 1, "y": 3}),
        # what follows the first entry of a plain tuple is its target, all of it
        ((WAVE, 16000, "yes", "bob", 2), ("yes", "bob", 2), None, {}),
        (((WAVE, 16000), 3, {"speaker": 4}), (3, {"speaker": 4}), None, {}),
        # webdataset
        ({"__key__": "s", "__url__": "a.tar", "flac": WAVE, "cls": 3}, 3, "s", {"__url__": "a.tar"}),
        ({"__key__": "s", "wav": WAVE, "cls": 3, "txt": "hi"}, {"cls": 3, "txt": "hi"}, "s", {"cls": 3, "txt": "hi"}),
        (
            {"__key__": "s", "__url__": "a.tar", "wav": WAVE, "cls": 3, "txt": "hi"},
            {"cls": 3, "txt": "hi"},
            "s",
            {"__url__": "a.tar", "cls": 3, "txt": "hi"},
        ),
        ({"__key__": "s", "wav": {"array": WAVE, "path": "d"}, "cls": 3}, 3, "s", {"key": "d"}),
        ((Samples(WAVE[None]), 4), 4, None, {"pts_seconds": 1.5}),
        (OrderedDict(waveform=WAVE, label=1, take=2), 1, None, {"take": 2}),
    ],
)
def test_what_is_no_waveform_rate_key_or_target_is_a_field(item, target, key, fields):
    clip = only(item)
    assert (clip.target, clip.key, dict(clip.fields)) == (target, key, fields)
    batch = PadCollate()([item])
    assert torch.equal(batch.waveforms.reshape(-1), WAVE)
    assert list(batch.fields) == list(fields)
    assert list(batch["fields"]) == list(fields)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, np.int64(48000), torch.tensor(22050)])
@pytest.mark.parametrize("clips", [1, 3])
def test_an_integer_that_may_be_a_rate_is_refused(rate, clips):
    """`(waveform, 44100)` beside a transform of 16 kHz was a target 44100, and nothing said so."""
    items = [(WAVE, rate)] * clips
    number = int(rate)
    for collate in (GPUSpecCollate(Bands(), device="cpu"), PadCollate()):
        with pytest.raises(ValueError, match=rf"clip 0 is \(waveform, {number}\).*sample rate.*target") as caught:
            collate(items)
    assert f"(waveform, {number}, None)" in str(caught.value)
    assert f"'target': {number}" in str(caught.value)
    with pytest.raises(ValueError, match=r"\(the transform has 16000 Hz\)"):
        GPUSpecCollate(Bands(), device="cpu")([[WAVE, rate]])
    # the remedies
    batch = PadCollate()([(*item, None) for item in items])
    assert (batch.sample_rate, batch.targets) == (number, None)
    batch = PadCollate()([{"waveform": WAVE, "target": int(rate)}])
    assert (batch.sample_rate, batch.targets.tolist()) == (None, [number])


def test_an_integer_among_others_is_a_target():
    """An index that happens to be a usual rate, in a batch of indices."""
    assert PadCollate()([(WAVE, 7999), (WAVE, 8000), (WAVE, 8001)]).targets.tolist() == [7999, 8000, 8001]
    assert PadCollate()([(WAVE, 44100), (WAVE, None)]).targets == [44100, None]
    assert PadCollate()([(WAVE, 44101)]).targets.tolist() == [44101]
    assert PadCollate()([(WAVE, 16000.0)]).targets.tolist() == [16000.0]
    assert PadCollate()([(WAVE, torch.tensor([16000]))]).targets.tolist() == [[16000]]
    with pytest.raises(ValueError, match="may be its sample rate"):
        PadCollate()([WAVE, (WAVE, 44100)])


def test_a_rate_of_the_transform_counts_as_usual():
    class Slow(Bands):
        sample_rate = 4000

    with pytest.raises(ValueError, match=r"\(waveform, 4000\)"):
        GPUSpecCollate(Slow(), device="cpu")([(WAVE, 4000)])
    assert PadCollate()([(WAVE, 4000)]).targets.tolist() == [4000]


def test_a_form_of_ones_own_knows_what_its_pairs_are():
    register_item_form(
        "a pair", lambda item: isinstance(item, tuple), lambda item: Clip(item[0], fields={"n": item[1]})
    )
    try:
        assert PadCollate()([(WAVE, 44100)]).fields["n"].tolist() == [44100]
    finally:
        unregister_item_form("a pair")
    example = AudioExample(WAVE, 44100)
    assert PadCollate(to_example=lambda item: example)([(WAVE, 44100)]).sample_rate == 44100


def test_a_rate_that_contradicts_the_sound_is_an_error_in_every_form():
    for item in ((Samples(WAVE[None]), 8000, "x"), namedtuple("Item", "audio sample_rate")(Samples(WAVE[None]), 8000)):
        with pytest.raises(ValueError, match=r"clip 0 has .*=8000 beside audio of 16000 Hz"):
            only(item)


def test_fields_collate_as_targets_do_and_move():
    items = [
        {"waveform": WAVE, "label": n, "speaker": n, "text": "ab"[n], "roll": torch.ones(2, n + 1)} for n in (0, 1)
    ]
    batch = GPUSpecCollate(Bands(), device="meta")(items)
    assert batch.fields["speaker"].device.type == "meta"
    assert batch.fields["text"] == ["a", "b"]
    assert [roll.shape[1] for roll in batch.fields["roll"]] == [1, 2]
    assert "speaker: int64 (2,) on meta" in repr(batch)
    assert PadCollate()([WAVE]).fields == {}


def test_a_field_that_some_clips_lack_is_none_there():
    first = {"waveform": WAVE, "label": 1, "speaker": 4}
    batch = PadCollate()([first, {"waveform": WAVE, "label": 2, "take": "x"}])
    assert batch.fields == {"speaker": [4, None], "take": [None, "x"]}


def test_fields_are_chosen():
    items = [{"waveform": WAVE, "label": 1, "speaker": 4, "take": "x"}]
    assert list(PadCollate(fields=["take"])(items).fields) == ["take"]
    assert PadCollate(fields=[])(items).fields == {}
    assert list(GPUSpecCollate(Bands(), device="cpu", fields=("speaker",))(items).fields) == ["speaker"]
    with pytest.raises(ValueError, match=r"\['speeker'\].*are \['speaker', 'take'\]"):
        PadCollate(fields=["speeker", "take"])(items)
    for wrong in ("speaker", 3):
        with pytest.raises(TypeError, match="must be a list of names"):
            PadCollate(fields=wrong)


def test_the_target_is_chosen():
    items = [{"audio": WAVE, "text": "hi", "label": 3}, {"audio": WAVE, "text": "ho", "label": 4}]
    batch = PadCollate(target_field="text")(items)
    assert batch.targets == ["hi", "ho"]
    assert batch.fields["target"].tolist() == [3, 4]
    batch = GPUSpecCollate(Bands(), device="cpu", target_field="text")([{"audio": WAVE, "text": "hi", "n": 3}])
    assert (batch.targets, list(batch.fields)) == (["hi"], ["n"])
    batch = PadCollate(target_field="a")([AudioExample(WAVE, 8000, target=1, fields={"a": 2, "target": 3})])
    assert (batch.targets.tolist(), collated(batch.fields["target"])) == ([2], ([3], [1]))
    batch = PadCollate(target_field="label")(items)  # the one that is taken anyway
    assert (batch.targets.tolist(), list(batch.fields)) == ([3, 4], ["text"])
    batch = PadCollate(target_field="label")([{"audio": WAVE, "label": 1, "target": 2}])
    assert (batch.targets.tolist(), batch.fields["target"].tolist()) == ([1], [2])
    with pytest.raises(ValueError, match=r"target_field='label' is not an entry of clip 0, which has \[\]"):
        PadCollate(target_field="label")([WAVE])
    with pytest.raises(ValueError, match=r"target_field='words' is not an entry of clip 0, which has \['text'\]"):
        PadCollate(target_field="words")(items)
    with pytest.raises(TypeError, match="target_field=3"):
        PadCollate(target_field=3)


def test_the_target_is_chosen_within_a_dict_that_is_the_target():
    """As in torchaudio's COMMONVOICE, and in webdataset's json."""
    items = [(WAVE, 16000, {"sentence": text, "age": age}) for text, age in (("hi", ""), ("ho", None))]
    batch = PadCollate(target_field="sentence")(items)
    assert (batch.targets, batch.fields) == (["hi", "ho"], {"age": ["", None]})
    item = {"__key__": "k", "__url__": "u", "wav": (WAVE, 16000), "json": {"text": "hi", "__url__": "v"}}
    batch = PadCollate(target_field="text")([item])
    assert (batch.targets, batch.fields) == (["hi"], {"__url__": (["u"], ["v"])})
    with pytest.raises(ValueError, match=r"'speaker' is not an entry of clip 0, which has \[\].*yield a dict"):
        PadCollate(target_field="speaker")([(WAVE, 16000, "HELLO", 84, 7, 0)])


def test_columns_of_a_manifest_are_chosen_on_their_way_into_the_batch(tmp_path):
    """Real rows, of a file, through dataset and collate: each chooses, and what both leave out alone is gone."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(200))
    (tmp_path / "rows.csv").write_text('\ufeffpath,target,who,age\na.wav,y,"ann, b",3\na.wav,n,,4\n', encoding="utf-8")

    def loaded(collate, **options):
        dataset = AudioManifest(tmp_path / "rows.csv", **options)
        return next(iter(DataLoader(dataset, batch_size=2, collate_fn=collate)))

    batch = loaded(PadCollate())
    assert (batch.targets.tolist(), batch.fields) == ([1, 0], {"who": ["ann, b", ""], "age": ["3", "4"]})
    assert loaded(PadCollate(fields=["age"])).fields == {"age": ["3", "4"]}
    batch = loaded(GPUSpecCollate(Bands(), device="cpu", fields=["who"], rename={"who": "speaker"}))
    assert dict(batch) == {"speaker": ["ann, b", ""]}
    assert loaded(PadCollate(fields=[])).fields == {}
    assert loaded(PadCollate(), fields=["who"]).fields == {"who": ["ann, b", ""]}
    batch = loaded(PadCollate(target_field="age", fields=["target"]))
    assert (batch.targets, batch.fields["target"].tolist()) == (["3", "4"], [1, 0])
    with pytest.raises(ValueError, match=r"fields=\['age'\] has \['age'\].*are \['who'\]"):
        loaded(PadCollate(fields=["age"]), fields=["who"])
    with pytest.raises(ValueError, match=r"fields=\['path'\].*are \['who', 'age'\]"):
        loaded(PadCollate(fields=["path"]))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"audio": WAVE, "sample_rate": "16k"}, "clip 0 has sample_rate='16k'; it must be an integer"),
        ({"audio": WAVE, "sample_rate": torch.tensor([8000, 8000])}, r"clip 0 has sample_rate=tensor\(\[8000"),
        ({"audio": WAVE, "sample_rate": float("inf")}, "clip 0 has sample_rate=inf; it must"),
        ({"audio": {"array": WAVE, "sampling_rate": "x"}}, "clip 0 has sample_rate='x'"),
        ({"audio": [[1.0, 2.0], [1.0]], "label": 1}, "clip 0 has list.* for its waveform, which is no array"),
        ({"array": [[1.0, 2.0], [1.0]], "label": 1}, "clip 0 has list.* for its waveform, which is no array"),
    ],
)
def test_a_wrong_rate_or_waveform_names_its_clip(item, message):
    with pytest.raises(ValueError, match=message):
        read_items([item])


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ({"audio": {"bytes": b"RIFF", "path": None}}, r"Its 'audio' is not decoded: use cast_column\('audio'"),
        ({"audio": "a.wav", "label": 1}, "Its 'audio' is a path: read files with AudioManifest"),
        ({"waveform": b"RIFF", "label": 1}, "Its 'waveform' is the bytes of a file"),
        ({"__key__": "k", "flac": b"fLaC"}, r"Its 'flac' is not decoded: add .decode\(webdataset.torch_audio\)"),
        (
            {"__key__": "k", "a.wav": WAVE, "b.wav": WAVE},
            r"several sounds, \['a.wav', 'b.wav'\].*rename that to 'wavef",
        ),
    ],
)
def test_what_an_unknown_item_lacks_is_said(item, hint):
    with pytest.raises(TypeError, match=rf"clip 0 is .* not a known form.*{hint}.*Give to_example="):
        read_items([item])
    if "a.wav" in item:  # the remedy
        assert only({**item, "waveform": item.pop("a.wav")}).waveform is WAVE


def collated(value):
    return tuple(map(collated, value)) if isinstance(value, tuple) else value.tolist()


def test_a_target_that_is_all_fields_is_collated_once():
    batch = PadCollate()([{"audio": WAVE, "roll": torch.ones(3)}, {"audio": WAVE, "roll": torch.zeros(3)}])
    assert batch.targets["roll"] is batch.fields["roll"]
    inner = AudioExample(WAVE, 8000, fields={"a": 1})
    batch = PadCollate()([{"audio": inner, "roll": torch.ones(3)}])
    assert batch.targets["roll"] is batch.fields["roll"]
    assert list(batch.targets) == ["roll"]
    batch = PadCollate(fields=[])([{"audio": WAVE, "roll": torch.ones(3)}])
    assert batch.targets["roll"].shape == (1, 3)


@pytest.mark.parametrize(
    "values",
    [
        [2**63, 1],
        [-(2**70), 3],
        [np.longdouble(1.5), np.longdouble(2.5)],
        [np.clongdouble(1.5), np.clongdouble(2)],
        [object(), object()],
        [np.array(["a", "b"]), np.array(["c", "d"])],
        [None, 3],
    ],
)
def test_what_no_tensor_holds_stays_as_it_is(values):
    fields = PadCollate()([{"waveform": WAVE, "label": 1, "x": value} for value in values]).fields["x"]
    assert isinstance(fields, list)
    assert all(np.all(one == other) for one, other in zip(fields, values, strict=True))


def test_arrays_of_any_memory_stack():
    arrays = [np.arange(3)[::-1], np.arange(3).astype(">i8"), np.broadcast_to(np.arange(1), 3)]
    fields = PadCollate()([{"waveform": WAVE, "label": 1, "x": array} for array in arrays]).fields["x"]
    assert fields.tolist() == [[2, 1, 0], [0, 1, 2], [0, 0, 0]]


# values that can be told from one another, and from what an item loses or changes
VALUES = st.one_of(
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, width=32),
    st.text(max_size=3),
    st.none(),
    st.booleans(),
    st.lists(st.integers(0, 9), max_size=3),
    st.tuples(st.integers(0, 9), st.text(max_size=2)),
    st.integers(1, 3).map(lambda n: torch.arange(n)),
    st.dictionaries(st.sampled_from("xy"), st.integers(0, 5), max_size=2),
)
NAMES = ["speaker", "text", "take", "start", "übung", "features", "names"]
FORMS = [
    "tensor", "pair", "triple", "pair in a pair", "dict", "named tuple", "named tuple by place", "row", "bare row",
    "example", "manifest row", "stack", "example in a pair", "example in a dict", "webdataset",
]  # fmt: skip


@st.composite
def drawn(draw):
    """An item, and what it holds: target, rate, key and fields."""
    form = draw(st.sampled_from(FORMS))
    target = draw(VALUES)
    key, rate = draw(st.sampled_from(["a.wav", "b"])), 16000
    fields = draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    label = draw(st.sampled_from(["target", "label", "labels"]))
    if form == "tensor":
        return WAVE, (None, None, None, {})
    if form == "pair":
        return (WAVE, target), (target, None, None, {})
    if form == "triple":
        return (WAVE, rate, target), (target, rate, None, {})
    if form == "pair in a pair":
        return ((WAVE, rate), target), (target, rate, None, {})
    if form == "named tuple by place":
        names = ["first", *fields, "last"]
        item = namedtuple("Item", names)(WAVE, *fields.values(), target)
        if not fields:
            return item, (target, None, None, {})
        return item, (tuple(item[1:]), None, None, {**fields, "last": target})
    if form == "example in a pair":
        return (AudioExample(WAVE, rate, key=key, fields=fields), target), (target, rate, key, fields)
    if form == "example in a dict":
        inner = AudioExample(WAVE, rate, key=key, fields={f"inner {name}": value for name, value in fields.items()})
        return {"waveform": inner, label: target, **fields}, (target, rate, key, {**inner.fields, **fields})
    if form == "webdataset":
        item = {"__key__": key, "__url__": "a.tar", "flac": (WAVE, rate), "cls": target, **fields}
        held = {"cls": target, **fields}
        return item, (held, rate, key, {**held, "__url__": "a.tar"}) if fields else (
            target,
            rate,
            key,
            {"__url__": "a.tar"},
        )
    if form in ("example", "manifest row"):
        return AudioExample(WAVE, rate, target=target, key=key, fields=fields), (target, rate, key, fields)
    if form == "stack":
        example = AudioExample(WAVE, rate, key=key, fields=fields)
        return {"x": example, "y": target}, ({"y": target}, rate, key, {**fields, "y": target})
    named = {"id": key, label: target, **fields}
    if form == "row":
        return {"audio": {"array": WAVE.numpy(), "sampling_rate": rate, "path": key}, label: target, **fields}, (
            target,
            rate,
            key,
            fields,
        )
    if form == "bare row":
        return {"array": WAVE, "sampling_rate": rate, **named}, (target, rate, key, fields)
    item = {"waveform": WAVE, "sample_rate": rate, **named}
    if form == "named tuple":
        item = namedtuple("Item", item)(**item)
    return item, (target, rate, key, fields)


def taken_apart(column, clips):
    """Return what each clip has in a collated column."""
    if column is None:
        return [None] * clips
    if isinstance(column, torch.Tensor | list):
        assert len(column) == clips
        return list(column)
    if isinstance(column, dict):
        parts = {name: taken_apart(value, clips) for name, value in column.items()}
        return [{name: values[i] for name, values in parts.items()} for i in range(clips)]
    parts = [taken_apart(value, clips) for value in column]
    return [tuple(values[i] for values in parts) for i in range(clips)]


def same(one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        # numbers of a batch stack to one tensor, tensors of equal shape too
        if isinstance(other, int) and other.bit_length() > 63:  # beyond int64, stacked beside floats
            return float(one) == float(other)
        one, other = torch.as_tensor(one), torch.as_tensor(other)
        return one.shape == other.shape and bool((one == other).all())
    return one == other


@given(st.lists(drawn(), min_size=1, max_size=4))
def test_what_goes_in_comes_out(drawn_items):
    items, held = zip(*drawn_items, strict=True)
    batch = PadCollate()(list(items))
    clips = len(items)
    targets = taken_apart(batch.targets, clips)
    names = batch.names or [None] * clips
    fields = [taken_apart(column, clips) for column in batch.fields.values()]
    for i, (target, rate, key, own) in enumerate(held):
        assert same(targets[i], target)
        assert names[i] == key
        assert rate is None or batch.sample_rate == rate
        assert set(own) <= set(batch.fields)
        for name, column in zip(batch.fields, fields, strict=True):
            assert same(column[i], own.get(name)), name
