"""Runs a cluster until it is stopped: `python -m tests.fakekube --kubeconfig FILE`."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from .cluster import Cluster


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakekube", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--kubeconfig", type=Path, help="where to write the administrator's kubeconfig")
    parser.add_argument("--no-rbac", action="store_true", help="let every ServiceAccount do everything")
    parser.add_argument("--backoff", type=float, default=0.2, help="seconds before a Job's first retry")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Cluster(port=options.port, rbac=not options.no_rbac, backoff_seconds=options.backoff) as cluster:
        if options.kubeconfig:
            options.kubeconfig.write_text(cluster.kubeconfig.read_text())
        print(cluster.url, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
