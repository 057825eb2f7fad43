"""The share of features in a training step of a small convolutional network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gpu.checks import Recorder
from gpu.measured.peers import CONFIGS, speech_like
from gpu.measured.timing import time_call

CLIPS = 64


def run(recorder: Recorder, device: torch.device) -> list[dict[str, Any]]:
    """Time the features alone, and forward, backward and optimizer step on them."""
    rows: list[dict[str, Any]] = []
    with recorder.check("step", f"log-mel of {CLIPS} x 10 s beside a small CNN's step") as check:
        config = CONFIGS[0]
        x = speech_like(config, device)
        x = x.repeat(CLIPS // len(x), 1) if device.type == "cuda" else x[:2, :4000]
        transform = config.transform("auto").to(device)
        lengths = torch.full((len(x),), x.shape[-1], device=device)
        model = network().to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        labels = torch.arange(len(x), device=device) % 10
        features = transform(x, lengths)

        def step() -> None:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(features[:, None]), labels)
            loss.backward()
            optimizer.step()

        with torch.no_grad():
            of_features = time_call(lambda: transform(x, lengths), device)
        of_step = time_call(step, device)
        share = of_features.median_ms / (of_features.median_ms + of_step.median_ms)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        rows.append({"features_ms": of_features.median_ms, "step_ms": of_step.median_ms, "share": share,
                     "parameters": parameters, "batch": f"{len(x)} x 10 s"})  # fmt: skip
        check.note(f"features {of_features.median_ms:.3f} ms, step {of_step.median_ms:.3f} ms, share {share:.1%}")
    return rows


def network() -> nn.Module:
    """Four convolutions with 32 to 256 channels, as for keyword spotting; float32."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128), (128, 256)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))
