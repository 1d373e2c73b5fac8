"""Errors, timeouts and duplicate events of the API server."""

from __future__ import annotations

from collections.abc import Callable

from release import Release

from tests.fakekube import Cluster


def test_api_errors_and_interrupted_watches_do_not_change_the_output(
    cluster: Cluster, make_release: Callable[..., Release], local_output: dict[str, list[str]]
) -> None:
    release = make_release(values={"until": "recommend"})
    release.install()
    faults = cluster.faults
    # Faults throughout the controller's run.
    for verb, resource, status, times in (
        ("list", "pods", 429, 2),
        ("list", "jobs", 500, 2),
        ("list", "pods", 410, 2),
        ("create", "jobs", 503, 2),
        ("create", "jobs", 409, 2),
        ("patch", "jobs", 409, 2),
        ("patch", "configmaps", 503, 2),
        ("create", "events", 500, 2),
    ):
        faults.answer(status, verb=verb, resource=resource, times=times)
    faults.cut(verb="create", resource="jobs", when="after", times=2)
    for how in ("end", "cut", "expired", "silent"):
        faults.end_watches(how, times=2)  # type: ignore[arg-type]
    faults.disturb_events(copies=3, delay_seconds=0.5, times=20)
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
    made = release.pipeline.tables()
    assert made == {stage: local_output[stage] for stage in made}
    assert "recommend" in made
    assert cluster.peak("nvidia.com/gpu") <= 8
    assert faults.served >= 20, "too few faults were injected"
