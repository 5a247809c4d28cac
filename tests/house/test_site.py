"""The site of the documentation, as `make docs` makes it, looked at in a browser on a wide and on a narrow screen."""

import functools
import http.server
import re
import subprocess
import sys
import threading

import pytest
from browser import Browser
from machine import ROOT, module

pytestmark = [pytest.mark.one_python, pytest.mark.source]

WIDTHS = (1280, 390)
# What reaches beyond the screen, and is in nothing that scrolls by itself or hides it.
TOO_WIDE = """
(() => {
    const screen = document.documentElement.clientWidth, found = [];
    const clipped = item => {
        for (let above = item.parentElement; above && above !== document.body; above = above.parentElement)
            if (getComputedStyle(above).overflowX !== "visible") return true;
        return getComputedStyle(item).overflowX !== "visible" && item.getBoundingClientRect().right <= screen + 1;
    };
    for (const item of document.querySelectorAll("main *, .content *, article *")) {
        const box = item.getBoundingClientRect();
        if (box.width > 0 && (box.right > screen + 1 || box.left < -1) && !clipped(item))
            found.push(item.tagName + " " + item.textContent.slice(0, 60));
    }
    if (document.documentElement.scrollWidth > screen) found.push("the page is " +
        document.documentElement.scrollWidth + " pixels wide");
    return found;
})()
"""
MISSING = """
Promise.all([...document.images].map(image => { image.loading = "eager"; return image.decode().then(
    () => image.naturalWidth ? null : image.src, () => image.src); })).then(found => found.filter(Boolean))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site. Each warning is an error, as in `make docs`."""
    for name in ("sphinx", "furo", "myst_parser", "matplotlib"):
        module(name, "pysidctx[docs]")
    folder = tmp_path_factory.mktemp("site")
    command = re.search(r"^SPHINX := \S+ (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    ran = subprocess.run([sys.executable, *command.split(), "-d", folder / "doctrees", ".", folder / "html"], cwd=ROOT,
                         capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def address(site):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


def faults(browser, url, width):
    browser.visit(url, width)
    missing, too_wide = browser.value(MISSING), browser.value(TOO_WIDE)
    return [*browser.complaints(), *(f"missing: {image}" for image in missing), *(f"too wide: {it}" for it in too_wide)]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_the_screen_and_loads_all_that_it_names(site, address, browser, width):
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if path != site / "index.html")
    assert "docs/servers.html" in pages
    wrong = {page: found for page in pages if (found := faults(browser, f"{address}/{page}", width))}
    assert wrong == {}


@pytest.mark.parametrize("fault", [
    "<img src=none.png>", "<script>nowhere()</script>", "<script>console.error('it fails')</script>",
    "<p>" + "x" * 400, "<pre style='width: 2000px'>wide</pre>", "<link rel=stylesheet href=none.css>"])
def test_a_page_with_a_fault_is_found(tmp_path, browser, fault):
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><title>It</title><main>{fault}</main>")
    assert faults(browser, f"file://{tmp_path}/page.html", WIDTHS[1])


def test_nothing_is_fetched_from_elsewhere(site):
    """By a page as it is loaded; links are another matter."""
    for path in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"(http[^\"]*)|<link\b[^>]*\bhref=\"(http[^\"]*)",
                            path.read_text())
        assert loaded == [], path


def test_the_search_finds_a_page(address, browser):
    browser.visit(f"{address}/search.html?q=nextUpdate", WIDTHS[0])
    found = browser.value("""
        new Promise(done => { const look = () => {
            const links = [...document.querySelectorAll("#search-results li a")].map(link => link.href);
            links.length ? done(links) : setTimeout(look, 50); }; look(); })""")
    assert any("docs/api.html" in link for link in found)


def test_the_reference_has_every_public_name(site):
    import pysidctx
    import pysidctx.clients
    import pysidctx.servers

    anchors = set(re.findall(r'id="(pysidctx[\w.]*)"', (site / "docs" / "api.html").read_text()))
    names = {f"{found.__name__}.{name}" for found in (pysidctx, pysidctx.servers) for name in found.__all__}
    names |= {f"pysidctx.clients.{name}" for name in pysidctx.clients.__all__ if name not in pysidctx.__all__}
    assert names <= anchors, names - anchors


def test_signatures_are_those_of_the_stubs(site):
    text = re.sub(r"<[^>]+>|\s", "", (site / "docs" / "api.html").read_text())
    assert "pysidctx.TicketKeys(*,period:int=3600,lifetime:int=86400)" in text
    assert "(*args,**kwargs)" not in text.replace("replication.Channel(*args,**kwargs)", "")


def test_the_folder_begins_with_the_first_page(site):
    target = re.search(r'content="0; url=([^"]+)"', (site / "index.html").read_text()).group(1)
    assert "<h1>pysidctx" in (site / target).read_text()
