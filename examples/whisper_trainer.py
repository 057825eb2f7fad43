"""Whisper's features into Hugging Face's Trainer: from waveforms to text, with no feature on disk and no wrapper.

Run `python examples/whisper_trainer.py`; it needs `pip install transformers accelerate`. The data are made here: each
clip is a text of up to four letters, and each letter a pitch. The model is a small Whisper, made from its configuration
and not downloaded, that hears one second instead of thirty.

Four settings of the collate bring the two together:

- `pad_to` pads every clip to the model's length *before* the features, so that padding is silence, as Whisper has it;
- `target_field` says which entry of an item is the target;
- `target_collate=PadTargets(tokenizer)` turns texts into padded ids; -100 past a text's end counts in no loss;
- `rename` gives the batch the names of the model's arguments, so that Trainer can call `model(**batch)`.
"""

import argparse
import logging
import tempfile
import warnings

import torch
from torch.utils.data import Dataset
from transformers import (
    PrinterCallback,
    Trainer,
    TrainingArguments,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

import audiofeed as af

RATE = 16_000
SECONDS = 1
LETTERS = "abcdefgh"
START, END, FIRST = 0, 1, 2  # ids of the beginning and the end of a text, and of the first letter


class Melodies(Dataset):
    """Rows as Hugging Face's datasets have them, with a text for each clip."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips = clips
        self.seed = seed

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> dict[str, object]:
        draw = torch.Generator().manual_seed(10_000 * self.seed + index)
        letters = torch.randint(len(LETTERS), (int(torch.randint(1, 5, (), generator=draw)),), generator=draw)
        time = torch.arange(int(0.2 * RATE)) / RATE
        tones = [torch.sin(2 * torch.pi * 300 * 1.3 ** int(letter) * time) for letter in letters]
        waveform = 0.3 * torch.cat(tones) + 0.01 * torch.randn(len(time) * len(letters), generator=draw)
        return {
            "audio": {"array": waveform.numpy(), "sampling_rate": RATE, "path": f"{index}.wav"},
            "text": "".join(LETTERS[letter] for letter in letters),
        }


def tokenize(text: str) -> list[int]:
    return [FIRST + LETTERS.index(letter) for letter in text] + [END]


def whisper_features(n_mels: int) -> af.Chain:
    """Return Whisper's log-mel: at most 8 decades below the clip's loudest value, its last frame left out."""
    return af.Chain(
        af.LogMelSpectrogram(
            sample_rate=RATE, n_fft=400, hop_length=160, n_mels=n_mels, pad_mode="reflect", placement="hops",
            log="log10", top=8.0,
        ),
        af.Rescale(add=4.0, divide=4.0),
    )  # fmt: skip


def small_whisper(n_mels: int) -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        vocab_size=FIRST + len(LETTERS), num_mel_bins=n_mels, d_model=48, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96, decoder_ffn_dim=96,
        max_source_positions=50 * SECONDS, max_target_positions=8, decoder_start_token_id=START, bos_token_id=START,
        eos_token_id=END, pad_token_id=END, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    return WhisperForConditionalGeneration(config)


def difference(collate: af.GPUSpecCollate, n_mels: int) -> float:
    """Return the largest difference of a batch from what transformers' own extractor makes of the same clips."""
    rows = [Melodies(4, seed=9)[index] for index in range(4)]
    extractor = WhisperFeatureExtractor(feature_size=n_mels, chunk_length=SECONDS)
    waveforms = [row["audio"]["array"] for row in rows]
    expected = extractor(waveforms, sampling_rate=RATE, return_tensors="pt").input_features
    return float((collate(rows)["input_features"].cpu() - expected).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="train on the CPU even where there is an accelerator")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    n_mels = 40
    collate = af.GPUSpecCollate(
        whisper_features(n_mels),
        device="cpu" if arguments.cpu else None,
        pad_to=float(SECONDS),
        target_field="text",
        target_collate=af.PadTargets(tokenize),
        rename={"features": "input_features", "targets": "labels"},
    )
    print(f"difference from transformers' features {difference(collate, n_mels):.1e}")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=small_whisper(n_mels),
            args=TrainingArguments(
                folder,
                max_steps=arguments.steps,
                learning_rate=3e-3,
                per_device_train_batch_size=32,
                per_device_eval_batch_size=32,
                dataloader_num_workers=arguments.workers,
                remove_unused_columns=False,  # the collate takes the columns that the model does not know
                use_cpu=arguments.cpu,
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                seed=0,
            ),
            data_collator=collate,
            train_dataset=Melodies(512, seed=1),
            eval_dataset=Melodies(64, seed=2),
        )
        trainer.remove_callback(PrinterCallback)
        print(f"evaluation loss {trainer.evaluate()['eval_loss']:.3f} before")
        trainer.train()
        print(f"evaluation loss {trainer.evaluate()['eval_loss']:.3f} after {arguments.steps} steps")


if __name__ == "__main__":
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch.utils.data")
    main()
