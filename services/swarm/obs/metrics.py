"""Metrics that every process has; each process makes one registry and passes it on (no global registry)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Info
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from .waits import Waits


def registry(*, role: str, version: str, waits: Waits) -> CollectorRegistry:
    """A registry with process figures, the program's version and the number of waits."""
    made = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    Info("swarm_node", "Role and version of this process", registry=made).info({"role": role, "version": version})
    Gauge("swarm_waits", "Rows of the waits table", registry=made).set_function(lambda: float(len(waits)))
    return made
