"""What presets say of themselves, and the table of docs/presets.md."""

from __future__ import annotations

import inspect
import re

import pytest

import audiofeed as af
from tests.transforms.contract.test_documentation import entries

PRESETS = [name for name in af.presets.__all__ if name != "from_extractor"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_documents_its_arguments_reference_steps_and_end(name):
    function = getattr(af.presets, name)
    text, parameters = inspect.cleandoc(function.__doc__), inspect.signature(function).parameters
    found = entries(text)
    assert found.keys() == parameters.keys(), f"help({name}) has entries for other arguments"
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters.values())
    assert re.search(r"^The references? (is|are)", text.replace("\n", " "), re.MULTILINE) or "reference" in text
    assert re.search(r"[Pp]ast a clip's|[Ss]horter|longer", text), "what stands past a clip's end"
    assert "Returns:" in text
    assert ">>> " in text
    assert "module" in text.split("\n\n")[0], "the first sentence says what comes back"


def test_every_preset_is_made_without_arguments():
    for name in PRESETS:
        module = getattr(af.presets, name)()
        assert hasattr(module, "frame_lengths")
