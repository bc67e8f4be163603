"""How many workers fit, and what a cgroup says about it."""

import math
import os

import pytest

from clusterdns.roles.limits import AUTO, BASE, EACH, Limits, decide, found
from clusterdns.roles.slots import MAX_WORKERS

MIB = 2**20
PLENTY = Limits(math.inf, 4, math.inf)
CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("asked", "multisocket", "limits", "count", "reason"),
    [
        (None, None, PLENTY, 1, ""),
        (3, None, PLENTY, 3, "--workers 3"),
        (3, 7, PLENTY, 3, "--workers 3"),
        (None, 7, PLENTY, 7, "multisocket 7"),
        (10_000, None, PLENTY, MAX_WORKERS, "--workers 10000"),
        (AUTO, None, PLENTY, 4, "--workers: the CPUs granted"),
        (None, 0, PLENTY, 4, "multisocket: the CPUs granted"),
        (AUTO, 7, PLENTY, 4, "--workers: the CPUs granted"),
        (AUTO, None, Limits(math.inf, 1000, math.inf), MAX_WORKERS, "--workers: the CPUs granted"),
        (AUTO, None, Limits(0.1, 4, math.inf), 1, "--workers: the CPUs granted"),
        (AUTO, None, Limits(1.5, 4, math.inf), 2, "--workers: the CPUs granted"),
        (AUTO, None, Limits(8.0, 4, math.inf), 4, "--workers: the CPUs granted"),
        (AUTO, None, Limits(math.inf, 0, math.inf), 1, "--workers: the CPUs granted"),
        (AUTO, None, Limits(4.0, 4, (BASE + 4 * EACH) * MIB), 4, "--workers: the CPUs granted"),
        (AUTO, None, Limits(4.0, 4, 170 * MIB), 2, "--workers: 4 CPUs are granted, 170 MiB hold 2"),
        (None, 0, Limits(4.0, 4, 32 * MIB), 1, "multisocket: 4 CPUs are granted, 32 MiB hold 1"),
        (AUTO, None, Limits(1.0, 4, 32 * MIB), 1, "--workers: the CPUs granted"),
        (AUTO, None, Limits(1000.0, 1000, 100_000 * MIB), MAX_WORKERS, "--workers: the CPUs granted"),
    ],
)
def test_how_many(asked, multisocket, limits, count, reason):
    assert decide(asked, multisocket, limits) == (count, reason)


VERSION_1 = {
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
}


@pytest.mark.parametrize(
    ("files", "cpus", "memory"),
    [
        ({}, math.inf, math.inf),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, math.inf, math.inf),
        ({"cpu.max": "150000 100000\n", "memory.max": "178257920\n"}, 1.5, 170 * MIB),
        ({"cpu.max": "50000\n"}, math.inf, math.inf),
        ({"cpu.max": "50000 0\n"}, math.inf, math.inf),
        ({"cpu.max": "\n", "memory.max": "\n"}, math.inf, math.inf),
        (VERSION_1, math.inf, math.inf),
        ({**VERSION_1, "cpu/cpu.cfs_quota_us": "250000\n"}, 2.5, math.inf),
        ({**VERSION_1, "memory/memory.limit_in_bytes": "178257920\n"}, math.inf, 170 * MIB),
        # Version 2 counts where there are both
        ({**VERSION_1, "cpu.max": "10000 100000\n", "memory.max": "1048576\n"}, 0.1, MIB),
    ],
)
def test_what_a_cgroup_grants(tmp_path, files, cpus, memory):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert found(tmp_path) == Limits(cpus, CORES, memory)


def test_here_too():
    limits = found()
    assert limits.cores == CORES
    assert limits.cpus > 0
    assert limits.memory > 0
    count, _ = decide(AUTO, None)
    assert 1 <= count <= CORES
