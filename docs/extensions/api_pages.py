"""The API reference: a page for each public name and each command, written before Sphinx reads the sources.

The text is the docstring's. What it lacks as reStructuredText (it is written to be read by `help`) is added on the way:
names in backticks lead to their pages, several arguments in one entry get one each, and the example gets a heading.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from outside_links import source_url
from public_names import Command, PublicName, commands, pages_of, peers, public_names, see_also, spellings
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

_DOCTEST = re.compile(r"^[ \t]*>>> (?:.*\n)*?(?=[ \t]*$)", re.MULTILINE)
# napoleon would take what stands before a colon for a type; types are those of the signature
_RESULT = re.compile(r"^Returns:\n((?:    .*\n|\n(?=    ))+)", re.MULTILINE)
_SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:", "Attributes:")


def as_restructured(text: str, parameters: list[str]) -> str:
    """A docstring as reStructuredText that means the same.

    Args:
        text: the docstring, without its indentation.
        parameters: the arguments, each of which gets an entry where one entry is for several.
    """
    text = _RESULT.sub(lambda found: f":returns: {found[1].lstrip()}", text + "\n").removesuffix("\n")
    parts, end = [], 0
    for example in _DOCTEST.finditer(text + "\n"):
        parts += [_escaped(_one_entry_each(text[end : example.start()], parameters)), example[0]]
        end = example.end()
    parts.append(_escaped(_one_entry_each(text[end:], parameters)))
    first = next((i for i, part in enumerate(parts) if part.lstrip().startswith(">>>")), None)
    if first is not None:
        indent = re.match(r"[ \t]*", parts[first])[0]
        parts[first] = f"{indent}.. rubric:: Example\n\n{parts[first]}"
    return "".join(parts)


def _one_entry_each(text: str, parameters: list[str]) -> str:
    """Make of `a, b: both.` in a list of arguments `a: both.` and `b: both.`"""

    def each(entry: re.Match[str]) -> str:
        names = entry[2].split(", ")
        if not set(names) <= set(parameters):
            return entry[0]
        return "".join(f"{entry[1]}{name}: {entry[3]}" for name in names)

    return re.sub(r"^(    )(\w+(?:, \w+)+): ((?:.*\n?)(?:^ {5,}.*\n?)*)", each, text, flags=re.MULTILINE)


def _escaped(text: str) -> str:
    """Outside of backticks, escape what reStructuredText would take for markup."""
    parts = re.split(r"(``.+?``|`[^`]+?`)", text, flags=re.DOTALL)
    for i, part in enumerate(parts):
        if i % 2:
            word = re.match(r"\w", parts[i + 1])
            code = " ".join(part.strip("`").split()).replace("\\", "\\\\")
            parts[i] = f"`{code}`" + ("\\ " if word else "")
            if re.search(r"\w$", parts[i - 1]):
                parts[i] = "\\ " + parts[i]
        else:
            part = re.sub(r"(?m)\\", r"\\\\", part)
            part = re.sub(r"(?m)(?<!^)(?<!^ )\*(?!\*?\w+: )|(?<=\w)\*(?=\S)", r"\\*", part)
            part = re.sub(r"\|", r"\\|", part)
            parts[i] = re.sub(r"(\w)_(?!\w)", r"\1\\_", part)
    return "".join(parts)


def _name_role(_: str, raw: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = ()) -> Any:
    """`CQT` leads to the page of `audiofeed.CQT`; other text is code."""
    return [_code_or_link(text)], []


def _code_or_link(text: str) -> nodes.Node:
    code = nodes.literal(text, text, classes=["py"])
    name = spellings().get(text.removesuffix("()"))
    if name is None:
        return code
    link = addnodes.pending_xref("", code, refdomain="py", reftype="obj", reftarget=name.name, refexplicit=True)
    link["refwarn"] = True
    return link


def _read_docstring(_: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    try:
        parameters = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        parameters = []
    lines[:] = as_restructured("\n".join(lines), parameters).split("\n")


def _take_types_of_arguments(app: Sphinx, what: str, name: str, value: Any, *_: Any) -> None:
    """The types in a list of a class's arguments are those of its signature.

    Sphinx takes those of the class's attributes instead where both have one name: the attribute `sample_rate` may be
    None, the argument may not.
    """
    if what not in ("class", "exception"):
        return
    with contextlib.suppress(ValueError):  # an error whose `__init__` is Python's has no signature
        found = inspect.signature(value).parameters.values()
        types = {argument.name: argument.annotation for argument in found if argument.annotation is not argument.empty}
        app.env.current_document.autodoc_annotations[name] = {
            argument: kind if isinstance(kind, str) else stringify_annotation(kind) for argument, kind in types.items()
        }


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def page(name: PublicName) -> str:
    """The source of a name's page."""
    lines = [_title(name.short), f".. currentmodule:: {name.name.rpartition('.')[0]}\n"]
    if name.kind == "data":
        lines += [
            f".. py:data:: {name.name}\n",
            *(f"   {line}" for line in as_restructured(name.doc, []).split("\n")),
            "",
        ]
    else:
        lines.append(f".. auto{name.kind}:: {name.name}")
        members = name.members()
        lines += [f"   :members: {', '.join(members)}\n"] if members else [""]
    if name.inherited():
        whole = [f":py:obj:`{member} <{base}.{member}>`" for base, member in name.inherited()]
        lines.append(f"Inherited: {', '.join(whole)}.\n")
    lines.append(".. rubric:: See also\n")
    lines += [f"- :py:obj:`{other.short} <{other.name}>`: {_escaped(other.summary)}" for other in see_also(name)]
    if peers(name):
        lines.append(f"- in other libraries: {', '.join(f'``{peer}``' for peer in sorted(peers(name)))}")
    if pages_of(name):
        lines.append(f"- pages: {', '.join(f':doc:`/{found}`' for found in pages_of(name))}")
    lines.append(f"- source: `{name.module.replace('.', '/')}.py <{source_url(name.path)}>`__")
    return "\n".join(lines) + "\n"


def command_page(command: Command) -> str:
    """The source of a command's page: its own help, whose arguments and examples it has."""
    lines = [
        _title(f"audiofeed {command.name}"),
        f"{_escaped(command.summary).capitalize()}.\n",
        ".. code-block:: text\n",
    ]
    lines += [f"   {line}".rstrip() for line in command.text.split("\n")]
    lines += ["", ".. rubric:: See also\n"]
    lines += [f"- :doc:`audiofeed {other.name} <command.{other.name}>`" for other in commands() if other is not command]
    return "\n".join(lines) + "\n"


def _slug(part: str) -> str:
    return f"part.{part.lower().replace(' ', '_')}"


def part_pages() -> dict[str, str]:
    """The list of all parts, and a list of names for each."""
    sources = {}
    lines = [_title("API reference")]
    lines.append("Every public name, by what it is for. After ``import audiofeed as af`` it is ``af.`` and the name.\n")
    parts = {part: list(names) for part, names in groupby(public_names(), key=lambda name: name.part)}
    for part, names in parts.items():
        lines += [f"{part}\n{'-' * len(part)}\n"]
        own = [_title(part)]
        for family, members in groupby(names, key=lambda name: name.family):
            if family:
                own.append(f"{family}\n{'-' * len(family)}\n")
            links = [(f":doc:`{n.short} <{n.name}>`", n.summary) for n in members]
            own += _table(links)
            heading = f"{family}: " if family else ""
            lines.append(f"{heading}{', '.join(link for link, _ in links)}.\n")
        own += [".. toctree::\n   :hidden:\n", *(f"   {name.short} <{name.name}>" for name in names)]
        sources[f"{_slug(part)}.rst"] = "\n".join(own) + "\n"
        lines.append(f":doc:`What each is <{_slug(part)}>`\n")
    lines += ["Commands\n--------\n"]
    lines += _table(
        [(f":doc:`audiofeed {c.name} <command.{c.name}>`", f"{c.summary}.".capitalize()) for c in commands()]
    )
    lines += [".. toctree::\n   :hidden:\n", *(f"   {part} <{_slug(part)}>" for part in parts)]
    lines += [f"   audiofeed {command.name} <command.{command.name}>" for command in commands()]
    return sources | {"index.rst": "\n".join(lines) + "\n"}


def _table(rows: list[tuple[str, str]]) -> list[str]:
    lines = [".. list-table::\n   :widths: 30 70\n   :class: names\n"]
    for first, second in rows:
        lines += [f"   * - {first}", f"     - {_escaped(second)}"]
    return [*lines, ""]


def write_pages(folder: Path) -> None:
    """Write all pages; one whose text has not changed is not touched, so that Sphinx does not read it again."""
    sources = {f"{name.name}.rst": page(name) for name in public_names()}
    sources |= {f"command.{command.name}.rst": command_page(command) for command in commands()}
    sources |= part_pages()
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in sources:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file, text in sources.items():
        path = folder / file
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _private(app: Sphinx, env: Any, node: addnodes.pending_xref, contnode: nodes.Element) -> nodes.Node | None:
    """Types in signatures that have no page here are text: those of other libraries, and names that are not public."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or node.get("refwarn"):
        return None
    public = {f"{name.module}.{name.name.rpartition('.')[2]}": name for name in public_names()}
    if target in public:
        name = public[target]
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name.name, node, contnode)
    return contnode


def _link_code(app: Sphinx, tree: nodes.document) -> None:
    """In Markdown, code that is a public name leads to its page, too."""
    if app.env.doc2path(app.env.docname).suffix != ".md":
        return
    for code in list(tree.findall(nodes.literal)):
        inside = code.parent
        while inside is not None and not isinstance(inside, (nodes.reference, nodes.title, addnodes.pending_xref)):
            inside = inside.parent
        name = spellings().get(code.astext())
        if inside is None and name is not None and (name.short[0].isupper() or "." in code.astext()):
            link = _code_or_link(code.astext())
            link["refdoc"] = app.env.docname
            code.replace_self(link)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages when a build begins."""
    app.add_role("name", _name_role)
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "api"))
    app.connect("autodoc-process-docstring", _read_docstring, priority=400)
    app.connect("autodoc-process-signature", _take_types_of_arguments)
    app.connect("missing-reference", _private)
    app.connect("doctree-read", _link_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
