"""How Sphinx makes the site: `make docs`. The pages are docs/*.md, and those at the root of the repository."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "site")]

from pygments.lexers import TextLexer  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import pysidctx  # noqa: E402, which is in the checkout

project = "pysidctx"
copyright = "the authors of pysidctx"
version = release = pysidctx.__version__
language = "en"

# The repository is the source, so that links from docs to the files around it are those that GitHub shows.
root_doc = "docs/index"
include_patterns = ["docs/*.md", "docs/*.rst", "docs/benchmarks/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "build", "dist", "benchmarks", "tests", "pysidctx", "examples", "include"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "contents", "docstrings", "pictures", "stubs"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

nitpicky = True
default_role = "code"
autodoc_docstring_signature = False  # the stubs have them
autodoc_use_legacy_class_based = True  # the newer way fails where a class has no signature of its own
nitpick_ignore = [("py:class", name) for name in (
    "Buffer", "Path", "Store",  # which the reference explains
    "prometheus_client.registry.CollectorRegistry")]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_display_short_literal_types = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"pysidctx {version}"
html_static_path = ["site/static"]
html_extra_path = ["site/extra"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False

linkcheck_timeout = 20
linkcheck_retries = 2


def setup(app: Sphinx) -> None:
    app.add_lexer("cron", TextLexer)
