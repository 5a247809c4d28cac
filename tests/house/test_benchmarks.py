"""`python -m benchmarks`: it runs, and its results have the shape that it says. No times."""

import json
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pyperf
import pytest
from machine import COMPILING, ROOT, program
from matplotlib.colors import to_hex

from benchmarks import conditions, native, pictures, publish
from benchmarks.__main__ import PARTS, main
from benchmarks.cache import cache, handshakes, latency
from benchmarks.cache.sides import CACHE, FULL, KEYS, MEASURES, NEW, OWN_CACHE, OWN_TICKETS, RESUMED, SIDES, Measure
from benchmarks.calls import bindings
from benchmarks.clients import clients
from benchmarks.clients import counted as clients_counted
from benchmarks.connections import cases, stored, tables
from benchmarks.handshakes import callgrind
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.handshakes.sides import Count
from benchmarks.pictures import Role
from benchmarks.report import Part, markdown, report, table, verdict

pytestmark = [pytest.mark.timeout(900), pytest.mark.source]  # whole builds
# It takes the compiler half the time. What was built so is apart from what others measure.
FLAGS = "-O1"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def run_quickly(results, *part):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *part, "--quick", "--results", results], cwd=ROOT,
        capture_output=True, text=True, timeout=840, env=dict(COMPILING, CFLAGS=FLAGS),
    )


@pytest.fixture(scope="module")
def measured(results):
    """All of it."""
    program("valgrind", "valgrind")
    program("nginx", "nginx-light")
    return run_quickly(results)


def test_it_runs(measured, results):
    assert measured.returncode == 0, measured.stderr
    said = (results / "report.md").read_text()
    assert said.startswith("# Benchmarks\n\n")
    assert f"CPython {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}" in said
    for part in PARTS:
        assert f"\n## {part}\n" in said and f"\n{part}: " in measured.stdout
        assert (results / f"{part}.json").exists()
    tables = [block.splitlines() for block in said.split("\n\n") if block.startswith("|")]
    assert tables and all(len({line.count("|") for line in lines}) == 1 for lines in tables)


def test_one_part_has_a_report_of_its_own(tmp_path, monkeypatch, capsys):
    ran = run_quickly(tmp_path, "peers")
    assert ran.returncode == 0, ran.stderr
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"peers.md", "peers.json", "peers.svg"}
    said = (tmp_path / "peers.md").read_text()
    assert said.startswith("# Benchmarks: peers\n") and "\n## peers\n" in said
    picture = (tmp_path / "peers.svg").read_text()
    assert "<dc:date>" not in picture
    (tmp_path / "peers.svg").unlink()
    monkeypatch.setattr(sys, "argv", ["benchmarks", "peers", "--draw", "--results", str(tmp_path)])
    assert main() == 0
    assert {path.name for path in tmp_path.iterdir()} == files
    assert (tmp_path / "peers.svg").read_text() == picture and (tmp_path / "peers.md").read_text() == said
    monkeypatch.setattr(sys, "argv", ["benchmarks", "call", "--draw", "--results", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    assert "has no call.json" in capsys.readouterr().err


def test_the_report_tells_under_which_conditions(measured, results):
    said = (results / "report.md").read_text()
    told = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", said.split("\n## ")[0], re.MULTILINE))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", told["date"])
    assert re.fullmatch(r"\d+ s", told["duration"])
    assert re.fullmatch(r"[0-9a-f]{12}(, with changes)?|unknown", told["commit"])
    assert re.search(r", \d+ cores, \d+ GiB, Linux [\d.]+(, virtual)?$", told["machine"])
    assert re.match(r"\d+\.\d\d before, \d+\.\d\d after", told["load"])
    assert re.match(r"took \d+ % of the processors' time", told["other processes"])
    for name in (f"CPython {sys.version.split()[0]}", ssl.OPENSSL_VERSION, "Cython 3", "pysidctx 0"):
        assert name in told["versions"], name
    for name in ("gunicorn", "uvicorn", "nginx", "urllib3", "aiohttp", "pyOpenSSL", "cffi", "valgrind"):
        assert re.search(rf"{name} \d+\.", told["measured"]), name
    for secret in (socket.gethostname(), str(ROOT), str(Path.home()), sys.prefix):
        assert f"{secret} " not in said and f"{secret}/" not in said, secret
    for part in PARTS:
        own = json.loads((results / f"{part}.json").read_text())["conditions"]
        assert own["commit"] == told["commit"] and f"| date | {own['date']} |" in (results / f"{part}.md").read_text()


@pytest.mark.parametrize("part", PARTS)
def test_one_round_gives_no_verdict(measured, results, part):
    """But on instructions of a loop without Python, which are the same each time."""
    section = (results / "report.md").read_text().split(f"\n## {part}\n")[1].split("\n## ")[0]
    judged = [line for block in section.split("\n### ") if not block.startswith("A call of OpenSSL, by instructions")
              for line in block.splitlines() if re.search(r"\| at (least|most) ", line)]
    assert judged and all("| no verdict: one round |" in line for line in judged), judged
    assert len(re.findall(r"\| (reached|missed) \|", section)) == (4 if part == "call" else 0)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_pictures_with_axes_from_0(measured, results, part):
    drawn_by_part = PARTS[part].pictures(results / f"{part}.json")
    assert drawn_by_part
    for picture in drawn_by_part:
        assert f"![{picture.alt}]({picture.name}.svg)" in (results / "report.md").read_text()
        assert (results / f"{picture.name}.svg").read_text().startswith("<?xml")
        figure = pictures.drawn(picture)
        assert figure.get_suptitle().endswith(f", {picture.unit}")
        for axes, panel in zip(figure.axes, picture.panels):
            least = axes.get_xlim()[0] if isinstance(panel, pictures.Bars) else axes.get_ylim()[0]
            assert least == 0 or least < min(map(pictures.least_of, picture.panels)) < 0
            drawn = {to_hex(shape.get_facecolor()) for shape in axes.patches} | {
                to_hex(line.get_color()) for line in axes.lines if len(line.get_xdata()) > 1}
            assert drawn == {series.role.value for series in panel.series if series.values}


def test_a_colour_says_the_same_in_all_pictures(measured, results):
    roles = {}
    for part in PARTS:
        for series in (series for picture in PARTS[part].pictures(results / f"{part}.json")
                       for panel in picture.panels for series in panel.series):
            assert roles.setdefault(series.label, series.role) == series.role, series.label
    grey = {"plain", "full", "OpenSSL", "OpenSSL's tickets", "without pysidctx", "sni_callback", "what pysidctx calls"}
    assert {label for label, role in roles.items() if role is Role.PLAIN and not label.startswith("plain, ")} == grey
    blue = {"pysidctx", "with pysidctx", "HostMap", "TicketKeys", "tickets", "by ticket", "resumed"}
    assert {label for label, role in roles.items() if role is Role.OURS and not label.startswith("pysidctx, ")} == blue
    assert all(roles[label] is Role.OURS_CACHE for label in ("SessionCache", "from the cache"))
    assert roles["nginx"] is Role.NGINX and roles["other libraries"] is Role.OTHER


def test_a_table_names_every_ratio(measured):
    for text in ("empty Cython function", "set_session_id_context(SSLSocket)", "pysidctx.h",
                 "cimport", "100 in turn", "at most 1.25", "at most 1.1", "cores", "called directly (-fno-plt)",
                 "table filled by the linker", "table filled at import", "A call of OpenSSL, by instructions"):
        assert text in measured.stdout, text


def test_the_file_is_pyperf_s(measured, results):
    path = results / "call.json"
    assert json.loads(path.read_text())
    suite = pyperf.BenchmarkSuite.load(str(path))
    assert len(suite.get_benchmark_names()) == 15 + 2 * 3
    assert all(suite.get_benchmark(name).median() > 0 for name in suite.get_benchmark_names())


def test_a_call_through_a_table_takes_no_more_instructions(measured, results):
    counted = json.loads((results / "bindings.json").read_text())
    assert counted.keys() == {*bindings.FUNCTIONS, bindings.WHOLE}
    for function in bindings.FUNCTIONS:
        sides = counted[function]
        assert sides.keys() == bindings.SIDES.keys()
        assert all(5 < taken <= bindings.WANTED * sides[bindings.DIRECT] for taken in sides.values()), sides
    assert counted[bindings.WHOLE][bindings.EMPTY] < counted[bindings.WHOLE][bindings.WHOLE]


def test_what_is_compared_is_called_in_three_ways(measured):
    """A table that the compiler has seen through would be none."""
    for module, table_ in (("openssl_direct", False), ("openssl_linked", True), ("openssl_late", True)):
        (file,) = native.folder(FLAGS).glob(f"{module}.*.so")
        names = subprocess.run(["nm", file], capture_output=True, text=True, check=True).stdout
        libraries = subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True).stdout
        assert (re.search(r" [bd] openssl$", names, re.MULTILINE) is not None) == table_
        assert ("libssl" in libraries) == (module != "openssl_late")


def test_the_tables_of_a_host_map_have_all_sides(measured):
    for text in ("plain ssl", "HostMap of 10: id contexts", "HostMap of 20,000: contexts",
                 "sni_callback: look-up in a dict", "SSL_set_SSL_CTX() alone", "TLS 1.2, resumed",
                 "callback alone", "at most 250", "at most 0.1", "at most 128", "at least 1.8"):
        assert text in measured.stdout, text


def test_the_file_has_the_figures_of_each_round(measured, results):
    found = json.loads((results / "hostmap.json").read_text())
    assert found.keys() == {"handshakes", "callback", "loading", "threads", "conditions"}
    assert found["handshakes"].keys() == {"TLS 1.2", "TLS 1.3"}
    assert len(found["handshakes"]["TLS 1.2"]) == 9
    assert len(found["callback"]) == 7
    for figures in (*found["handshakes"].values(), found["callback"], *found["loading"].values()):
        assert all(len(values) == 1 for values in figures.values())
    assert found["threads"][0] > 0


def test_the_table_of_sessions_has_both_sides(measured, results):
    for text in ("i2d_SSL_SESSION()", "d2i_SSL_SESSION()", "to_der()", "from_der()", "to_pem()",
                 "with a certificate", "without one", "at most 1.3", "cores"):
        assert text in measured.stdout, text
    suite = pyperf.BenchmarkSuite.load(str(results / "session.json"))
    assert len(suite.get_benchmark_names()) == 12


def test_the_tables_of_handshakes_have_all_sides(measured, results):
    for text in ("TLS 1.2, ECDSA P-256, resumed", "TLS 1.3, ECDSA P-256, full", "OpenSSL without Python",
                 "set_session_id_context() each", "HostMap of 1,000", "sni_callback", "TicketKeys",
                 "resumable()", "at most 1.02", "from the cache", "callgrind", "at most 0.7", "OpenSSL's own keys",
                 "Python's with them", "at most 1.01", "cores"):
        assert text in measured.stdout, text
    found = json.loads((results / "handshake.json").read_text())
    assert len(found["rounds"]) == 4 and len(found["payoff"]) == 2
    for rounds in found["rounds"].values():
        assert [len(sides) for sides in rounds] == [7]
    assert [counted["side"] for counted in found["instructions"]] == ["1000", "ssl", "TicketKeys"]
    for counted in found["instructions"]:
        assert (counted["found"]["callbacks"] > 0) == (counted["side"] != "ssl")
        assert counted["found"]["handshake"] > 10 * counted["found"]["callbacks"]
    without_python = found["instructions"][1]["found"]["handshake"]
    (counts,) = found["instructions with Python"].values()
    assert len(counts) == 12
    instructions = {(side, resumed): number for side, resumed, number in counts}
    # A few handshakes differ by some percent; Python adds but little.
    assert 0.9 * without_python < instructions["ssl", True] < 1.5 * without_python
    for side, _ in instructions:
        assert 0 < instructions[side, True] < instructions[side, False]


def test_the_tables_of_stored_sessions_have_all_sides(measured, results):
    for text in ("SessionCache, resumed", "SessionCache, full, new client", "OpenSSL's own cache, resumed",
                 "at most 1.03", "get among 10,000, without the seal", "seal alone", "d2i_SSL_SESSION()",
                 "find_session()", "duplicate a template, apply a record", "dead channel", "hanging channel",
                 "99th percentile"):
        assert text in measured.stdout, text
    found = json.loads((results / "cache.json").read_text())
    for version in ("TLS 1.2", "TLS 1.3"):
        assert len(found["time"][version]) == len(MEASURES) == 10
        instructions = {Measure(side, kind): values[0] for side, kind, values in found["instructions"][version]}
        resumed = {side: instructions[side, RESUMED] for side in SIDES}
        # A certificate is decoded where tickets are, and nowhere else.
        assert resumed[OWN_CACHE] < resumed[CACHE] < 1.2 * resumed[OWN_CACHE] < resumed[KEYS]
        assert all(resumed[side] < instructions[side, FULL] for side in SIDES)
        assert instructions[CACHE, NEW] < instructions[OWN_TICKETS, NEW]
    if latency.PRESENT:
        for case in latency.CASES:
            for (taken,) in found["latencies"][case].values():
                assert len(taken["latencies"]) == cache.QUICK.group and min(taken["latencies"]) > 0
    else:
        assert found["latencies"] is None and latency.MISSING in measured.stdout
    session, template, record = found["lengths"]
    assert 0 < record < template < session
    assert all(values[0] > 0 for part in ("entries", "sessions") for values in found[part].values())


def test_the_tables_of_connections_have_all_sides(measured, results):
    for text in ("uvloop, 2, TLS 1.2", "uvloop, 2, TLS 1.3", "gunicorn, 2, TLS 1.2, ECDSA P-256, client",
                 "plain / pysidctx / nginx", "p99, ms", "clients' share of CPU", "at least 0.75", "at most 1.33",
                 "HostMap of a million", "at least 0.99", "the noise",
                 "ECDSA P-256, client RSA-2048", "nginx, shared cache", "uvloop, SessionCache"):
        assert text in measured.stdout, text
    found = json.loads((results / "connections.json").read_text())
    assert len(found["servers"]) == 6 and len(found["cost"]) == 4
    for case in found["servers"]:
        for sides in case["rounds"]:
            assert sides.keys() == {"plain", "pysidctx"} | ({"nginx"} if case["kind"] == "RSA-2048" else set())
            for side, turn in sides.items():
                assert 0 < turn["generator"] < 1 and len(turn["latencies"]) == 16
                assert turn["offered"] == (16 if case["returning"] == 100 else 0)
                assert side == "plain" or turn["resumed"] == turn["offered"]
    for name, rounds in found["cost"].items():
        for sides in rounds:
            assert sides.keys() == {"plain", cases.AGAIN, cases.EACH, cases.MAP}
            assert all(turn["resumed"] == turn["offered"] == (16 if "100 %" in name else 0)
                       for turn in sides.values())
    for rounds in found["stored"].values():
        for sides in rounds:
            assert sides.keys() == {"uvloop, full", "uvloop, tickets", "uvloop, SessionCache", "nginx, tickets",
                                    "nginx, shared cache"}
            for side, turn in sides.items():
                assert turn["resumed"] == turn["offered"] == (0 if side == "uvloop, full" else 16)


def test_the_tables_of_clients_have_all_sides(measured, results):
    for text in ("ssl, TLS 1.2, ECDSA P-256", "urllib3, TLS 1.3", "httpx", "aiohttp", "without TCP_NODELAY",
                 "with a round trip of 20 ms", "at least 2.5", "at least 1.8", "at most 0.75", "nothing is stored",
                 "CAs, ms"):
        assert text in measured.stdout, text
    found = json.loads((results / "clients.json").read_text())
    assert [len(found[where]) for where in ("loopback", "distance")] == [9, 8]
    for case in (*found["loopback"], *found["distance"]):
        (sides,) = case["rounds"]
        assert all(turn[figure] > 0 for turn in sides.values() for figure in ("cpu", "time"))
    assert all(time > 0 for times in found["contexts"] for time in times.values())
    for *_, (handshake, callbacks) in found["instructions"]:
        assert 0 < 100 * callbacks < handshake


def test_the_documentation_lists_its_reports_with_pictures_in_these_colours():
    """What `python -m benchmarks.publish` makes of the page is what is there."""
    assert publish.LISTED.keys() == PARTS.keys()
    assert publish.PAGE.read_text() == publish.listing()
    shown = re.findall(r"\(benchmarks/(\w+)\.svg\)", publish.PAGE.read_text())
    assert set(shown) == {path.stem for path in publish.TARGET.glob("*.svg")} and "payoff" in shown
    for name in shown:
        picture = (publish.TARGET / f"{name}.svg").read_text()
        assert set(re.findall(r"fill: (#\w{6})", picture)) - {"#ffffff"} <= {role.value for role in Role}
        assert "<dc:date>" not in picture


def test_reports_that_tell_little_are_not_published(tmp_path, monkeypatch, capsys):
    results, docs = tmp_path / "results", tmp_path / "docs" / "benchmarks"
    results.mkdir()
    docs.mkdir(parents=True)
    (tmp_path / "page.md").write_text(f"It\n\n{publish.REPORTS}\nolder\n")
    for name, value in ("ROOT", tmp_path), ("TARGET", docs), ("PAGE", tmp_path / "page.md"), ("RESULTS", results):
        monkeypatch.setattr(publish, name, value)
    for part, warning, quick in ("call", None, False), ("cache", "Warning: busy", False), ("peers", None, True):
        picture = pictures.Picture(f"{part}picture", "It", "us", f"What {part} shows", [])
        (results / f"{part}.md").write_text(report({}, warning, [Part(part, "", [], (), [picture])], quick))
        (results / f"{part}picture.svg").write_text("")
    for options, published in ([], {"call"}), (["--busy"], {"call", "cache"}):
        monkeypatch.setattr(sys, "argv", ["publish", *options])
        publish.main()
        assert {path.name for path in docs.iterdir()} == {
            file for part in published for file in (f"{part}.md", f"{part}picture.svg")}
    said = capsys.readouterr()
    assert "cache.md is left out: busy\n" in said.err and "peers.md is left out: it was made with --quick" in said.err
    page = (tmp_path / "page.md").read_text()
    assert page.startswith(f"It\n\n{publish.REPORTS}\n- [The session cache](benchmarks/cache.md)")
    assert "\n![What call shows](benchmarks/callpicture.svg)\n" in page and "older" not in page


def test_the_table_of_peers_names_all(measured):
    for text in ("pyOpenSSL", "M2Crypto", "ctypes", "cffi", "at least 20"):
        assert text in measured.stdout, text


def test_what_is_missing_on_the_machine_is_said():
    counts = {Count("TLS 1.2", side): None for side in ("10", "ssl", "TicketKeys")}
    counted = [bindings.counts(None), *callgrind.drawn(counts, True),
               callgrind.drawn_python({"TLS 1.2": None}, "ssl", lambda side, resumed: 1, True)]
    turn = cases.Turn(100.0, 10.0, 0.5, 0, 0, [1.0, 2.0])
    rounds = {cases.Case("uvloop", 2, "TLS 1.2", 0): [{"plain": turn, "pysidctx": turn}]}
    tables.drawn(rounds), tables.gains(rounds)
    counted += [handshakes.drawn(dict.fromkeys(VERSIONS), "Instructions", ".0f"),
                handshakes.ratios(dict.fromkeys(VERSIONS), "Instructions", True)]
    counted.append(clients_counted.drawn({clients_counted.Count("TLS 1.2", False): None}, True))
    assert not [case for case in clients.cases(["ECDSA P-256"], False) if case.library in clients.HTTP]
    kept = {"TLS 1.2": [dict.fromkeys(("uvloop, SessionCache", "uvloop, tickets", "uvloop, full"), turn)]}
    for table_, program_ in (*((each, "valgrind") for each in counted), (tables.yardstick(rounds), "nginx"),
                             (stored.ratios(kept), "nginx")):
        assert f"{program_} is missing: apt-get install" in markdown(Part("part", "", [table_]))


def test_noise_is_told_from_what_is_steady():
    assert tables.steady([0.999, 1.001, 1.0, 1.0, 0.998, 1.002, 1.2])
    assert not tables.steady([0.98, 1.001, 1.0, 1.02])
    assert not tables.steady([1.0])


def test_what_did_not_hold_still_gets_no_verdict():
    """Of a server whose ratio to itself is not 1."""
    def turn(rate):
        return cases.Turn(rate, 10.0, 0.5, 0, 0, [1.0])

    rounds = [{"plain": turn(100), **dict.fromkeys((cases.AGAIN, cases.EACH, cases.MAP), turn(rate))}
              for rate in (90, 100, 110, 120)]
    assert "| at least 0.99 | cannot be told here |" in markdown(Part("part", "", [tables.cost({"it": rounds})]))


@pytest.mark.parametrize("rounds, wanted, at_least, said", [
    ([1, 2, 3], 2, False, ("at most 2", "reached")), ([1, 3, 3], 2, False, ("at most 2", "missed")),
    ([1, 3], 2, True, ("at least 2", "reached")), ([1, 2], 2, True, ("at least 2", "missed")),
    ([1], 2, False, ("at most 2", "no verdict: one round")), ([1, 2], None, False, ("", ""))])
def test_the_median_of_several_rounds_is_judged(rounds, wanted, at_least, said):
    assert verdict(rounds, wanted, at_least) == said


def test_the_report_is_markdown():
    picture = pictures.Picture("picture", "It", "us", "What it shows", [])
    part = Part("part", "About it.", [table("Title", "one", "two | three")], ("A note.",), [picture])
    made = report({"date": "today"}, None, [part], True)
    assert made.startswith("# Benchmarks: part\n\nOne short round") and "Warning" not in made
    for text in ("| date | today |", "## part", "About it.", "### Title", "| one | two / three |", "| --- | --- |",
                 "![What it shows](picture.svg)", "A note."):
        assert text in made
    assert report({}, None, [part, part], True).startswith("# Benchmarks\n")
    assert "\n**Warning: busy.**\n" in report({}, "Warning: busy.", [part], False)


def test_bars_show_the_spread_of_several_rounds():
    def errors(values):
        bars = pictures.Bars("", [pictures.Series("pysidctx", Role.OURS, {"it": values})])
        return pictures.drawn(pictures.Picture("it", "It", "ns", "It", [bars])).axes[0].collections

    assert not errors([5.0])
    (bar,) = errors([4.0, 5.0, 7.0])[:1]
    assert [list(end) for end in bar.get_segments()[0]] == [[4.0, pytest.approx(0.095)], [7.0, pytest.approx(0.095)]]


def test_a_difference_below_0_is_drawn():
    """And it is on the scale of the panel beside it, if they have one."""
    bars = [pictures.Bars("", [pictures.Series("pysidctx", Role.OURS, {"it": [value]})]) for value in (-5.0, 5.0)]
    for one_scale in (False, True):
        figure = pictures.drawn(pictures.Picture("it", "It", "ns", "It", bars, one_scale))
        left, right = (axes.get_xlim()[0] for axes in figure.axes)
        assert left <= -5 and right == (left if one_scale else 0)


def test_the_commit_is_that_of_this_repository(tmp_path, monkeypatch):
    git = [program("git", "git"), "-c", "user.name=n", "-c", "user.email=e", "-C", tmp_path]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("one")
    for command in ("init", "add .", "commit -m one"):
        subprocess.run([*git, *command.split()], check=True, capture_output=True)
    monkeypatch.setattr(conditions, "ROOT", tmp_path / "folder")
    assert conditions.commit() == "unknown"
    monkeypatch.setattr(conditions, "ROOT", tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", conditions.commit())
    (tmp_path / "folder" / "file").write_text("two")
    assert re.fullmatch("[0-9a-f]{12}, with changes", conditions.commit())
    monkeypatch.setenv("PATH", "")
    assert conditions.commit() == "unknown"


def test_a_busy_machine_is_warned_of(monkeypatch):
    monkeypatch.setattr(conditions.os, "cpu_count", lambda: 4)
    for load, other, warned in ((1.9, 0.3, False), (2.1, 0.3, True), (1.9, 5, True)):
        monkeypatch.setattr(conditions.os, "getloadavg", lambda: (load, 0, 0))
        monkeypatch.setattr(conditions, "spent", lambda: conditions.Spent(100, 50, 1000))
        now = conditions.Conditions()
        # In ten seconds, two processors were in use by this process.
        monkeypatch.setattr(conditions, "spent", lambda: conditions.Spent(120 + other, 70, 1010))
        assert now.told()["other processes"].startswith(f"took {other / 0.4:.0f} % ")
        assert (now.warning() is not None) == warned


def test_the_versions_of_what_is_missing_are_said():
    assert conditions.version_of("no-such-distribution") == "missing"
    assert re.fullmatch(r"\d+\.[\d.]+", conditions.version_of("pyperf"))


def test_what_callgrind_says_is_read_right():
    said = ("1,234,567 (50.00%)  ???:0x0001 [/lib/x.so]\n"
            "  900,000 (40.00%)  /a/b.c:__pyx_f_8pysidctx_9handshake_8listener_on_client_hello [/a/listener.so]\n"
            "  800,000 (30.00%)  build/h.c:server_step [/a/handshake.so]\n"
            "   10,000 ( 1.00%)  build/other.c:server_step [/a/handshake.so]\n")
    assert callgrind.inclusive(said, callgrind.OF_A_MAP[0]) == 900_000
    assert callgrind.inclusive(said, callgrind.SERVER) == 800_000
    with pytest.raises(AssertionError, match="has not seen"):
        callgrind.inclusive(said, callgrind.OF_A_MAP[1])


def test_help_names_the_parts():
    ran = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT,
                         capture_output=True, text=True)
    assert ran.returncode == 0
    assert "{cache,call,clients,connections,handshake,hostmap,peers,session}" in ran.stdout
