"""Faults: batches stay full, every skip stands in the ledger, and too many of them stop the feed."""

import json
import re
from typing import NamedTuple

import pytest
import torch
from feed_datasets import Bands, Pairs
from torch.utils.data import DataLoader, Dataset

import audiofeed as af
from audiofeed.data import AudioReadError
from audiofeed.feed.bad_items import Replaced
from audiofeed.loading import Fault, FaultLedger, FaultLimitError
from audiofeed.loading.guarded_dataset import GuardedDataset


class Bad(Dataset):
    """Pairs of which some fail, each in a way of its own."""

    ways = ("raises", "none", "nan", "inf", "empty", "unreadable", "key")

    def __init__(self, clips=100, bad=None):
        self.pairs = Pairs(clips)
        self.bad = dict(zip(range(3, 100, 14), self.ways, strict=False)) if bad is None else bad

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        waveform, target = self.pairs[index]
        way = self.bad.get(index)
        if way == "raises":
            raise ValueError(f"clip {index} is broken")
        if way == "key":
            raise KeyError(index)
        if way == "unreadable":
            raise AudioReadError.of(f"{index}.wav", "truncated", 7)
        if way == "none":
            return None
        if way == "empty":
            return waveform[:0], target
        if way in ("nan", "inf"):
            waveform[5] = float(way)
        return waveform, target


class Take(NamedTuple):
    waveform: torch.Tensor | None
    label: int


def make(dataset, **settings):
    settings = {"batch_size": 10, "device": "cpu", "workers": 0, "on_error": "skip", **settings}
    return af.Feed(dataset, Bands(), **settings)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_somebody_elses_bad_items_stay_full_and_each_fault_is_named(workers):
    with make(Bad(), workers=workers) as feed:
        batches = [(batch.targets.tolist(), batch.features) for batch in feed]
        assert [len(targets) for targets, _ in batches] == [10] * 10
        assert all(torch.isfinite(features).all() for _, features in batches)
        found = {fault.path: fault for fault in feed.faults}
        assert len(feed.faults) == 7 <= feed.faults.total
        assert found["item 3 of Bad"].cause == "ValueError: clip 3 is broken"
        assert found["item 17 of Bad"].cause == "it is None"
        assert found["item 31 of Bad"].cause == found["item 45 of Bad"].cause == "1 of its samples are NaN or infinite"
        assert found["item 59 of Bad"].cause == "it has no samples"
        assert found["73.wav"] == Fault("73.wav", 7, "truncated", found["73.wav"].count)
        assert found["item 87 of Bad"].cause == "KeyError: 87"
        assert feed.stats().faults == feed.faults.total
        targets = [target for batch, _ in batches for target in batch]
        assert not set(targets) & set(Bad().bad)
    with make(Bad(), workers=0) as feed:
        for (targets, features), batch in zip(batches, feed, strict=True):
            assert targets == batch.targets.tolist()
            assert torch.equal(features, batch.features)
    with make(Bad(), workers=0) as feed:
        feed.set_epoch(1)
        replacements = sorted(target for batch in feed for target in batch.targets.tolist())
    assert replacements != sorted(targets)  # another epoch, other replacements


def test_what_takes_the_place_follows_from_seed_epoch_index_and_try():
    bad = dict.fromkeys(range(1, 100), "none")
    one, other = GuardedDataset(Bad(bad=bad)), GuardedDataset(Bad(bad={5: "none"}))
    replaced = other[0, 5]
    assert isinstance(replaced, Replaced)
    assert other[0, 5].item[1] == replaced.item[1]
    assert len({other[epoch, 5].item[1] for epoch in range(20)}) > 10
    assert len({GuardedDataset(Bad(bad={5: "none"}), seed)[0, 5].item[1] for seed in range(20)}) > 10
    assert len({other[0, 5, repeat].item[1] for repeat in range(20)}) > 10
    with pytest.raises(AudioReadError, match="it is None; 16 items before it, each in place of the last"):
        one[0, 5]
    assert one[0, 0][1] == 0


def test_items_in_lists_are_asked_for_in_lists_as_long_as_none_fails():
    class Several(Bad):
        asked = ()

        def __getitems__(self, indices):
            self.asked += (list(indices),)
            return [self[index] for index in indices]

    dataset = Several(bad={2: "none"})
    assert [item[1] for item in GuardedDataset(dataset).__getitems__([(0, 0), (0, 1)])] == [0, 1]
    assert dataset.asked == ([0, 1],)
    items = GuardedDataset(dataset).__getitems__([(0, 1), (0, 2)])
    assert items[0][1] == 1
    assert items[1].faults[0].cause == "it is None"


def test_an_item_of_no_known_form_is_a_mistake_that_is_not_skipped():
    with make([3, 4, 5], batch_size=2) as feed, pytest.raises(TypeError, match="form"):
        list(feed)


@pytest.mark.parametrize(
    ("broken", "good", "cause"),
    [
        ((None, 1), (torch.ones(400), 0), "its entry 0 is None"),
        ([None, 16000, 1], [torch.ones(400), 16000, 0], "its entry 0 is None"),
        (Take(None, 1), Take(torch.ones(400), 0), "its entry 'waveform' is None"),
        ({"audio": None, "label": 1}, {"audio": torch.ones(400), "label": 0}, "its entry 'audio' is None"),
        (
            {"audio": {"array": None, "sampling_rate": 16000}, "label": 1},
            {"audio": {"array": torch.ones(400).numpy(), "sampling_rate": 16000}, "label": 0},
            "its waveform is None",
        ),
    ],
)
def test_an_item_whose_waveform_is_none_is_replaced(broken, good, cause):
    with make([broken, good], batch_size=2, max_fault_ratio=None) as feed:
        (batch,) = list(feed)
        assert len(batch) == 2
        assert feed.faults[0].cause == cause
        assert feed.faults[0].path == "item 0 of list"


def test_an_item_without_a_target_or_of_a_wrong_form_is_no_fault():
    assert GuardedDataset([(torch.ones(4), None)])[0][1] is None
    assert GuardedDataset([("text", None, 3)])[0] == ("text", None, 3)


def test_the_key_of_one_clip_is_no_batch(wav_folder):
    folder = af.AudioFolder(wav_folder)
    for dataset in (folder, GuardedDataset(folder)):
        loader = DataLoader(dataset, batch_sampler=af.EpochSampler(folder), collate_fn=list)
        with pytest.raises(TypeError, match=r"ExampleKey\(0, \d+\), the key of one clip, is taken for a batch"):
            next(iter(loader))


def test_files_of_ours_that_break_after_the_scan_stay_replaced_on_two_ranks(wav_folder, tmp_path):
    import shutil

    root = tmp_path / "files"
    shutil.copytree(wav_folder, root)
    (root / "dog" / "broken.wav").write_bytes(b"no sound")
    with pytest.warns(UserWarning, match="leaves out 1 of 13 files"):
        folder = af.AudioFolder(root, on_error="skip")
    for name in ("dog/00.wav", "cat/05.wav"):
        (root / name).write_bytes(b"RIFF")
    steps, names = [], []
    for rank in (0, 1):
        settings = {"rank": rank, "world_size": 2, "max_fault_ratio": None, "on_error": "raise"}
        with make(folder, batch_size=3, **settings) as feed:
            batches = [batch.names for batch in feed]
            steps.append([len(batch) for batch in batches])
            names += [fault.path for fault in feed.faults]
            assert feed.faults.ratio == feed.stats().faults / (feed.stats().faults + 6)
    assert steps == [[3, 3], [3, 3]]
    assert {path[-10:] for path in names} == {"broken.wav", "dog/00.wav", "cat/05.wav"}


# the limit


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_faults_end_in_an_error_that_says_how_many_and_why(workers):
    bad = {index: "none" if index % 3 else "raises" for index in range(0, 400, 2)}
    with make(Bad(400, bad), workers=workers, max_fault_ratio=0.2) as feed:
        with pytest.raises(FaultLimitError) as caught:
            list(feed)
        assert feed.faults._asked >= 100
        assert feed.stats().clips < 200
    text = str(caught.value)
    found = re.match(r"(\d+) of (\d+) clips asked for could not be read, (\d+\.\d) %", text)
    assert int(found[1]) / int(found[2]) > 0.2
    assert "max_fault_ratio=0.2 allows 20 %" in text
    assert "'it is None', first of 'item " in text
    assert "raise max_fault_ratio" in text


@pytest.mark.parametrize("workers", [0, 1])
def test_all_bad_ends_in_an_error_and_not_in_a_hang(workers):
    with (
        make(Bad(50, dict.fromkeys(range(50), "raises")), workers=workers) as feed,
        pytest.raises(AudioReadError, match="16 items before it"),
    ):
        list(feed)


def test_a_small_share_or_no_limit_goes_on():
    with make(Bad(400, dict.fromkeys(range(0, 400, 20), "none")), max_fault_ratio=0.2) as feed:
        assert len(list(feed)) == 40
    with make(Bad(400, dict.fromkeys(range(0, 400, 2), "none")), max_fault_ratio=None) as feed:
        assert len(list(feed)) == 40


# the ledger


def test_the_ledger_counts_each_file_and_cause_once():
    ledger = FaultLedger()
    first, second = AudioReadError.of("a.wav", "truncated", 3), AudioReadError.of("b.wav", "empty")
    ledger.add([first, second], 8)
    ledger.add([AudioReadError.of("a.wav", "truncated", 500)], 9)  # wherever a crop of it begins
    ledger.add([OSError("x")], 10)
    assert list(ledger) == [
        Fault("a.wav", 3, "truncated", 2),
        Fault("b.wav", None, "empty"),
        Fault(None, None, "OSError: x"),
    ]
    assert ledger[-1].cause == "OSError: x"
    assert [fault.path for fault in ledger[:2]] == ["a.wav", "b.wav"]
    assert (len(ledger), ledger.total) == (3, 4)
    assert ledger.ratio == 4 / 31
    assert ledger.gather() == list(ledger)


def test_a_log_of_json_lines(tmp_path):
    path = tmp_path / "faults.jsonl"
    with make(Bad(), fault_log=path) as feed:
        list(feed)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(lines) == feed.faults.total
        assert {line["path"] for line in lines} == {fault.path for fault in feed.faults}
        assert set(lines[0]) == {"path", "offset", "cause", "count"}


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/nowhere/at/all.jsonl", FileNotFoundError, "make the folder '/nowhere/at' first"),
        ("/", PermissionError, "it is a folder"),
        ("/proc/version", PermissionError, "may not write there"),
        (5, TypeError, "fault_log=5 must be the path of a file"),
    ],
)
def test_a_log_that_cannot_be_written_is_told_before_the_first_fault(path, error, said, monkeypatch):
    monkeypatch.setattr("os.access", lambda name, mode: str(name) != "/proc/version")  # root may do anything
    with pytest.raises(error, match=said):
        make(Bad(), fault_log=path)


def test_a_full_disk_under_the_log_is_one_warning_and_training_goes_on():
    with make(Bad(), fault_log="/dev/full") as feed:
        with pytest.warns(UserWarning, match="cannot be written.*kept in memory") as caught:
            assert len(list(feed)) == 10
        assert len(caught) == 1
        assert len(feed.faults) == 7


def _gather(rank, queue, store):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    ledger = FaultLedger()
    ledger.add([AudioReadError.of("both.wav", "broken"), AudioReadError.of(f"{rank}.wav", "broken")], 8)
    queue.put((rank, [(fault.path, fault.count) for fault in ledger.gather()]))
    dist.destroy_process_group()


def test_the_faults_of_all_ranks_are_gathered_on_request(tmp_path):
    context = torch.multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    ranks = [context.Process(target=_gather, args=(rank, queue, tmp_path / "store")) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    expected = [("both.wav", 2), ("0.wav", 1), ("1.wav", 1)]
    assert dict([queue.get(), queue.get()]) == {0: expected, 1: expected}
