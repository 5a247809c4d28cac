"""`check --html`: a page that is looked at in a browser, fetches nothing, and takes no server's word for HTML."""

import re
import shutil
import ssl
import subprocess
import threading
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from audited import TICKET, TLS13, crossing, plain_ssl, ran, report, resumption, serving
from machine import lack, module
from peers import A, B

from pysidctx.cli.check import report_html
from pysidctx.cli.check.summary import summary

pytestmark = pytest.mark.one_python

BOTH = "--name", A, "--name", B
LONG = ".".join(["x" * 63] * 3) + ".test"
HOSTILE = ("<script>document.title='owned'</script><img src=http://evil.test/x onerror=alert(1)>\"'&amp;<b>"
           "\x1b[31m\u202e")


class Parsed(HTMLParser):
    """The tags, links and texts of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.texts = set(), [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def made(*findings, **options):
    return report_html.of_report(report(*findings, **options), "shop.test:443").decode()


def everything(name=A, other=B, text="it was seen"):
    """A page with every kind of content."""
    return made(
        resumption(TICKET, name, 9), resumption(TICKET, other, 3), resumption(TLS13, name, 9),
        resumption(TLS13, other, 0, tried=0, grade="note", seen=text), crossing(TLS13, name, other, 1, "fault"),
        resumption(TLS13, name, 0, grade="fault", seen=text), names=(name, other), unfinished="7 connections")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Runs it without a window: its options, then the page."""
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        lack("the program chromium-headless-shell is missing: install chromium-headless-shell")
    profile = tmp_path_factory.mktemp("browser")

    def run(*arguments):
        done = subprocess.run(
            [found, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
             *map(str, arguments)],
            capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


class Web:
    """All of the web, as a browser sees it that has this for its proxy."""

    def __init__(self):
        self.pages, self.asked = {}, []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append(self.path)
                found = web.pages.get(self.path)
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write((found or "").encode())

            def do_CONNECT(self):
                web.asked.append(self.path)
                self.send_error(403)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.options = f"--proxy-server=http://127.0.0.1:{self.server.server_port}", "--proxy-bypass-list=<-loopback>"


@pytest.fixture
def web():
    made = Web()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_page_of_a_real_audit(make_server_ctx, tmp_path):
    with serving(plain_ssl(make_server_ctx)) as port:
        done = ran(port, *BOTH, "--demands", B, "--html", tmp_path / "report.html")
    assert done.returncode == 1
    page = (tmp_path / "report.html").read_text()
    parsed = Parsed(page)
    assert page.startswith("<!DOCTYPE html>\n") and not parsed.open
    assert {"main", "header", "h1", "h2", "h3", "table", "thead", "th", "dl", "dt", "time", "footer"} <= parsed.tags
    assert done.stdout.splitlines()[-1] in parsed.texts
    for line in done.stdout.splitlines()[1:-2]:
        words = re.sub(r"^\s*(ok|note|fault|why:|do:)\s+", "", line)
        assert any(words.endswith(text) for text in parsed.texts if text), line
    assert not {"script", "link", "img", "iframe", "object", "form"} & parsed.tags
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o644


def test_an_audit_that_fails_replaces_the_page(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("all is well")
    assert ran(1, "--html", path).returncode == 2
    parsed = Parsed(path.read_text())
    assert any("There is no report: 127.0.0.1:1 cannot be reached" in text for text in parsed.texts)
    assert "all is well" not in path.read_text()


def test_what_a_server_sends_stays_text():
    pages = [everything(HOSTILE, "b.test", HOSTILE), report_html.of_failure(HOSTILE, HOSTILE).decode()]
    harmless = [Parsed(everything()), Parsed(report_html.of_failure("a.test", "no").decode())]
    for page, other in zip(pages, harmless):
        parsed = Parsed(page)
        assert parsed.tags == other.tags
        assert {name for name, _ in parsed.attributes} == {name for name, _ in other.attributes}
        assert any(HOSTILE.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e") in text for text in parsed.texts)
        assert "\x1b" not in page and "\u202e" not in page


MEASURE = """<!DOCTYPE html><body>
<iframe src="/report.html" width="360" height="640" style="border: 0"></iframe>
<iframe src="/report.html" width="1280" height="800" style="border: 0"></iframe>
<script>
const measure = page => [
    page.documentElement.clientWidth, page.documentElement.scrollWidth, page.querySelectorAll("*").length,
    Math.max(...[...page.querySelectorAll("body *")].map(element => element.getBoundingClientRect().right))];
onload = () => document.body.textContent = JSON.stringify(
    [...document.querySelectorAll("iframe")].map(frame => measure(frame.contentDocument)));
</script>"""


@pytest.mark.parametrize("text", ["it was seen", HOSTILE, "y" * 400])
def test_it_fits_in_the_width_and_fetches_nothing(browser, web, text):
    web.pages = {"http://report.test/report.html": everything(LONG, LONG[1:], text),
                 "http://report.test/": MEASURE}
    said = browser(*web.options, "--window-size=1400,1000", "--virtual-time-budget=10000", "--dump-dom",
                   "http://report.test/")
    found = re.findall(r"\[(\d+),(\d+),(\d+),([\d.]+)\]", said)
    assert len(found) == 2, said
    for (width, scrolled, elements, right), expected in zip(found, (360, 1280)):
        assert int(width) == int(scrolled) == expected
        assert float(right) <= expected
        assert int(elements) > 50
    assert set(web.asked) - {"http://report.test/favicon.ico"} == {*web.pages}


def test_what_is_fetched_is_seen(browser, web):
    """The test above can fail: a page that does fetch something is noticed."""
    page = everything().replace("</main>", "<img src='http://evil.test/x'><p style='width: 400px'>wide</p></main>")
    web.pages = {"http://report.test/report.html": re.sub(r'<meta http-equiv="[^>]*>', "", page),
                 "http://report.test/": MEASURE}
    said = browser(*web.options, "--window-size=1400,1000", "--virtual-time-budget=10000", "--dump-dom",
                   "http://report.test/")
    assert "http://evil.test/x" in web.asked
    assert re.search(r"\[360,4\d\d,", said)


def pixels(browser, page, tmp_path, *options, size="1280,800"):
    picture = tmp_path / "picture.png"
    (tmp_path / "report.html").write_text(page)
    browser(f"--window-size={size}", *options, f"--screenshot={picture}", (tmp_path / "report.html").as_uri())
    return (module("matplotlib.image", "matplotlib").imread(picture)[:, :, :3] * 255).round().astype(int)


@pytest.mark.parametrize("size", ["360,640", "1280,800"])
@pytest.mark.parametrize("options, background", [
    ([], (255, 255, 255)), (["--blink-settings=preferredColorScheme=0"], (22, 24, 28))], ids=["light", "dark"])
def test_it_can_be_seen(browser, tmp_path, size, options, background):
    found = pixels(browser, everything(), tmp_path, *options, size=size)
    assert list(found.shape[1::-1]) == [int(number) for number in size.split(",")]
    assert tuple(found[-1, -1]) == background
    differs = (abs(found - background) > 60).any(axis=2)
    assert 0.005 < differs.mean() < 0.5
    assert differs[:400].any(axis=1).sum() > 100  # in many lines


def test_it_can_be_printed(browser, tmp_path):
    (tmp_path / "report.html").write_text(everything())
    browser("--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'report.pdf'}", (tmp_path / "report.html").as_uri())
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF-") and len(printed) > 5000
    assert len(re.findall(rb"/Type /Page\b", printed)) in (1, 2)


def test_the_title_says_it_all():
    whole = report(resumption(TICKET, A, 9), names=(A,))
    page = report_html.of_report(whole, "shop.test:443").decode()
    assert f"<title>127.0.0.1:443: {summary(whole)}</title>" in page


def test_a_page_of_one_that_demands_certificates(make_server_ctx, tmp_path):
    """Where nothing was counted there is no table."""
    with serving(make_server_ctx(verify=ssl.CERT_REQUIRED)) as port:
        assert ran(port, "--name", A, "--html", tmp_path / "report.html").returncode == 0
    parsed = Parsed((tmp_path / "report.html").read_text())
    assert "table" not in parsed.tags
    assert f"{A} rejects clients without a certificate" in parsed.texts
