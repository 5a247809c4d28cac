"""Makes the contents of the site from lists of links: those of docs/index.md, by heading, and of docs/benchmarks.md."""

import re

from sphinx.application import Sphinx

SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
PAGE = re.compile(r"^- \[([^\]]+)\]\(([\w./-]+)\.(?:md|rst)\)", re.MULTILINE)


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append a hidden toctree for each list."""
    if docname == app.config.root_doc:
        for caption, text in SECTION.findall(source[0]):
            source[0] += toctree(text, f":caption: {caption}\n")
    elif docname == "docs/benchmarks":
        source[0] += toctree(source[0])


def toctree(text: str, options: str = "") -> str:
    pages = [f"{title} <{page}>" for title, page in PAGE.findall(text)]
    return "\n".join([f"\n:::{{toctree}}\n:hidden:\n{options}", *pages, ":::\n"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
