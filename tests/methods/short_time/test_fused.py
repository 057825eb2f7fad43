"""method="fused": equal to float64 in Triton's interpreter, compiled without a spill for cards that are not here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed; torch for a CPU alone comes without it")

import audiofeed as af
from audiofeed.methods.short_time.fused import launch
from audiofeed.methods.short_time.fused.layout import split_for
from tests.signals import noise

ROOT = Path(__file__).resolve().parents[3]
MEL = {"sample_rate": 16000, "n_fft": 400, "hop_length": 160}


def run(module: str, *arguments: str, interpreted: bool, folder: Path) -> list[dict]:
    """Run one of the two scripts in a process of its own: whether Triton interprets is settled at its import."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    environment |= {"TRITON_INTERPRET": "1"} if interpreted else {}
    out = subprocess.run(
        [sys.executable, "-m", f"tests.methods.short_time.{module}", *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=240, check=False,
    )  # fmt: skip
    assert out.stdout, out.stderr
    return [json.loads(line) for line in out.stdout.splitlines()]


def test_drawn_settings_are_equal_to_float64_in_the_interpreter(tmp_path):
    *failed, count = run("fused_draws", "--draws", "30", interpreted=True, folder=tmp_path)
    assert not failed
    assert count == {"draws": 30, "failed": 0}


@pytest.mark.parametrize(("arch", "settings"), [(80, ["kaldi"]), (90, ["whisper", "kaldi"]), (100, ["kaldi"])])
def test_it_compiles_for_a_card_that_is_not_there_and_keeps_all_values_in_registers(arch, settings, tmp_path):
    arguments = [part for name in settings for part in ("--setting", name)]
    found = run("fused_compiled", "--arch", str(arch), *arguments, interpreted=False, folder=tmp_path)
    assert [one["setting"] for one in found] == settings
    for one in found:
        assert (one["spills"], one["stack"]) == (0, 0), one
        assert one["instructions"] > 1000
        assert one["shared"] <= 99 * 1024  # of a block of a consumer's card


@pytest.mark.parametrize("n_fft", [4, 24, 96, 200, 320, 400, 480, 512, 640, 882, 1024])
def test_each_bin_has_one_place(n_fft):
    columns = split_for(n_fft).columns
    assert sorted(columns[columns >= 0].tolist()) == list(range(n_fft // 2 + 1))


def test_a_bank_is_made_anew_when_it_has_changed():
    split = split_for(400)
    filters = noise(3, 201, dtype=torch.float32).abs()
    first = launch.table_of(filters, split, 16, short=False)
    assert launch.table_of(filters, split, 16, short=False) is first
    columns = torch.from_numpy(split.columns)
    whole = first.sum(0)[:3]
    assert float((whole[:, columns >= 0] - filters[:, columns[columns >= 0]]).abs().max()) < 2e-5
    assert not whole[:, columns < 0].any()
    filters.mul_(2.0)
    second = launch.table_of(filters, split, 16, short=False)
    assert torch.equal(second, 2.0 * first)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: af.STFT(400, method="fused"), "power=None"),
        (lambda: af.Spectrogram(400, power=0.5, method="fused"), "power=0.5"),
        (lambda: af.Spectrogram(401, method="fused"), "n_fft=401 is odd"),
        (lambda: af.Spectrogram(400, trainable=True, method="fused"), "trainable=True"),
    ],
)
def test_what_it_cannot_do_is_said_when_it_is_named(make, said):
    with pytest.raises(ValueError, match=f"method='fused' cannot be used with .*{said}"):
        make()


@pytest.mark.parametrize(
    ("waveform", "said"),
    [
        (torch.zeros(1, 1600), "a tensor on cpu"),
        (torch.zeros(1, 1600, dtype=torch.float64), "float64"),
    ],
)
def test_an_input_that_it_cannot_take_is_refused_with_the_reason(waveform, said):
    module = af.LogMelSpectrogram(method="fused", **MEL)
    with pytest.raises(ValueError, match=f"method='fused' cannot be used for this input: {said}"):
        module(waveform)
    assert str(module.runs_on(waveform)) == f"none: fused: {said}"


def test_auto_does_not_take_it_and_importing_the_package_does_not_load_triton():
    assert af.LogMelSpectrogram(**MEL).runs_on(torch.zeros(1, 1600)).method != "fused"
    code = "import audiofeed, sys; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_its_operator_has_a_fake_kernel_that_knows_the_shape():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(3, 1600, device="cuda", dtype=torch.int16)
        window = torch.empty(400, device="cuda")
        numbers = (11, 400, 160, 200, 0, 1, 0, 0, 400, "constant", False, 0.0, 2.0, 0.0, "", 0.0, 1.0, 0.0, 0, 0)
        powers = launch.fused_features(x, None, window, None, None, *numbers)
        assert (powers.shape, powers.dtype, powers.device.type) == ((3, 201, 11), torch.float32, "cuda")
        filters = torch.empty(80, 201, device="cuda")
        assert launch.fused_features(x, None, window, filters, None, *numbers).shape == (3, 80, 11)
