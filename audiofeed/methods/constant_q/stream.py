"""Where a stream of slices is: what is kept of it between chunks."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class StreamState:
    """What a stream keeps between chunks; made and read by `stream` alone."""

    kept: torch.Tensor  # (rows, ..., n): what later slices need
    offset: int  # the position of the first that is kept
    seen: int  # positions that came so far
    slices: int  # slices that are done
    leading: tuple[int, ...]

    @classmethod
    def begin(cls, chunk: torch.Tensor, leading: list[int]) -> StreamState:
        """The state before the first chunk."""
        return cls(chunk[..., :0], 0, 0, 0, tuple(leading))

    def joined(self, chunk: torch.Tensor, leading: list[int]) -> torch.Tensor:
        """What is kept, and a chunk after it."""
        if tuple(leading) != self.leading:
            raise ValueError(
                f"the chunk has leading dimensions {tuple(leading)}, and the stream began with {self.leading}; "
                "give each stream a state of its own"
            )
        return torch.cat([self.kept, chunk], dim=-1)

    def moved(self, joined: torch.Tensor, *, offset: int, seen: int, slices: int) -> StreamState:
        """The state after a chunk, which keeps the positions from `offset` on."""
        return StreamState(joined[..., offset - self.offset :].clone(), offset, seen, slices, self.leading)

    def ended(self, seen: int, unit: str) -> StreamState:
        """The state after the last chunk, of which nothing is kept.

        Raises:
            ValueError: for a stream without any position.
        """
        if seen < 1:
            raise ValueError(f"the stream ends without a {unit}; give at least one before or with the last chunk")
        return StreamState(self.kept[..., :0], 0, 0, 0, self.leading)
