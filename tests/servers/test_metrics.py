"""The metrics of servers: for prometheus_client, for StatsD, and on the dashboard of Grafana."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from machine import ROOT
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pysidctx.environment import STATS
from pysidctx.lockfree import counts
from pysidctx.lockfree.totals import Totals
from pysidctx.servers import prometheus, statsd
from pysidctx.servers.metrics import METRICS
from pysidctx.servers.shared_counts import SharedCounts

DASHBOARD = ROOT / "docs" / "grafana-dashboard.json"


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch):
    """As in a process that imports the hook now; other tests pretend that this one is a worker."""
    monkeypatch.delenv(STATS, raising=False)
    monkeypatch.setattr(prometheus, "shared_counts", SharedCounts())


def samples(registry):
    """By their names with labels, as they are scraped."""
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


@pytest.fixture
def registry():
    made = CollectorRegistry(auto_describe=True)
    prometheus.register(made)
    return made


def test_every_counter_is_in_one_metric():
    fields = [field for metric in METRICS for _, field in metric.samples]
    assert sorted(fields) == sorted(Totals._fields)


def test_each_counter_is_where_it_belongs(registry):
    """Each is counted another number of times."""
    for times, name in enumerate(Totals._fields):
        for _ in range(times):
            counts.add(name)
    found = samples(registry)
    assert found["pysidctx_handshakes_total"] == 0
    assert found['pysidctx_resumed_total{by="ticket"}'] == Totals._fields.index("resumed_by_ticket") == 1
    assert found['pysidctx_resumed_total{by="stored"}'] == 2
    assert found['pysidctx_tickets_received_total{result="unknown_key"}'] == Totals._fields.index("tickets_unknown_key")
    assert found['pysidctx_names_total{result="rejected"}'] == Totals._fields.index("names_rejected")
    assert found["pysidctx_certificate_renewals_total"] == Totals._fields.index("certificate_renewals")
    assert sorted(found.values()) == list(range(len(Totals._fields)))


def test_names_are_as_prometheus_has_them(registry):
    text = generate_latest(registry).decode()
    assert set(re.findall(r"^# TYPE \S+ (\w+)", text, re.MULTILINE)) == {"counter"}
    names = re.findall(r"^# HELP (\S+) [A-Z].*\.$", text, re.MULTILINE)
    assert len(names) == len(set(names)) == len(METRICS)
    assert all(re.fullmatch(r"pysidctx_[a-z_]+_total", name) for name in names)
    parsed = list(text_string_to_metric_families(text))
    assert [family.name for family in parsed] == [f"pysidctx_{metric.name}" for metric in METRICS]


def test_it_is_registered_once(registry):
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        prometheus.register(registry)


class Log:
    """gunicorn's logger for StatsD."""

    def __init__(self):
        self.sent = []

    def increment(self, name, value):
        self.sent.append((name, value))


def test_what_is_sent_to_statsd():
    for name in ("handshakes", "handshakes", "resumed_by_ticket"):
        counts.add(name)
    log = Log()
    statsd.send(log)
    statsd.send(log)
    assert log.sent == [("pysidctx.handshakes", 2), ("pysidctx.resumed.ticket", 1)]


@pytest.mark.parametrize("host, log", [(None, Log()), (("127.0.0.1", 8125), SimpleNamespace())], ids=["host", "logger"])
def test_without_statsd(host, log):
    with pytest.warns(RuntimeWarning, match="nothing is sent to StatsD, because gunicorn's setting statsd_host is not"):
        statsd.post_worker_init(SimpleNamespace(cfg=SimpleNamespace(statsd_host=host), log=log))


SENDING = """
import os, threading
from types import SimpleNamespace
from pysidctx.servers import statsd
from pysidctx.lockfree import counts

class Log:
    def increment(self, name, value):
        {does}

statsd.post_worker_init(SimpleNamespace(cfg=SimpleNamespace(statsd_host="host"), log=Log()))
counts.add("handshakes")
"""


def sending(does, *more):
    return subprocess.run([sys.executable, "-W", "error", "-c", "\n".join([SENDING.format(does=does), *more])],
                          capture_output=True, text=True, timeout=60)


def test_what_was_counted_last_is_sent_when_a_worker_ends():
    ran = sending("print(name, value)")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "pysidctx.handshakes 1\n", "")


def test_a_worker_ends_whose_statsd_receives_nothing():
    ran = sending("threading.Event().wait()")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_child_of_a_worker_sends_nothing_when_it_ends():
    ran = sending("print(os.getpid() == parent)", "parent = os.getpid()", "import warnings",
                  'warnings.simplefilter("ignore", DeprecationWarning)', "child = os.fork()",
                  "if child:", "    assert os.waitpid(child, 0)[1] == 0")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "True\n", "")


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_dashboard_names_metrics_that_are_there(registry):
    dashboard = json.loads(DASHBOARD.read_text())
    found = {re.sub(r"\{.*", "", name) for name in samples(registry)}
    labels = {match for name in samples(registry) for match in re.findall(r'(\w+)="(\w+)"', name)}
    expressions = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    assert all(panel["targets"] for panel in panels(dashboard))
    named = set()
    for expression in expressions:
        names = re.findall(r"\bpysidctx_\w+", expression)
        assert names and set(names) <= found, expression
        named |= set(names)
        assert set(re.findall(r'(\w+)="(\w+)"', expression)) <= labels, expression
        assert set(re.findall(r"\bby \((\w+)\)", expression)) <= {metric.label for metric in METRICS}, expression
    assert named >= {"pysidctx_handshakes_total", "pysidctx_resumed_total", "pysidctx_certificate_renewals_total"}


def test_the_dashboard_can_be_imported():
    """It asks for the data source, and its panels have numbers and places of their own."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert [source["pluginId"] for source in dashboard["__inputs"]] == ["prometheus"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & places
        places |= cells
        assert all(target["datasource"]["uid"] == "${DS_PROMETHEUS}" for target in panel["targets"])
