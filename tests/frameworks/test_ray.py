"""Ray: examples/ray_train.py stopped on two workers and gone on with on one and on four, and Ray Data with an actor."""

import json
import shutil
from pathlib import Path

import pytest
from parts import CLIPS

pytest.importorskip("ray", reason="pip install -e '.[frameworks]'")
pytestmark = pytest.mark.slow  # every start of Ray takes ten seconds and more

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_train.py"
DATA = """
import ray
import torch

torch.set_num_threads(1)
import sys
from pathlib import Path

import audiofeed as af
from parts import digest, log_mel, make_collate


class Features:
    def __init__(self, collate):
        self.collate = collate  # pickled with its transform

    def __call__(self, rows):
        dataset = af.AudioManifest([{"path": path} for path in rows["path"]])
        batch = self.collate([dataset[index] for index in range(len(dataset))])
        frames = batch.feature_lengths.tolist()
        return {"path": rows["path"], "digest": [digest(x[:, :n].clone()) for x, n in zip(batch.features, frames)]}


paths = sorted(map(str, Path(sys.argv[1]).rglob("*.wav")))
ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
try:
    rows = ray.data.from_items([{"path": path} for path in paths])
    found = rows.map_batches(
        Features, fn_constructor_args=[make_collate()], batch_size=8, compute=ray.data.ActorPoolStrategy(size=1)
    ).take_all()
finally:
    ray.shutdown()
collate = make_collate()
dataset = af.AudioManifest([{"path": path} for path in paths])
for row in found:
    assert row["digest"] == digest(collate([dataset[paths.index(row["path"])]]).features[0])
assert len(found) == len(paths) == 24
"""


def names(results, epoch):
    entries = [json.loads(line) for log in results.glob("log.*.jsonl") for line in log.read_text().splitlines()]
    return sorted(name for entry in entries if entry["epoch"] == epoch for name in entry["names"])


def test_a_run_on_two_workers_goes_on_with_one_and_with_four(folder, run, tmp_path):
    everything = [f"{index:02}" for index in range(CLIPS)]
    stopped = tmp_path / "stopped"
    options = ["--recordings", folder, "--batch-size", 2]
    run(EXAMPLE, *options, "--results", stopped, "--workers", 2, "--stop-after", 8, timeout=400)
    assert names(stopped, 0) == everything
    assert len(names(stopped, 1)) == 8
    for workers in (1, 4):
        results = tmp_path / f"on{workers}"
        shutil.copytree(stopped, results)
        run(EXAMPLE, *options, "--results", results, "--workers", workers, timeout=400)
        assert names(results, 0) == names(results, 1) == everything


def test_ray_data_with_an_actor_that_holds_the_transform(folder, run, tmp_path):
    (tmp_path / "data.py").write_text(DATA)
    run(tmp_path / "data.py", folder, timeout=400)
