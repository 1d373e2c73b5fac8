"""What holds whatever happens: over random failures, evictions, crashes and orders of events."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import PARTS, Simulation

from skutune.cluster.plan import ClusterPlan, StagePlan
from skutune.pipeline.graph import CLUSTER_STAGES


def plan(devices: int, one: int, attempts: int = 50) -> ClusterPlan:
    """All stages; those that use a device take `one` a pod, finetune all of them."""
    stages = {}
    for name, stage in CLUSTER_STAGES.items():
        uses = 0 if stage.image == "controller" else devices if name == "finetune" else one
        shards = 3 if stage.kind == "map" else 1
        stages[name] = StagePlan(
            template="t", devices=uses, shards=shards, attempts=attempts, disruptions=1000, stalled_seconds=0
        )
    return ClusterPlan(devices=devices, retry_seconds=0, stages=stages)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), devices=st.integers(1, 8), one=st.integers(1, 3), crashes=st.booleans())
def test_any_history_of_faults_and_crashes_ends_with_all_parts_made_within_the_budget(
    data: st.DataObject, devices: int, one: int, crashes: bool
) -> None:
    seed = data.draw(st.randoms(use_true_random=False))
    simulation = Simulation(plan(devices, min(one, devices)), lambda n: seed.randrange(n))
    for _ in range(6000):
        simulation.controller_round(crash=crashes and seed.random() < 0.3)
        assert simulation.promised() <= devices
        for _ in range(seed.randrange(1, 4)):
            simulation.cluster_round()
        if simulation.finish is not None:
            break
    assert simulation.finish is not None
    assert simulation.finish.code == 0
    assert simulation.peak <= devices
    for name, stage in simulation.stages.items():
        assert stage.made == set(range(PARTS if CLUSTER_STAGES[name].kind == "map" else 1))
    assert len(simulation.created) == len(set(simulation.created))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), devices=st.integers(1, 8))
def test_devices_are_never_left_free_while_a_stage_that_fits_waits_for_them(data: st.DataObject, devices: int) -> None:
    seed = data.draw(st.randoms(use_true_random=False))
    simulation = Simulation(plan(devices, 1), lambda n: seed.randrange(n))
    for _ in range(400):
        simulation.controller_round(crash=False)
        simulation.controller_round(crash=False)  # what closing freed is given away in the next round
        seen = simulation.observe()
        free = devices - simulation.promised()
        idle = [
            view
            for view in seen.stages.values()
            if view.state == "ready" and view.plan.devices == 1 and seen.current(view) is None and not view.failed
        ]
        waits_for_more = any(
            view.state == "ready" and view.plan.devices > 1 and seen.current(view) is None
            for view in seen.stages.values()
        )
        assert free <= 0 or not idle or waits_for_more
        simulation.cluster_round()
        if simulation.finish is not None:
            break


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_stage_that_always_fails_ends_the_run_after_its_attempts(limit: int) -> None:
    simulation = Simulation(plan(8, 1, attempts=limit), lambda n: 0)
    simulation._end = lambda pod, how: Simulation._end(simulation, pod, 5)  # type: ignore[method-assign]
    for _ in range(500):
        simulation.controller_round(crash=False)
        simulation.cluster_round()
        if simulation.finish is not None:
            break
    assert simulation.finish is not None
    assert simulation.finish.code == 75
    first = simulation.stages["models"]
    assert len(first.outcomes) == limit
