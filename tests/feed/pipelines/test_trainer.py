"""Hugging Face's Trainer: features under its own names, with workers, evaluation with loss, and no wrapper class."""

import os
import warnings

import pytest
import torch
from feed_datasets import Named

from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadTargets
from audiofeed.transforms import LogMelSpectrogram

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
pytestmark = [
    pytest.mark.slow,
    # theirs, about the CPU that there is no memory to pin for, and the like
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module", autouse=True)
def transformers():
    """The package; a file that is skipped as a whole would count as not collected."""
    pytest.importorskip("accelerate", reason="Trainer needs accelerate: pip install -e '.[dev]'")
    return pytest.importorskip("transformers", reason="not installed: pip install -e '.[dev]'")


RATE = 16000
FRAMES = 100


def tones(clips, rows):
    """Clips of two pitches in noise, unequal in length; a row of Hugging Face, a dict, or an example."""
    generator = torch.Generator().manual_seed(clips)
    made = []
    for index in range(clips):
        label, length = index % 2, 8000 + 400 * (index % 7)
        wave = torch.sin(torch.arange(length) * (0.1 + 0.3 * label)) * 0.3
        wave = wave + 0.01 * torch.randn(length, generator=generator)
        if rows == "rows":
            made.append(
                {"audio": {"array": wave.numpy(), "sampling_rate": RATE, "path": f"{index}.wav"}, "label": label}
            )
        elif rows == "texts":
            made.append({"audio": wave, "sample_rate": RATE, "text": ["low", "high"][label], "speaker": index})
        else:
            made.append(AudioExample(wave, RATE, target=label, key=str(index), fields={"speaker": index}))
    return Named(made)


def letters(text):
    """A tokenizer: a to z as 3 to 28, and 2 as the end of the text."""
    return [ord(letter) - 94 for letter in text] + [2]


def log_mel(n_mels):
    return LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=n_mels, log="log10", placement="hops")


def ast(transformers):
    """A classifier of (batch, frames, bins)."""
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2,
        max_length=FRAMES, num_mel_bins=32, patch_size=16, frequency_stride=16, time_stride=16,
    )  # fmt: skip
    collate = GPUSpecCollate(
        log_mel(32), device="cpu", pad_to=FRAMES * 160, layout="frames_bins",
        rename={"features": "input_values", "targets": "labels"},
    )  # fmt: skip
    return transformers.ASTForAudioClassification(config), collate


def whisper_config(transformers):
    return transformers.WhisperConfig(
        vocab_size=32, num_mel_bins=20, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=FRAMES // 2,
        max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        num_labels=2, classifier_proj_size=16, begin_suppress_tokens=None, suppress_tokens=None,
    )  # fmt: skip


def whisper_encoder(transformers):
    """Whisper's encoder under a classifier."""
    collate = GPUSpecCollate(
        log_mel(20), device="cpu", pad_to=FRAMES * 160, rename={"features": "input_features", "targets": "labels"}
    )
    return transformers.WhisperForAudioClassification(whisper_config(transformers)), collate


def whisper(transformers):
    """Whisper, from waveforms to texts of unequal length."""
    collate = GPUSpecCollate(
        log_mel(20), device="cpu", pad_to=FRAMES * 160, target_field="text", target_collate=PadTargets(letters),
        rename={"features": "input_features", "targets": "labels"},
    )  # fmt: skip
    return transformers.WhisperForConditionalGeneration(whisper_config(transformers)), collate


CASES = [(ast, "rows"), (ast, "examples"), (whisper_encoder, "rows"), (whisper_encoder, "examples"), (whisper, "texts")]


def trained(transformers, make, rows, workers, folder):
    """Train for a few steps and evaluate; return the model, the losses of the steps, and what evaluation says."""
    torch.manual_seed(0)
    model, collate = make(transformers)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        max_steps=4,
        learning_rate=1e-3,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=5,
        gradient_accumulation_steps=2,
        dataloader_num_workers=workers,
        # which else takes columns out of dicts that the model does not know; examples are none
        remove_unused_columns=rows == "examples",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
        label_smoothing_factor=0.1 if make is ast else 0.0,  # takes the labels out of the batch
        include_num_input_tokens_seen="all",  # counts the main input by its name
    )
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=tones(32, rows),
        eval_dataset=tones(12, rows),
        compute_metrics=lambda prediction: {
            "clips": len(prediction.label_ids),
            "logits": len(prediction.predictions[0]),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
        result = trainer.evaluate()
    return model, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], result


@pytest.mark.parametrize(("make", "rows"), CASES)
def test_trainer_trains_and_evaluates(transformers, make, rows, tmp_path):
    model, losses, result = trained(transformers, make, rows, 0, tmp_path)
    assert len(losses) == 4
    assert len(set(losses)) == 4
    assert result["eval_clips"] == 12
    collate = make(transformers)[1]
    items = tones(12, rows).items
    if make is not ast:  # whose loss is smoothed
        with torch.no_grad():
            parts = [(model(**collate(items[i : i + 5])).loss, len(items[i : i + 5])) for i in (0, 5, 10)]
        by_hand = sum(float(loss) * clips for loss, clips in parts) / 12
        assert result["eval_loss"] == pytest.approx(by_hand, rel=1e-3)
    _, worked, again = trained(transformers, make, rows, 2, tmp_path)
    assert worked == losses
    assert again["eval_loss"] == result["eval_loss"]


def test_what_the_model_is_given_is_what_the_collate_makes(transformers):
    model, collate = whisper(transformers)
    batch = collate(tones(3, "texts").items)
    assert list(batch) == ["input_features", "labels"]
    assert batch["input_features"].shape == (3, 20, FRAMES)
    assert batch["labels"].tolist() == [[14, 17, 25, 2, -100], [10, 11, 9, 10, 2], [14, 17, 25, 2, -100]]
    assert batch.target_lengths.tolist() == [4, 5, 4]
    assert torch.isfinite(model(**batch).loss)
    by_hand = model(input_features=batch.features, labels=batch.targets).loss
    assert torch.equal(model(**batch).loss, by_hand)
    model, collate = ast(transformers)
    batch = collate(tones(3, "rows").items)
    assert batch["input_values"].shape == (3, FRAMES, 32)
    assert torch.isfinite(model(**batch).loss)


def test_accelerate_places_and_pads_a_batch(transformers):
    from accelerate import Accelerator
    from accelerate.utils import find_batch_size, send_to_device

    _, collate = whisper(transformers)
    batch = collate(tones(3, "texts").items)
    assert find_batch_size(batch) == 3
    moved = send_to_device(batch, torch.device("cpu"), non_blocking=True)
    assert list(moved) == ["input_features", "labels"]
    accelerator = Accelerator(cpu=True)
    loader = torch.utils.data.DataLoader(tones(4, "texts"), batch_size=2, collate_fn=collate)
    for placed in accelerator.prepare(loader):
        assert list(placed) == ["input_features", "labels"]
        padded = accelerator.pad_across_processes(placed["labels"], dim=1, pad_index=-100)
        assert accelerator.gather_for_metrics(padded).shape[0] == 2
