"""PadTargets: ids of any tokenizer, padded, with lengths."""

import pickle
from collections import namedtuple

import numpy as np
import pytest
import torch
from feed_datasets import Bands, Named
from torch.nn.functional import cross_entropy, ctc_loss
from torch.utils.data import DataLoader

from audiofeed.feed import GPUSpecCollate, PadCollate, PaddedTargets, PadTargets

WAVE = torch.ones(100)
Encoding = namedtuple("Encoding", "ids tokens")


def letters(text):
    return [ord(letter) - 96 for letter in text]


class WithIds:
    """What `encode` of the tokenizers package returns."""

    def __init__(self, text):
        self.ids = letters(text)


@pytest.mark.parametrize(
    "tokenizer",
    [
        letters,
        lambda text: tuple(letters(text)),
        lambda text: torch.tensor(letters(text), dtype=torch.int32),
        lambda text: np.array(letters(text), dtype=np.int16),
        lambda text: [np.int64(n) for n in letters(text)],
        lambda text: [torch.tensor(n) for n in letters(text)],
        lambda text: {"input_ids": letters(text), "attention_mask": [1] * len(text)},
        WithIds,
    ],
)
def test_whatever_a_tokenizer_returns(tokenizer):
    targets, lengths = PadTargets(tokenizer)(["ab", "", "c"])
    assert targets.tolist() == [[1, 2], [-100, -100], [3, -100]]
    assert lengths.tolist() == [2, 0, 1]
    assert targets.dtype == lengths.dtype == torch.int64


@pytest.mark.parametrize("ids", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), torch.tensor([1, 2])])
def test_ids_without_a_tokenizer(ids):
    assert PadTargets(value=0)([ids, [7, 8, 9]]).targets.tolist() == [[1, 2, 0], [7, 8, 9]]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "the target of clip 1 is None.*target_field="),
        ("ab", "clip 1 is the text 'ab'; PadTargets needs a tokenizer="),
        ([1.5], "target of clip 1 is .*must be a sequence of integers"),
        ([True], "must be a sequence of integers"),
        ([[1]], "must be a sequence of integers"),
        (3, "clip 1 is int"),
        (torch.tensor([0.5]), r"float32 tensor \(1,\)"),
        (torch.tensor(3), r"int64 tensor \(\)"),
        ({"text": "ab"}, r"\{text: str\}"),
    ],
)
def test_what_is_no_sequence_of_ids(target, message):
    with pytest.raises(TypeError, match=message):
        PadTargets()([[1], target])


def test_arguments():
    with pytest.raises(TypeError, match="tokenizer=3 must be callable"):
        PadTargets(3)
    for value in (0.0, True, None):
        with pytest.raises(TypeError, match=r"value=.*must be an integer"):
            PadTargets(value=value)
    with pytest.raises(TypeError, match="the tokenizer's result of clip 0 is str"):
        PadTargets(lambda text: text)(["ab"])
    assert repr(PadTargets(value=3)) == "PadTargets(tokenizer=None, value=3)"


@pytest.mark.parametrize("method", [None, "fork", "spawn"])
def test_in_workers(method):
    items = [{"audio": WAVE, "text": text, "speaker": n} for n, text in enumerate(["ab", "c", "abc"])]
    context = {} if method is None else {"num_workers": 1, "multiprocessing_context": method}
    collate = GPUSpecCollate(Bands(), device="cpu", target_collate=PadTargets(len_of_each), target_field="text")
    (batch,) = DataLoader(Named(items), batch_size=3, collate_fn=collate, **context)
    assert batch.targets.tolist() == [[2, 2], [1, -100], [3, 3]]
    assert batch.target_lengths.tolist() == [2, 1, 2]
    assert batch.fields["speaker"].tolist() == [0, 1, 2]


def len_of_each(text):
    """A tokenizer that pickles."""
    return [len(text)] * min(len(text), 2)


def test_it_pickles():
    twin = pickle.loads(pickle.dumps(PadTargets(len, value=0)))
    assert (twin.tokenizer, twin.value) == (len, 0)


def test_lengths_of_ones_own_collate_arrive():
    def longest(targets):
        return PaddedTargets(torch.zeros(len(targets), 4), torch.tensor([4, 2]))

    batch = PadCollate(target_collate=longest)([(WAVE, 1), (WAVE, 2)])
    assert batch.targets.shape == (2, 4)
    assert batch.target_lengths.tolist() == [4, 2]


@pytest.mark.parametrize("value", [-100, 0])
def test_ctc_reads_no_padding(value):
    """Equal to the loss of targets one after another, which have no padding at all."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 3, 6, generator=generator).log_softmax(-1)
    texts, frames = ["abcab", "a", "de"], torch.tensor([20, 12, 15])
    targets, lengths = PadTargets(letters, value=value)(texts)
    flat = torch.tensor(letters("".join(texts)))
    expected = ctc_loss(scores, flat, frames, lengths)
    torch.testing.assert_close(ctc_loss(scores, targets, frames, lengths), expected, rtol=1e-6, atol=0)


def test_cross_entropy_ignores_padding():
    scores = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    targets, _ = PadTargets(letters)(["abc", "d"])
    own = torch.cat([scores[0, :, :3].T, scores[1, :, :1].T])
    torch.testing.assert_close(cross_entropy(scores, targets), cross_entropy(own, torch.tensor([1, 2, 3, 4])))
