"""A small set of real audio files to train on where the user brings none: notes and chords of eight timbres."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

# changes whenever other samples would be written, so that an older set is not taken for this one
_RECIPE = 1
_MANIFEST = "sounds.json"

# intervals in semitones above the lowest note; most sounds are single notes
_CHORDS = ((0,), (0,), (0,), (0,), (0, 7), (0, 4, 7), (0, 3, 7))


@dataclass(frozen=True, kw_only=True)
class Timbre:
    """Timbre of one kind of instrument in the synthesis of the demo's sounds.

    Args:
        ratios: Frequencies of the partials, in multiples of the note's.
        levels: Their amplitudes.
        attack: Seconds to full level.
        decay: Loss of level per second, as an exponent; 0 holds the note.
        damping: How much faster the higher partials decay, per multiple of the note's frequency.
        vibrato: Depth in semitones of a wavering pitch.
        breath: Level of noise that sounds with the note.
    """

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    attack: float
    decay: float = 0.0
    damping: float = 0.0
    vibrato: float = 0.0
    breath: float = 0.0


def _harmonic(count: int, slope: float, *, step: int = 1, **rest: float) -> Timbre:
    """Return a timbre for the demo's synthesis of whole-numbered partials, the k-th of amplitude k^-slope."""
    ratios = tuple(float(k) for k in range(1, count * step + 1, step))
    return Timbre(ratios=ratios, levels=tuple(ratio**-slope for ratio in ratios), **rest)


TIMBRES = {
    "bell": Timbre(
        ratios=(0.56, 0.92, 1.19, 1.71, 2.0, 2.74, 3.76), levels=(1, 0.7, 0.9, 0.5, 0.6, 0.4, 0.3), attack=0.002,
        decay=2.0, damping=0.8,
    ),
    "brass": _harmonic(14, 0.2, attack=0.07, decay=0.3),
    "clarinet": _harmonic(6, 1.0, step=2, attack=0.03, breath=0.01),
    "flute": _harmonic(4, 2.2, attack=0.06, vibrato=0.25, breath=0.05),
    "marimba": Timbre(ratios=(1.0, 3.93, 9.2), levels=(1, 0.35, 0.12), attack=0.002, decay=9.0, damping=2.0),
    "organ": Timbre(ratios=(0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0), levels=(0.8, 1, 0.8, 0.4, 0.5, 0.3, 0.3), attack=0.01),
    "pluck": _harmonic(12, 0.9, attack=0.003, decay=2.5, damping=0.6),
    "strings": _harmonic(12, 1.2, attack=0.18, vibrato=0.6),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FileForm:
    """Form of the file that stores one of the demo's synthetic sounds.

    Args:
        extension: The file's ending, without the dot.
        subtype: Sample format, as soundfile names it.
        sample_rate: Hz.
        channels: 1 or 2.
    """

    extension: str
    subtype: str
    sample_rate: int
    channels: int


# every class gets each form in turn, so that no form gives a class away
FORMS = (
    FileForm(extension="wav", subtype="PCM_16", sample_rate=16_000, channels=1),
    FileForm(extension="flac", subtype="PCM_16", sample_rate=22_050, channels=1),
    FileForm(extension="wav", subtype="PCM_24", sample_rate=44_100, channels=1),
    FileForm(extension="wav", subtype="PCM_16", sample_rate=22_050, channels=2),
    FileForm(extension="wav", subtype="FLOAT", sample_rate=16_000, channels=1),
    FileForm(extension="flac", subtype="PCM_24", sample_rate=32_000, channels=2),
)


@dataclass(frozen=True)
class SoundSet:
    """Set of the demo's synthetic sounds: a folder with one subfolder per timbre.

    The same settings always give the same samples.

    Args:
        out: The folder that the set's own folder lies in, which is named after a hash of the settings.
        per_class: Sounds of each timbre, 1 or more.
        seed: Any integer from 0.
    """

    out: Path
    per_class: int = 72
    seed: int = 0

    @property
    def root(self) -> Path:
        """Folder of one set of the demo's synthetic sounds."""
        text = json.dumps([_RECIPE, self.per_class, self.seed])
        return self.out / f"sounds-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"

    @property
    def count(self) -> int:
        """Number of the demo's synthetic sounds in a set."""
        return self.per_class * len(TIMBRES)

    def is_complete(self) -> bool:
        """Return True if the folder of the demo's synthetic sounds holds every file as it was written."""
        manifest = self.root / _MANIFEST
        if not manifest.is_file():
            return False
        try:
            listed = json.loads(manifest.read_text())["files"]
            sizes = {name: (self.root / name).stat().st_size for name in listed}
        except (ValueError, KeyError, TypeError, OSError):
            return False
        return len(listed) == self.count and all(sizes[name] == entry["bytes"] for name, entry in listed.items())

    def write(self) -> Iterator[Path]:
        """Write the files of the demo's synthetic sounds one by one, and yield each.

        The file written last says that the set is complete.

        Raises:
            OSError: The folder cannot be written to.
        """
        import soundfile

        manifest = self.root / _MANIFEST
        manifest.unlink(missing_ok=True)
        listed = {}
        for label, timbre in enumerate(TIMBRES.values()):
            name = list(TIMBRES)[label]
            (self.root / name).mkdir(parents=True, exist_ok=True)
            for index in range(self.per_class):
                form = FORMS[index % len(FORMS)]
                path = self.root / name / f"{name}-{index:03d}.{form.extension}"
                samples = synthesize(timbre, form, np.random.default_rng([self.seed, label, index]))
                soundfile.write(path, samples, form.sample_rate, subtype=form.subtype)
                listed[path.relative_to(self.root).as_posix()] = {
                    **asdict(form),
                    "frames": len(samples),
                    "bytes": path.stat().st_size,
                }
                yield path
        partial = manifest.with_suffix(".partial")
        partial.write_text(json.dumps({"per_class": self.per_class, "seed": self.seed, "files": listed}, indent=1))
        os.replace(partial, manifest)


def synthesize(timbre: Timbre, form: FileForm, rng: np.random.Generator) -> np.ndarray:
    """Synthesize one of the demo's sounds: a note or a chord, somewhat out of tune, at some level, in some noise.

    Args:
        timbre: What it sounds like.
        form: Sample rate and channels.
        rng: Where every draw comes from.

    Returns:
        (frames,) or (frames, 2) float32, full scale at 1, 0.4 to 1.2 s long.

    >>> synthesize(TIMBRES["flute"], FORMS[0], np.random.default_rng(0)).dtype
    dtype('float32')
    """
    rate = form.sample_rate
    frames = int(rate * rng.uniform(0.4, 1.2))
    lowest = rng.uniform(48, 76)  # MIDI number: 131 to 659 Hz
    sound = np.zeros(frames, dtype=np.float32)
    for interval in _CHORDS[rng.integers(len(_CHORDS))]:
        detuning = rng.normal(0, 0.15)
        sound += _note(timbre, 440.0 * 2 ** ((lowest + interval + detuning - 69) / 12), frames, rate, rng)
    lead = int(rate * rng.uniform(0, 0.1))
    sound = np.concatenate([np.zeros(lead, dtype=np.float32), sound[: frames - lead]])
    # the end fades, or every held note would end in a click of its own length
    fade = min(len(sound), int(0.03 * rate))
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    sound *= 10 ** (rng.uniform(-24, -3) / 20) / np.abs(sound).max()
    level = np.sqrt(np.mean(np.square(sound))) * 10 ** (-rng.uniform(12, 35) / 20)
    channels = [_with_noise(sound * gain, level, rng) for gain in (1.0, rng.uniform(0.5, 1.0))[: form.channels]]
    return channels[0] if form.channels == 1 else np.stack(channels, axis=1)


def _note(timbre: Timbre, frequency: float, frames: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Synthesize one note of the demo's sounds from its partials.

    Returns (frames,) float32.
    """
    time = np.arange(frames, dtype=np.float32) / np.float32(rate)
    wobble = timbre.vibrato * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * time + rng.uniform(0, 2 * np.pi))
    cycles = np.cumsum(frequency / rate * 2 ** (wobble.astype(np.float64) / 12))
    sound = np.zeros(frames, dtype=np.float32)
    for ratio, level in zip(timbre.ratios, timbre.levels, strict=True):
        # no partial above what every form can hold, so that the sample rate does not show in the sound
        if ratio * frequency > 7000:
            break
        # whole cycles fall away in float64, where they are exact; the sine itself needs only float32
        angle = (2 * np.pi * ((ratio * cycles + rng.random()) % 1.0)).astype(np.float32)
        decay = timbre.decay * (1 + timbre.damping * max(0.0, ratio - 1))
        sound += np.float32(level * rng.uniform(0.75, 1.25)) * np.sin(angle) * np.exp(-np.float32(decay) * time)
    sound += np.float32(timbre.breath) * rng.standard_normal(frames, dtype=np.float32)
    attack = timbre.attack * rng.uniform(0.6, 1.6)
    return sound * np.minimum(1.0, time / np.float32(attack))


def _with_noise(sound: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    noisy = sound + np.float32(level) * rng.standard_normal(len(sound), dtype=np.float32)
    return np.clip(noisy, -1.0, 1.0).astype(np.float32)
