"""How Sphinx builds the site: `make docs` writes it to docs/_build/html.

What knows audiofeed stands in docs/extensions: the pages of the API reference, the performance page, llms.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "extensions")]

import audiofeed  # noqa: E402

project = "audiofeed"
author = "The audiofeed developers"
copyright = author
version = release = audiofeed.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.doctest",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "outside_links",
    "api_pages",
    "result_plots",
    "llms_text",
    "math_markup",
    "gallery_words",
    "unbroken_numbers",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "drawn", "extensions", "static", "**/README.md"]
nitpicky = True

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 4

default_role = "name"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

# The build must pass without a network, so no inventory is downloaded unless asked for: with
# `make docs SPHINX="-t inventories"` names of torch, NumPy and Python lead to their documentation, else they are text.
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }
    if tags.has("inventories")  # noqa: F821  # Sphinx puts it there
    else {}
)

# a page of a script that is gone would be built again
for page in (DOCS / "gallery").glob("plot_*.rst"):
    if not (ROOT / "examples" / "gallery" / page.name).with_suffix(".py").exists():
        page.unlink()

sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "examples" / "gallery")],
    "gallery_dirs": ["gallery"],
    "within_subsection_order": "gallery_words.InOrder",
    "filename_pattern": r"plot_\w+\.py$",
    "ignore_pattern": r"(listen|picture)\.py$",
    "plot_gallery": True,
    "abort_on_example_error": False,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1000,
    "write_computation_times": False,
    "remove_config_comments": True,
}

html_title = "audiofeed"
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("index", "faq", "performance")}
html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["audiofeed.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "icon_links": [],
    "show_nav_level": 1,
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
}
