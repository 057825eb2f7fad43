"""Every case of an augmentation, by the class's name, or the name and a variant: `Gain`, `Filter-low`."""

from __future__ import annotations

import importlib
import pkgutil

from tests.augment import cases
from tests.augment.cases.case import Case

CASES: dict[str, Case] = {}
for info in pkgutil.iter_modules(cases.__path__):
    if info.name not in ("case", "every"):
        CASES.update(importlib.import_module(f"{cases.__name__}.{info.name}").CASES)
