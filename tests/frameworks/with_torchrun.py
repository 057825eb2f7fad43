"""Train with torch's DDP under torchrun: `torchrun --nproc-per-node=N with_torchrun.py RECORDINGS OUTPUT [STATE]`.

The transform is trained, too. Two epochs; with STATE, the state of a sampler, it goes on from there.
"""

import json
import sys
from pathlib import Path

import torch
from parts import Model, log_mel, make_collate, make_sampler, open_folder, seen, weights, write
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
root, output, *state = sys.argv[1:]
dataset = open_folder(root)
sampler = make_sampler(dataset)
sampler.check_ranks()
if state:
    sampler.load_state_dict(json.loads(Path(state[0]).read_text()))
transform = log_mel(trainable=True)
collate = make_collate(transform)
loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=1)
model = DistributedDataParallel(Model(transform=transform))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
found = []
for epoch in range(sampler.epoch, 2):
    sampler.set_epoch(epoch)
    for step, batch in enumerate(loader, start=1):
        found.append([epoch, *seen(batch)])
        loss = cross_entropy(model(batch.features), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (epoch, step) == (1, 1):
            write(output, "state", sampler.state_dict(taken=step))
write(output, "seen", {"seen": found, "weights": weights(model), "transform": weights(transform)})
torch.distributed.destroy_process_group()
