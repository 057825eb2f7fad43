"""What presets say of themselves, and the table of docs/presets.md."""

from __future__ import annotations

import inspect
import re

import pytest

import audiofeed as af
from tests.presets import page
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


def test_the_page_has_every_preset_and_class_as_they_are():
    text = page.PAGE.read_text()
    assert text == page.written(text), "run `python -m tests.presets.page`"
    assert all(f"| `{name}` |" in text for name in PRESETS)
    assert len(PRESETS) >= 40
