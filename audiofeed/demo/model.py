"""The demo's model: a small 1-D convolutional classifier of padded clips, in which padding has no say."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from audiofeed.methods.lengths import length_mask


def frame_mask(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """Return a mask of the frames that belong to each clip, for the demo's model.

    Shape: (batch,) -> (batch, frames) bool.

    >>> frame_mask(torch.tensor([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    return length_mask(frames, lengths)


def standardize(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Standardize each clip for the demo's model: mean 0 and variance 1 over its own frames, padding 0.

    With log features the mean takes the clip's loudness out.

    Args:
        features: (batch, bins, frames).
        lengths: (batch,) frames of each clip, 1 or more.
    """
    mask = frame_mask(lengths, features.shape[-1])[:, None]
    count = (lengths * features.shape[1])[:, None, None]
    centered = features - (features * mask).sum((1, 2), keepdim=True) / count
    centered = centered * mask
    variance = centered.square().sum((1, 2), keepdim=True) / count
    return centered * (variance + 1e-5).rsqrt()


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalization of the demo's model over the frames that belong to clips.

    Padding is left out of the statistics and set to 0.

    Shape:
        values (batch, channel, frames), mask (batch, frames) bool -> (batch, channel, frames).

    >>> MaskedBatchNorm(3)(torch.ones(2, 3, 4), frame_mask(torch.tensor([1, 4]), 4)).shape
    torch.Size([2, 3, 4])
    """

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return the batch-normalized values inside the demo's model, 0 in the padding that the mask leaves out."""
        frames = values.transpose(1, 2)  # (batch, frames, channel)
        normal = torch.zeros_like(frames)
        normal[mask] = super().forward(frames[mask])
        return normal.transpose(1, 2)


class ConvBlock(nn.Module):
    """Convolution, masked batch norm, ReLU in the demo's model; added to its input if the shapes agree.

    Args:
        channels_in, channels_out: Channels.
        kernel: Frames that the convolution spans, odd.
        stride: Frames from output to output.
    """

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = MaskedBatchNorm(channels_out)
        self.stride = stride
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, values: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of a convolution block of the demo's model, and the clips' new lengths.

        The output is (batch, channels_out, frames / stride).
        """
        result = self.convolution(values)
        lengths = (lengths + self.stride - 1) // self.stride
        result = functional.relu(self.norm(result, frame_mask(lengths, result.shape[-1])))
        return (values + result if self.adds else result), lengths


class ClipClassifier(nn.Module):
    """Model of the demo: a 1-D CNN over frames that classifies clips, pooled over each clip's own frames.

    In evaluation a clip's logits do not depend on what else is in the batch.

    Args:
        n_bins: Bins of the features.
        n_classes: Classes.
        width: Channels of the hidden layers.
        dropout: Share of the pooled values dropped in training.

    Shape:
        features (batch, n_bins, frames), lengths (batch,) -> logits (batch, n_classes).

    >>> model = ClipClassifier(40, 10).eval()
    >>> model(torch.zeros(2, 40, 30), torch.tensor([30, 7])).shape
    torch.Size([2, 10])
    """

    def __init__(self, n_bins: int, n_classes: int, *, width: int = 80, dropout: float = 0.2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                ConvBlock(n_bins, width, kernel=5),
                ConvBlock(width, width, kernel=3, stride=2),
                ConvBlock(width, width, kernel=3),
                ConvBlock(width, width, kernel=3, stride=2),
                ConvBlock(width, width, kernel=3),
            ]
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, n_classes)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits of the classes from the demo's model."""
        values = standardize(features, lengths)
        for block in self.blocks:
            values, lengths = block(values, lengths)
        # the values are 0 in the padding and nowhere negative, so sum and maximum need no mask
        mean = values.sum(-1) / lengths[:, None]
        logits: torch.Tensor = self.head(self.dropout(torch.cat([mean, values.amax(-1)], 1)))
        return logits
