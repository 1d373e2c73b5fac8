"""Repeatedly killing pods does not change the output."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from release import NAMESPACE, Release

from tests.fakekube import Cluster

KILLS = 20


def test_twenty_kills_of_controller_and_workers_do_not_change_the_output(
    cluster: Cluster, make_release: Callable[..., Release], local_output: dict[str, list[str]]
) -> None:
    choose = random.Random(20)
    release = make_release(values={"defaults": {"retries": 20, "attempts": 20}})
    release.install()
    killed = {"controller": 0, "stage": 0}
    until = time.monotonic() + 240
    while sum(killed.values()) < KILLS and time.monotonic() < until:
        time.sleep(choose.uniform(0.1, 1.5))
        component = choose.choice(["controller", "stage", "stage"])
        running = release.pods(component)
        if not running:
            continue
        _end(cluster, choose.choice(running), component, choose)
        killed[component] += 1
    code, message = release.wait_until_ended(240)
    assert code == 0, f"{message}\n{release.status_text()}\n{release.controller_log()}"
    assert release.pipeline.tables() == local_output
    assert cluster.peak("nvidia.com/gpu") <= 8
    assert min(killed.values()) >= 3, f"ended before enough was killed: {killed}"
    print(f"killed: {killed}")


def _end(cluster: Cluster, pod: str, component: str, choose: random.Random) -> None:
    """Evict, delete or kill a pod."""
    way = choose.choice(["evict", "kill", "delete"])
    if way == "kill" and component == "stage":
        cluster.kill(pod, NAMESPACE)
    elif way == "delete":
        cluster.delete("pods", pod, NAMESPACE)
    else:
        cluster.evict(pod, NAMESPACE)
