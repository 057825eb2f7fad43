"""Loaders that call the collate themselves: StatefulDataLoader, webdataset, lhotse, SPDL, and torch's own wrappers."""

import json
from pathlib import Path

import pytest
import soundfile
import torch
from parts import BATCH, CLIPS, RATE, digest, make_collate, make_sampler, open_folder, plain, seen
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, WeightedRandomSampler, random_split

from audiofeed.data.keys import carry_keys

pytestmark = pytest.mark.filterwarnings("default")
REASON = "pip install -e '.[frameworks]'"


@pytest.fixture(scope="module")
def whole(folder):
    """Every clip, uncut, in order of their names, and the features of its batches by the plain loader."""
    items = [
        {"audio": torch.from_numpy(soundfile.read(path, dtype="float32")[0]), "sample_rate": RATE, "key": path.stem,
         "target": int(path.parent.name == "high")}
        for path in sorted(folder.rglob("*.wav"), key=lambda path: path.stem)
    ]  # fmt: skip
    return items, [digest(batch.features) for batch in DataLoader(items, batch_size=BATCH, collate_fn=make_collate())]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [0, 1, 3, 6, 7])
def test_stateful_data_loader(folder, workers, cut):
    """Resumed after `cut` batches, from a state that JSON holds, it goes on with the same clips and crops."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason=REASON)

    def loader():
        dataset = open_folder(folder)
        settings = {"num_workers": workers, "collate_fn": make_collate()}
        return stateful.StatefulDataLoader(dataset, batch_sampler=make_sampler(dataset), **settings)

    expected = [*plain(folder, 0), *plain(folder, 1)]
    first, found = loader(), []
    state = first.state_dict() if cut == 0 else None
    for _ in range(2):
        for batch in first:
            if len(found) < cut:
                found.append(seen(batch))
                state = first.state_dict() if len(found) == cut else state
        if len(found) == cut:
            break
    second = loader()
    second.load_state_dict(state)
    while len(found) < len(expected):
        found += [seen(batch) for batch in second]
    assert found == expected


def test_webdataset(folder, whole, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason=REASON)
    items, expected = whole
    paths = {path.stem: path for path in folder.rglob("*.wav")}
    with webdataset.TarWriter(str(tmp_path / "shard-000.tar")) as tar:
        for item in items:
            wav = paths[item["key"]].read_bytes()
            tar.write({"__key__": item["key"], "wav": wav, "cls": str(item["target"]).encode()})

    def decode(sample):
        import io

        samples, rate = soundfile.read(io.BytesIO(sample["wav"]), dtype="float32")
        return {"__key__": sample["__key__"], "wav": (torch.from_numpy(samples), rate), "cls": int(sample["cls"])}

    dataset = webdataset.WebDataset(str(tmp_path / "shard-000.tar"), shardshuffle=False, empty_check=False).map(decode)
    for workers in (0, 1):
        # batched by the loader, and by the dataset in its worker
        by_loader = DataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=make_collate())
        in_worker = dataset.batched(BATCH, collation_fn=make_collate())
        by_dataset = webdataset.WebLoader(in_worker, batch_size=None, num_workers=workers)
        for loader in (by_loader, by_dataset):
            batches = list(loader)
            assert [digest(batch.features) for batch in batches] == expected
            assert [name for batch in batches for name in batch.names] == [item["key"] for item in items]
            assert [n for batch in batches for n in batch.targets.tolist()] == [item["target"] for item in items]


class CutBatches(torch.utils.data.Dataset):
    """A dataset of lhotse: asked for a batch of cuts, it gives the collated batch."""

    def __init__(self, collate):
        self.collate = collate

    def __getitem__(self, cuts):
        return self.collate(
            [
                {"audio": cut.load_audio(), "sample_rate": cut.sampling_rate, "key": cut.recording_id,
                 "target": int(cut.custom["label"])}
                for cut in cuts
            ]
        )  # fmt: skip


@pytest.mark.parametrize("workers", [0, 1])
def test_lhotse(folder, whole, workers):
    lhotse = pytest.importorskip("lhotse", reason=REASON)
    from lhotse.dataset import DynamicCutSampler

    items, expected = whole
    paths = {path.stem: path for path in folder.rglob("*.wav")}
    cuts = []
    for item in items:
        recording = lhotse.Recording.from_file(paths[item["key"]], recording_id=item["key"])
        cut = recording.to_cut()
        cut.custom = {"label": item["target"]}
        cuts.append(cut)
    sampler = DynamicCutSampler(lhotse.CutSet.from_cuts(cuts), max_cuts=BATCH, shuffle=False)
    dataset = CutBatches(make_collate(mono=True))
    batches = list(DataLoader(dataset, sampler=sampler, batch_size=None, num_workers=workers))
    assert [digest(batch.features) for batch in batches] == expected
    assert [name for batch in batches for name in batch.names] == [item["key"] for item in items]


def test_spdl(folder, whole):
    pipeline = pytest.importorskip("spdl.pipeline", reason=REASON)
    items, expected = whole
    dataset = {item["key"]: item for item in items}
    built = (
        pipeline.PipelineBuilder()
        .add_source(list(dataset))
        .pipe(dataset.__getitem__, concurrency=2, output_order="input")
        .aggregate(BATCH)
        .pipe(make_collate())
        .add_sink(2)
        .build(num_threads=2)
    )
    with built.auto_stop():
        batches = list(built)
    assert [digest(batch.features) for batch in batches] == expected


class Stream(IterableDataset):
    """An iterable dataset in parts, one for each worker."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        return iter(self.items if info is None else self.items[info.id :: info.num_workers])


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_own_wrappers(folder, whole, workers):
    items, expected = whole
    dataset = open_folder(folder)
    parts = random_split(dataset, [10, 14], torch.Generator().manual_seed(0))
    back = torch.argsort(torch.tensor([*parts[0].indices, *parts[1].indices])).tolist()
    for wrapped in (Subset(dataset, range(CLIPS)), ConcatDataset([dataset]), Subset(ConcatDataset(parts), back)):
        found = [seen(batch) for batch in _load(carry_keys(wrapped), workers)]
        assert found == plain(folder, 1)
    chosen = DataLoader(items, batch_size=BATCH, num_workers=workers, collate_fn=make_collate(),
                        sampler=WeightedRandomSampler([1.0] * 12 + [0.0] * 12, 16))  # fmt: skip
    assert sum(len(batch) for batch in chosen) == 16
    streamed = list(DataLoader(Stream(items), batch_size=BATCH, num_workers=workers, collate_fn=make_collate()))
    assert sorted(name for batch in streamed for name in batch.names) == sorted(item["key"] for item in items)
    if workers == 0:
        assert [digest(batch.features) for batch in streamed] == expected


def _load(dataset, workers):
    sampler = make_sampler(dataset, keys=True)
    sampler.set_epoch(1)
    return DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=make_collate())


def test_states_are_small_and_of_json(folder):
    sampler = make_sampler(open_folder(folder))
    iterator = iter(sampler)
    next(iterator)
    assert len(json.dumps(sampler.state_dict())) < 2000
    assert Path(folder).is_dir()
