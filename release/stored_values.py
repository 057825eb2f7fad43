"""Write the log-mel values that `smoke.py` compares with: librosa's, in float64. `python -m release.stored_values`."""

from __future__ import annotations

import json

import numpy as np

from release.smoke import SAMPLE_RATE, SETTINGS, STORED, chirp

# of the clip's 101 frames: both ends, whose padding matters most, and some between
FRAMES = (0, 1, 2, 37, 50, 73, 98, 99, 100)


def log_mel(waveform: np.ndarray) -> np.ndarray:
    """Compute librosa's mel spectrogram in float64, then its natural logarithm from 1e-10 on."""
    import librosa

    mel = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64), sr=SAMPLE_RATE, pad_mode="constant", dtype=np.float64, **SETTINGS
    )
    return np.log(np.maximum(mel, 1e-10))


def main() -> None:
    """Write the file."""
    values = log_mel(chirp())
    frames = {str(frame): [round(value, 12) for value in values[:, frame]] for frame in FRAMES}
    lines = ",\n".join(f'  "{frame}": {json.dumps(column)}' for frame, column in frames.items())
    STORED.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
