"""Metrics that processes have; each process makes one registry and passes it on (no global registry).

Owns the names, kinds and help texts: the table below is the whole list. Values are read when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

Kind = Literal["gauge", "counter"]
FIGURES: dict[str, tuple[Kind, str, str]] = {
    "swarm_waits": ("gauge", "", "Rows of the waits table"),
    "swarm_wait_longest_seconds": ("gauge", "", "Age of the oldest wait, 0 without one"),
    "swarm_healthy": ("gauge", "", "1 while the process does its work"),
    "swarm_chain_height": ("gauge", "", "Number of the newest block seen"),
    "swarm_chain_head_age_seconds": ("gauge", "", "Time since the newest block was seen"),
    "swarm_transactions_waiting": ("gauge", "", "Own transactions signed and not mined yet"),
    "swarm_queue_depth": ("gauge", "queue", "Entries waiting in a bounded queue"),
    "swarm_run": ("gauge", "", "Number of the job's run"),
    "swarm_round": ("gauge", "", "Number of the open round"),
    "swarm_attempt": ("gauge", "", "Attempt of the open round that this node follows; above 0 a leader was replaced"),
    "swarm_leading": ("gauge", "", "1 while this node leads the open round"),
    "swarm_epochs_done": ("gauge", "", "Epochs that the ML program reports as done"),
    "swarm_peers_live": ("gauge", "", "Other participants heard of within 15 s"),
    "swarm_peers": ("gauge", "", "Other participants"),
    "swarm_rounds_loaded_total": ("counter", "", "Merged models that the ML program has loaded"),
    "swarm_blob_bytes_total": ("counter", "direction", "Model bytes moved"),
    "swarm_store_models": ("gauge", "", "Model files on this node's disk"),
    "swarm_store_bytes": ("gauge", "", "Bytes on disk of model files, whole and in part"),
    "swarm_members_alive": ("gauge", "", "Members heard of within 5 min"),
    "swarm_members_lag_blocks": ("gauge", "", "How far the slowest living member's chain view is behind"),
    "swarm_listeners": ("gauge", "", "Open streams of new heads"),
    "swarm_chain_restarts_total": ("counter", "", "Restarts of the supervised chain program"),
}
"""Name -> kind, label ("" for none), help."""
PHASE_BUCKETS_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

Values = Mapping[str, float | Mapping[str, float]]
"""Figure -> value, or label value -> value for a figure with a label."""


class _Figures(Collector):
    def __init__(self, read: Callable[[], Values]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for name, value in self._read().items():
            kind, label, text = FIGURES[name]
            family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
            made = family(name, text, labels=[label] if label else None)
            if isinstance(value, Mapping):
                for key, one in value.items():
                    made.add_metric([key], one)
            else:
                made.add_metric([], value)
            yield made

    def describe(self) -> Iterable[Metric]:
        return ()


def registry(*, role: str, version: str, read: Callable[[], Values]) -> CollectorRegistry:
    """A registry with process figures, the program's version, and the figures that ``read`` gives when asked."""
    made = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    Info("swarm_node", "Role and version of this process", registry=made).info({"role": role, "version": version})
    made.register(_Figures(read))
    return made


def phase_seconds(into: CollectorRegistry) -> Callable[[str, float], None]:
    """A histogram of how long each phase of a round took; returns what notes one: (phase, seconds)."""
    histogram = Histogram(
        "swarm_phase_seconds",
        "Time that one phase of a round took at this node",
        ["phase"],
        buckets=PHASE_BUCKETS_SECONDS,
        registry=into,
    )
    return lambda phase, seconds: histogram.labels(phase).observe(seconds)
