"""What torch refuses on a CUDA device after `torch.use_deterministic_algorithms(True)`, by its documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# refused for floats alone
_OF_FLOATS = {"cumsum", "cumsum_"}
_OPERATIONS = re.compile(
    r"(reflection|replication)_pad\dd_backward|upsample_\w+_backward|grid_sampler_\w+_backward|histc|bincount|kthvalue"
    r"|median|put_?$|scatter_reduce|nll_loss|ctc_loss|max_unpool|adaptive_\w+_backward|max_pool3d\w*_backward"
)
# operations of a graph's way back, which tensors without values do not go
_BACKWARD = re.compile(
    r"^(Cumsum|(Reflection|Replication)Pad|Upsample|GridSampler|AdaptiveAvg|MaxPool3D|FractionalMax)"
)


class Refused(TorchDispatchMode):
    """Operations on a CUDA device that torch would refuse, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        first = next((leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)), None)
        if first is not None and first.device.type == "cuda":
            floats = first.is_floating_point() or first.is_complex()
            if (name in _OF_FLOATS and floats) or _OPERATIONS.search(name):
                self.names.add(name)
        return func(*args, **(kwargs or {}))

    def look_back(self, result: Any) -> None:
        """Look at the graph behind results for what the way back would be refused for."""
        nodes = [leaf.grad_fn for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        seen = set()
        while nodes:
            node = nodes.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            nodes += [parent for parent, _ in node.next_functions]
            if _BACKWARD.search(node.name()):
                self.names.add(node.name())


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for algorithms that give the same bits in every run, in the body."""
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was[0], warn_only=was[1])
