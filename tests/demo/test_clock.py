"""The clock says where the time went, and its parts make up the whole."""

from __future__ import annotations

import time

import pytest
import torch

from audiofeed.demo.clock import Clock


def test_parts_and_the_rest_sum_to_the_whole():
    clock = Clock(torch.device("cpu"), ["read", "compute"])
    for _ in range(2):
        with clock.running():
            with clock.part("read"):
                time.sleep(0.02)
            with clock.part("compute"):
                time.sleep(0.05)
            time.sleep(0.03)
        time.sleep(0.05)  # outside: nobody's
    seconds = clock.seconds()
    assert list(seconds) == ["read", "compute", "other"]
    assert sum(seconds.values()) == pytest.approx(clock.total)
    assert seconds["read"] >= 0.04
    assert seconds["compute"] >= 0.1
    assert seconds["other"] >= 0.06
    assert sum(clock.shares().values()) == pytest.approx(100)
    assert clock.shares()["compute"] == pytest.approx(100 * seconds["compute"] / clock.total)


def test_a_part_that_was_not_named_is_a_mistake():
    clock = Clock(torch.device("cpu"), ["read"])
    with pytest.raises(KeyError), clock.part("reed"):
        pass


def test_an_unused_clock_has_shares():
    assert Clock(torch.device("cpu"), ["read"]).shares() == {"read": 0.0, "other": 0.0}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_work_on_a_device_is_charged_to_the_part_that_asked_for_it():
    device = torch.device("cuda")
    values = torch.randn(4096, 4096, device=device)
    values @ values
    clock = Clock(device, ["work", "rest"])
    with clock.running():
        with clock.part("work"):
            for _ in range(50):
                values @ values
        with clock.part("rest"):
            pass
    assert clock.shares()["work"] > 90
