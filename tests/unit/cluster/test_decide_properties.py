"""Invariants of the decisions under random failures, evictions, crashes and orders of events."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import PARTS, Simulation

from skutune.cluster.plan import ClusterPlan, StagePlan
from skutune.pipeline.graph import CLUSTER_STAGES


def plan(devices: int, devices_per_pod: int, attempts: int = 50) -> ClusterPlan:
    """All stages. A GPU stage uses `devices_per_pod`, finetune all devices."""
    stages = {}
    for name, stage in CLUSTER_STAGES.items():
        on_gpu = devices if name == "finetune" else devices_per_pod
        shards = 3 if stage.kind == "map" else 1
        stages[name] = StagePlan(
            template="t",
            devices=0 if stage.image == "controller" else on_gpu,
            shards=shards,
            attempts=attempts,
            disruptions=1000,
            stalled_seconds=0,
        )
    return ClusterPlan(devices=devices, retry_seconds=0, stages=stages)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), devices=st.integers(1, 8), devices_per_pod=st.integers(1, 3), crashes=st.booleans())
def test_every_run_completes_within_the_device_budget_despite_faults_and_crashes(
    data: st.DataObject, devices: int, devices_per_pod: int, crashes: bool
) -> None:
    seed = data.draw(st.randoms(use_true_random=False))
    simulation = Simulation(plan(devices, min(devices_per_pod, devices)), lambda n: seed.randrange(n))
    for _ in range(6000):
        simulation.controller_round(crash=crashes and seed.random() < 0.3)
        assert simulation.devices_in_flight() <= devices
        for _ in range(seed.randrange(1, 4)):
            simulation.cluster_round()
        if simulation.finish is not None:
            break
    assert simulation.finish is not None
    assert simulation.finish.code == 0
    assert simulation.peak <= devices
    for name, stage in simulation.stages.items():
        assert stage.completed == set(range(PARTS if CLUSTER_STAGES[name].kind == "map" else 1))
    assert len(simulation.created) == len(set(simulation.created))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), devices=st.integers(1, 8))
def test_no_device_stays_idle_while_a_stage_that_fits_is_ready(data: st.DataObject, devices: int) -> None:
    seed = data.draw(st.randoms(use_true_random=False))
    simulation = Simulation(plan(devices, 1), lambda n: seed.randrange(n))
    for _ in range(400):
        simulation.controller_round(crash=False)
        simulation.controller_round(crash=False)  # devices that a closed attempt frees are granted in the next round
        snapshot = simulation.observe()
        free = devices - simulation.devices_in_flight()
        idle = [
            view
            for view in snapshot.stages.values()
            if view.state == "ready"
            and view.plan.devices == 1
            and snapshot.current_job(view) is None
            and not view.failed
        ]
        waits_for_more = any(
            view.state == "ready" and view.plan.devices > 1 and snapshot.current_job(view) is None
            for view in snapshot.stages.values()
        )
        assert free <= 0 or not idle or waits_for_more
        simulation.cluster_round()
        if simulation.finish is not None:
            break


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_stage_that_always_fails_ends_the_run_after_its_last_attempt(limit: int) -> None:
    simulation = Simulation(plan(8, 1, attempts=limit), lambda n: 0)
    simulation._step = lambda pod, choice: Simulation._step(simulation, pod, 5)  # type: ignore[method-assign]
    for _ in range(500):
        simulation.controller_round(crash=False)
        simulation.cluster_round()
        if simulation.finish is not None:
            break
    assert simulation.finish is not None
    assert simulation.finish.code == 75
    first = simulation.stages["models"]
    assert len(first.outcomes) == limit
