"""As nobody, without a capability, where nothing can be written: several processes start, answer, follow and reload."""

import shlex
import signal
import sys
import sysconfig
from pathlib import Path

from tests.roles.live import HOST, PORT, READY, Block, Place, ask, everybody_says, kill, page, ttl
from tests.support.process import ROOT, Server, eventually

# The folders that are shown here, where anybody may enter: the checkout may be root's alone
CODE, CONFIG, PACKAGES, PYTHON = "/srv/code", "/srv/config", "/srv/packages", "/srv/python"
USER = "65532"


class Pod(Server):
    """`clusterdns` with the rights that config/base leaves to it."""

    def __init__(self, place: Place, *arguments: str) -> None:
        super().__init__(place.corefile, address=(HOST, PORT), probe="web.default.svc.cluster.local.")
        shown = {CODE: ROOT, CONFIG: place.folder, PACKAGES: sysconfig.get_path("purelib"), PYTHON: sys.base_prefix}
        python = Path(PYTHON, Path(sys.executable).resolve().relative_to(sys.base_prefix))
        limits = f"--reuid {USER} --regid {USER} --clear-groups --no-new-privs --inh-caps -all --bounding-set -all"
        steps = [
            "mount -t tmpfs tmpfs /srv",
            *(f"mkdir {path} && mount --bind {shlex.quote(str(folder))} {path}" for path, folder in shown.items()),
            "for path in $(cut -d ' ' -f 2 /proc/self/mounts | sort -u); do mount -o remount,bind,ro $path; done",
            f"export PYTHONPATH={CODE}:{PACKAGES} LD_LIBRARY_PATH={PYTHON}/lib",
            "cd /",
        ]
        serve = [str(python), "-m", "clusterdns", "serve", "-c", f"{CONFIG}/Corefile", *arguments]
        script = f"set -e; {'; '.join(steps)}; exec setpriv {limits} {shlex.join(serve)}"
        self._argv = ["unshare", "--mount", "sh", "-c", script]


def test_it_needs_no_place_to_write_to(place, api):
    place.folder.chmod(0o755)
    block = Block(f"endpoint {api.url}", options=(f"snapshot {CONFIG}/snapshot",))
    place.write(block)
    with Pod(place, "--workers", "2", "--state", CONFIG) as pod:
        pod.await_workers(2)
        for pid in (pod.pid, pod.controller, *pod.workers()):
            assert nobody(pid)
        assert {options.split(",")[0] for options in mounts(pod.pid).values()} == {"ro"}
        place.write(Block(block.source, 40, options=block.options))
        pod.signal(signal.SIGHUP)
        assert eventually(lambda: pod.by_each_worker(lambda: ttl(ask("web"))) == [40, 40]), pod.output()
        for pid in (pod.controller, pod.workers()[0]):
            kill(pid)
        pod.await_workers(2)
        assert everybody_says(pod, "web", ["10.0.0.1"])
        assert eventually(lambda: page(READY, "/ready") == (200, "OK"))
        # It says what it cannot keep, and why
        kept = f"{CONFIG}/snapshot: is not kept: Read-only file system"
        assert eventually(lambda: kept in pod.output())
        assert "Traceback" not in pod.output()


def nobody(pid: int) -> bool:
    """proc(5): neither a user that owns anything, nor a capability."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rights = {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}
    return status["Uid"].split() == [USER] * 4 and rights == {0}


def mounts(pid: int) -> dict[str, str]:
    """The options of what is seen at each mount point: of several, of the last one."""
    lines = Path(f"/proc/{pid}/mounts").read_text().splitlines()
    return {path: options for _, path, _, options, *_ in map(str.split, lines)}
