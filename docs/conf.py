"""How the site is built from the pages: `make docs`, or `sphinx-build -W docs docs/_build/html`.

What stays true: every page is plain Markdown that reads well in the repository too. What only the site needs (the
tree of contents, the changelog's text) is added here while building; nothing is fetched from the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# The version without importing the package, so that the pages build anywhere.
_VERSION: dict[str, str] = {}
exec((HERE.parent / "src/inlay/_version.py").read_text(encoding="utf-8"), _VERSION)  # noqa: S102 (our own file)

project = "Inlay"
author = "The Inlay authors"
copyright = "The Inlay authors, Apache-2.0"
release = version = _VERSION["__version__"]

extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # blocks of commands hold what commands print
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = f"Inlay {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "github-dark"

# (title, pages). What is not here is an error while building.
CONTENTS = (
    ("Start", ("quickstart", "concepts")),
    (
        "Use",
        (
            "declaration",
            "fields",
            "running",
            "loading-dumps",
            "publishing",
            "scheduling",
            "privacy",
            "databases/aws",
            "cost",
            "batch",
            "dbt",
            "fewer-tokens",
            "models",
            "rules-and-corrections",
<<<<<<< HEAD
            "stores",
=======
            "accuracy",
>>>>>>> main
            "python",
        ),
    ),
    (
        "Providers",
        (
            "providers/index",
            "providers/openai",
            "providers/azure",
            "providers/anthropic",
            "providers/bedrock",
            "providers/compatible",
        ),
    ),
    ("Databases", ("databases/index", "databases/mysql", "databases/postgresql", "databases/sqlite")),
    (
        "Recipes",
        (
            "recipes/fill-missing-values",
            "recipes/classify",
            "recipes/extract",
            "recipes/judge",
        ),
    ),
    ("Look up", ("cli", "errors", "logs", "comparison", "performance", "changelog")),
    ("Build on it", ("writing-a-provider", "architecture", "contributing", "decisions/index")),
)


def _source(app: Any, name: str, source: list[str]) -> None:
    """Add what a page has on the site alone."""
    if name == "index":
        source[0] += "".join(_tree(title, pages) for title, pages in CONTENTS)
    elif name == "decisions/index":
        source[0] += _tree("", ("0*",))
    elif name == "changelog":
        source[0] = (HERE.parent / "CHANGELOG.md").read_text(encoding="utf-8")


def _tree(title: str, pages: tuple[str, ...]) -> str:
    present = [page for page in pages if "*" in page or (HERE / f"{page}.md").exists()]
    options = [":hidden:", ":glob:", *([f":caption: {title}"] if title else [])]
    return "\n".join(["", "```{toctree}", *options, "", *present, "```", ""])


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's hook."""
    app.connect("source-read", _source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
