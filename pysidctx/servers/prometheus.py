"""What all workers of a server have counted, for prometheus_client (the extra `metrics`)."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from pysidctx.lockfree.totals import Totals
from pysidctx.servers.metrics import METRICS
from pysidctx.servers.shared_counts import shared_counts

PREFIX = "pysidctx_"


class TotalsCollector(Collector):
    """A collector of prometheus_client. Each scrape shows what all workers have counted, whichever of them answers.

    It takes no part in the multiprocess mode of prometheus_client, and needs none. In that mode, register it in the
    same registry as the `MultiProcessCollector`. Safe in any thread.

    A scrape emits the same RuntimeWarning as `stats()` if the counts lack those of other workers.
    """

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield a CounterMetricFamily for each metric. The registry calls it at each scrape."""
        return families(shared_counts.totals())

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Yield the same without reading what was counted. The registry calls it to find duplicates."""
        return families(Totals(*[0] * len(Totals._fields)))


def families(totals: Totals) -> Iterator[CounterMetricFamily]:
    for metric in METRICS:
        family = CounterMetricFamily(PREFIX + metric.name, metric.text,
                                     labels=[] if metric.label is None else [metric.label])
        for value, count in metric.values(totals):
            family.add_metric([] if metric.label is None else [value], count)
        yield family


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Register a TotalsCollector.

    registry
        A `prometheus_client.CollectorRegistry`; by default, the one that prometheus_client's exporters serve.

    Call it once in each worker, or before they are forked. Raises ValueError if the registry has these metrics already.
    """
    registry.register(TotalsCollector())
