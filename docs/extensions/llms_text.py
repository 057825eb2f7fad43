"""llms.txt in the site's root: what is where, in one plain page for programs that read."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from docutils import nodes
from public_names import commands, public_names
from sphinx.application import Sphinx

_ABOUT = (
    "> Train audio models straight from raw files with PyTorch: a Dataset yields waveforms, "
    "`DataLoader(collate_fn=audiofeed.GPUSpecCollate(transform))` pads them, moves them and computes STFT, mel or "
    "constant-Q features on the device by differentiable modules. Values are librosa's."
)


def _first_sentence(tree: nodes.document) -> str:
    text = next((" ".join(node.astext().split()) for node in tree.findall(nodes.paragraph)), "")
    return text.partition(". ")[0].rstrip(".:")


def text(app: Sphinx) -> str:
    """The whole file: the pages by title and first sentence, then the names by part."""
    lines = ["# audiofeed", "", _ABOUT, "", "## Pages", ""]
    for page in sorted(app.env.found_docs):
        if not page.startswith("api/"):
            title = app.env.titles[page].astext()
            lines.append(f"- [{title}]({page}.html): {_first_sentence(app.env.get_doctree(page))}")
    for part, names in groupby(public_names(), key=lambda name: name.part):
        lines += ["", f"## {part}", ""]
        lines += [f"- [{name.name}](api/{name.name}.html): {name.summary}" for name in names]
    lines += ["", "## Commands", ""]
    lines += [f"- [audiofeed {c.name}](api/command.{c.name}.html): {c.summary}" for c in commands()]
    return "\n".join(lines) + "\n"


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "llms.txt").write_text(text(app))


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the file when a build ends."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
