"""Where torch-audiomentations and wav2aug are wrong: levels over the padded row, and draws from torch's generator.

`pip install -e ".[dev]"` has torch-audiomentations. wav2aug needs torchcodec to read files, which fits one torch each,
and is in no group: `pip install --no-deps wav2aug` is enough here, where its noises are tensors.
"""

from __future__ import annotations

import random
import types
from collections.abc import Callable

import pytest
import soundfile
import torch
from torch.nn import functional

from audiofeed.augment import AddBackground, AddNoise

RATE, N = 8000, 4000
ASKED = 10.0
# of a row that is zeros for seven eighths, the power is an eighth: 9.03 dB less
EIGHTFOLD = 10 + 9.03

# makes clips (batch, time) noisy, at ratios from a lowest to a highest, dB
Peer = Callable[[torch.Tensor, float, float], torch.Tensor]

needs_torchaudio = pytest.mark.torchaudio  # the peers import it


def clip_of(number: int) -> torch.Tensor:
    return 0.1 * torch.randn(N, generator=torch.Generator().manual_seed(number))


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noises")
    soundfile.write(folder / "noise.wav", 0.1 * torch.randn(16 * N, generator=torch.Generator().manual_seed(9)), RATE)
    return folder


def colored(noises, monkeypatch) -> Peer:
    peer = pytest.importorskip("torch_audiomentations", reason="not installed: pip install -e '.[dev]'")

    def noisy(clips, lowest, highest):
        color = {"min_f_decay": 0.0, "max_f_decay": 0.0}
        augment = peer.AddColoredNoise(lowest, highest, **color, p=1.0, sample_rate=RATE, output_type="dict")
        return augment(clips[:, None])["samples"][:, 0]

    return noisy


def background(noises, monkeypatch) -> Peer:
    peer = pytest.importorskip("torch_audiomentations", reason="not installed: pip install -e '.[dev]'")
    import torchaudio

    def info(path):
        found = soundfile.info(str(path))
        return types.SimpleNamespace(num_frames=found.frames, sample_rate=found.samplerate)

    def load(path, frame_offset=0, num_frames=-1):
        samples, rate = soundfile.read(str(path), num_frames, frame_offset, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    # by which it reads files; torchaudio no longer has the one, and needs torchcodec for the other
    monkeypatch.setattr(torchaudio, "info", info, raising=False)
    monkeypatch.setattr(torchaudio, "load", load)

    def noisy(clips, lowest, highest):
        augment = peer.AddBackgroundNoise(str(noises), lowest, highest, p=1.0, sample_rate=RATE, output_type="dict")
        return augment(clips[:, None])["samples"][:, 0]

    return noisy


def of_wav2aug(noises, monkeypatch) -> Peer:
    peer = pytest.importorskip("wav2aug.gpu", reason="not installed: pip install --no-deps wav2aug tqdm")

    class Loader:
        """In place of the one that reads files: the same noise for all, so that nothing but the level is drawn."""

        def get_batch(self, batch_size, length):
            return torch.randn(length, generator=torch.Generator().manual_seed(9)).expand(batch_size, length)

    return lambda clips, lowest, highest: peer.add_noise(clips.clone(), Loader(), snr_low=lowest, snr_high=highest)


PEERS = [colored, background, of_wav2aug]


@pytest.fixture(params=PEERS, ids=lambda peer: peer.__name__)
def peer(request, noises, monkeypatch) -> Peer:
    return request.param(noises, monkeypatch)


def ours(noises) -> list[Callable[..., torch.Tensor]]:
    sounds = [torch.from_numpy(soundfile.read(noises / "noise.wav", dtype="float32")[0])]
    return [
        lambda clips, lengths, seeds, levels: AddNoise(levels)(clips, lengths, seeds),
        lambda clips, lengths, seeds, levels: AddBackground(sounds, levels)(clips, lengths, seeds, sample_rate=RATE),
    ]


def ratio(clip: torch.Tensor, noisy: torch.Tensor) -> float:
    """The ratio of a clip's power to that of what was added, dB, whatever the clip was multiplied by."""
    clip, noisy = clip.double(), noisy.double()
    # no noise is quite orthogonal to the clip: 0.3 dB here
    own = (clip @ noisy) / (clip @ clip) * clip
    return float(10 * (own.square().mean() / (noisy - own).square().mean()).log10())


@needs_torchaudio
def test_a_peer_gives_a_padded_clip_less_noise_than_is_asked_for(peer):
    clip = clip_of(0)
    alone = peer(clip[None], ASKED, ASKED)[0]
    padded = peer(functional.pad(clip, (0, 7 * N))[None], ASKED, ASKED)[0, :N]
    assert ratio(clip, alone) == pytest.approx(ASKED, abs=0.3)
    assert ratio(clip, padded) == pytest.approx(EIGHTFOLD, abs=0.3)


def test_ours_is_as_asked_for_in_any_padding(noises):
    clip = clip_of(0)
    for augment in ours(noises):
        for size in (N, 8 * N):
            padded = functional.pad(clip, (0, size - N))[None]
            noise = augment(padded, torch.tensor([N]), torch.tensor([5]), ASKED)[0, :N].double() - clip
            assert 10 * float((clip.double().square().mean() / noise.square().mean()).log10()) == pytest.approx(
                ASKED, abs=0.05
            )


@needs_torchaudio
def test_what_a_peer_adds_to_a_clip_follows_from_earlier_draws_and_from_its_batch(peer):
    clip, mates = clip_of(0), [clip_of(1), clip_of(2)]

    def seeded(clips, drawn_before=0):
        random.seed(0)  # of the place in a file
        torch.manual_seed(0)
        torch.rand(drawn_before)
        return peer(torch.stack(clips), 0.0, 20.0)[-1]

    alone = seeded([clip])
    assert torch.equal(seeded([clip]), alone)
    assert abs(ratio(clip, seeded([clip], drawn_before=1)) - ratio(clip, alone)) > 0.5
    assert abs(ratio(clip, seeded([*mates, clip])) - ratio(clip, alone)) > 0.5


def test_what_ours_adds_to_a_clip_follows_from_its_seed_alone(noises):
    clips, lengths = torch.stack([clip_of(1), clip_of(2), clip_of(0)]), torch.full((3,), N)
    seeds, levels = torch.tensor([8, 9, 7]), (0.0, 20.0)
    for augment in ours(noises):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        together = augment(clips, lengths, seeds, levels)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)
        alone = augment(clips[2:], lengths[2:], seeds[2:], levels)
        assert torch.equal(alone[0], together[2])
        other = augment(clips[2:], lengths[2:], seeds[2:] + 1, levels)
        assert abs(ratio(clips[2], other[0]) - ratio(clips[2], alone[0])) > 0.5
