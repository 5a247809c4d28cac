"""Makes the contents of the site from the lists of links under each heading of docs/index.md."""

import posixpath
import re

from sphinx.application import Sphinx

SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
PAGE = re.compile(r"^- \[([^\]]+)\]\(([\w./-]+)\.(?:md|rst)\)", re.MULTILINE)


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append a hidden toctree for each section."""
    if docname != app.config.root_doc:
        return
    for caption, text in SECTION.findall(source[0]):
        pages = [f"{title} <{posixpath.relpath(page, '.')}>" for title, page in PAGE.findall(text)]
        if pages:
            source[0] += "\n".join([f"\n:::{{toctree}}\n:hidden:\n:caption: {caption}\n", *pages, ":::\n"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
