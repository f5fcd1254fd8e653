"""Entry of ``swarm swop``: its settings, then its life."""

from __future__ import annotations

from collections.abc import Sequence

from swarm.node.entry import exit_with, run_node, start_logs

from .settings import load_settings


def main(argv: Sequence[str]) -> int:
    """Run the node until it is told to stop; its exit code: 0 after a clean stop.

    Raises:
        SwarmFault: what the caller prints as one line.
    """
    settings = load_settings(argv)
    start_logs(settings.log_level, "swop")
    from .service import run  # heavy: only once the settings are right

    return run_node(run(settings))


if __name__ == "__main__":
    exit_with(main, "swarm swop")
