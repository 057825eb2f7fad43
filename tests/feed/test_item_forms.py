"""Forms of an item of one's own: registered, tried in order, named in errors, known to workers."""

import pytest
import torch
from own_form import Take, Takes, read_take
from torch.utils.data import DataLoader

from audiofeed.data.example import AudioExample
from audiofeed.feed import PadCollate, register_item_form
from audiofeed.feed.items import Clip, item_forms, read_items, unregister_item_form

WAVE = torch.ones(6)


@pytest.fixture
def form():
    """Register a form for one test."""
    registered = []

    def register(name, matches, read):
        register_item_form(name, matches, read)
        registered.append(name)

    yield register
    for name in set(registered):
        unregister_item_form(name)


@pytest.mark.parametrize("method", [None, "fork", "spawn", "forkserver"])
def test_workers_know_a_form_that_is_registered_with_its_dataset(method):
    workers = {} if method is None else {"num_workers": 1, "multiprocessing_context": method}
    batches = list(DataLoader(Takes(), batch_size=2, collate_fn=PadCollate(), **workers))
    assert [batch.names for batch in batches] == [["take 0", "take 1"], ["take 2", "take 3"]]
    assert [batch.targets.tolist() for batch in batches] == [[0, 1], [2, 3]]
    assert [batch.lengths.tolist() for batch in batches] == [[100, 101], [102, 103]]
    assert batches[0].sample_rate == 8000


def test_a_form_of_ones_own_comes_before_the_built_in_ones(form):
    item = {"waveform": WAVE, "target": 3, "gain": 2.0}
    assert read_items([item])[0].target == 3
    form(
        "a dict with gain",
        lambda item: isinstance(item, dict) and "gain" in item,
        lambda item: Clip(item["waveform"] * 2),
    )
    clip = read_items([item])[0]
    assert clip.target is None
    assert torch.equal(clip.waveform, WAVE * 2)
    form("any dict", lambda item: isinstance(item, dict), lambda item: Clip(item["waveform"] * 5))
    assert torch.equal(read_items([item])[0].waveform, WAVE * 2)  # in the order of registration
    assert read_items([(WAVE, 4)])[0].target == 4


def test_registering_a_name_again_replaces_the_form(form):
    for scale in (2, 3):
        form("a number", lambda item: isinstance(item, float), lambda item, scale=scale: Clip(WAVE * item * scale))
    assert torch.equal(read_items([1.0])[0].waveform, WAVE * 3)
    assert [known.name for known in item_forms()].count("a number") == 1


def test_an_example_may_be_returned(form):
    form("a string", lambda item: isinstance(item, str), lambda item: AudioExample(WAVE, 8000, key=item, seed=5))
    batch = PadCollate()(["b", "a"])
    assert batch.names == ["b", "a"]
    assert batch.sample_rate == 8000
    assert read_items(["c"])[0].seed == 5


def test_anything_else_that_is_returned_is_refused(form):
    form("a string", lambda item: isinstance(item, str), lambda item: (WAVE, 3))
    with pytest.raises(TypeError, match=r"form 'a string' returned tuple\(float32 tensor \(6,\), int\) for clip 1"):
        read_items([WAVE, "a"])


def test_an_unknown_form_is_answered_with_every_known_one(form):
    form("a Reel", lambda item: False, read_take)
    with pytest.raises(TypeError) as caught:
        read_items([object()])
    for known in item_forms():
        assert known.name in str(caught.value)
    for name in ("a Reel", "a Take", "an AudioExample", "register_item_form"):
        assert name in str(caught.value)


def test_an_error_of_the_form_arrives_as_it_is(form):
    def fail(item):
        raise LookupError("no such reel")

    form("a string", lambda item: isinstance(item, str), fail)
    with pytest.raises(LookupError, match="no such reel"):
        read_items(["a"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, callable, read_take), TypeError, "name=3 must be a string"),
        (("", callable, read_take), ValueError, "name='' must not be empty"),
        (("an AudioExample", callable, read_take), ValueError, "must not be that of a built-in form"),
        (("x", None, read_take), TypeError, "matches=None"),
        (("x", callable, Take(WAVE, 1)), TypeError, "read=Take"),
    ],
)
def test_arguments(arguments, error, message):
    before = item_forms()
    with pytest.raises(error, match=message):
        register_item_form(*arguments)
    assert item_forms() == before


def test_an_unregistered_form_is_unknown_again():
    register_item_form("a string", lambda item: isinstance(item, str), lambda item: Clip(WAVE))
    assert len(read_items(["a"])) == 1
    unregister_item_form("a string")
    with pytest.raises(TypeError, match="known forms"):
        read_items(["a"])
    with pytest.raises(ValueError, match="'a string' is not a registered form"):
        unregister_item_form("a string")


def test_a_form_of_ones_own_may_stand_within_another(form):
    form("a Reel", lambda item: isinstance(item, Take), read_take)
    assert read_items([(Take(WAVE, 4), 5)])[0].target == (4, 5)
    assert read_items([{"audio": Take(WAVE, 4), "label": 5}])[0].target == (4, 5)
