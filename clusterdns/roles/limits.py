"""How many workers there shall be: what was asked for, and what the cgroup grants."""

import math
import os
from pathlib import Path

import msgspec

from clusterdns.roles.slots import MAX_WORKERS

# MiB that supervisor and controller need, and one worker, for a cluster of some 1,000 Services
BASE, EACH = 80, 45
# `--workers auto`; `multisocket` without a number is 0
AUTO = -1
_CGROUP = Path("/sys/fs/cgroup")


class Limits(msgspec.Struct, frozen=True):
    """`cpus`: granted, infinite without a quota; `cores`: that may be run on; `memory`: octets, infinite without."""

    cpus: float
    cores: int
    memory: float


def decide(asked: int | None, multisocket: int | None, limits: Limits | None = None) -> tuple[int, str]:
    """`asked`: by `--workers`, `multisocket`: by the Corefile; None is nothing, below 1 as many as fit. Returns the
    number and the reason, empty for the default."""
    wanted, who = (multisocket, "multisocket") if asked is None else (asked, "--workers")
    if wanted is None:
        # One answers more than nearly any cluster asks
        return 1, ""
    if wanted > 0:
        return min(wanted, MAX_WORKERS), f"{who} {wanted}"
    return _fitting(limits or found(), who)


def _fitting(limits: Limits, who: str) -> tuple[int, str]:
    cpus = max(min(math.ceil(limits.cpus) if limits.cpus < math.inf else limits.cores, limits.cores), 1)
    if limits.memory == math.inf:
        return min(cpus, MAX_WORKERS), f"{who}: the CPUs granted"
    fit = max(int((limits.memory / 2**20 - BASE) / EACH), 1)
    if fit < cpus:
        return min(fit, MAX_WORKERS), f"{who}: {cpus} CPUs are granted, {limits.memory / 2**20:.0f} MiB hold {fit}"
    return min(cpus, MAX_WORKERS), f"{who}: the CPUs granted"


def found(root: Path = _CGROUP) -> Limits:
    """Of this process's cgroup, as a container sees it: version 2, or 1."""
    cores = len(os.sched_getaffinity(0))
    quota, period = [*_words(root / "cpu.max"), "", ""][:2]
    if not quota:
        quota = "".join(_words(root / "cpu" / "cpu.cfs_quota_us"))
        period = "".join(_words(root / "cpu" / "cpu.cfs_period_us"))
    limit = "".join(_words(root / "memory.max") or _words(root / "memory" / "memory.limit_in_bytes"))
    # Version 1 says "no limit" with a number near 2^63
    memory = float(limit) if limit.isdigit() and int(limit) < 2**60 else math.inf
    granted = int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else math.inf
    return Limits(granted, cores, memory)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
