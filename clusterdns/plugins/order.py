"""The order of the chain, from the client inwards.

It is fixed here, as CoreDNS fixes it in its build, and not by the Corefile. Order is everything: a plugin feels what
all those below it do, and must not care about those above.
"""

from collections.abc import Callable
from typing import NamedTuple

from clusterdns.corefile.directives import Directive
from clusterdns.plugins import (
    bind,
    bufsize,
    dns64,
    errors,
    forward,
    health,
    kubernetes,
    loadbalance,
    log,
    minimal,
    multisocket,
    ready,
    reload,
    whoami,
)
from clusterdns.plugins.base import Layer
from clusterdns.plugins.site import Site

Setup = Callable[[Directive, Site], Layer | None]


class Row(NamedTuple):
    """One directive. `setup` None: known, and built in a later version. `repeats`: may stand in a block twice."""

    name: str
    setup: Setup | None = None
    repeats: bool = False


DIRECTIVES: tuple[Row, ...] = (
    Row("root"),
    Row("metadata"),
    Row("cancel"),
    Row("timeouts"),
    Row("multisocket", multisocket.setup),
    Row("reload", reload.setup),
    Row("nsid"),
    Row("bufsize", bufsize.setup),
    Row("bind", bind.setup, repeats=True),
    Row("debug"),
    Row("ready", ready.setup),
    Row("health", health.setup),
    Row("pprof"),
    Row("prometheus"),
    Row("errors", errors.setup),
    Row("log", log.setup, repeats=True),
    Row("local"),
    Row("dns64", dns64.setup),
    Row("any"),
    Row("chaos"),
    Row("loadbalance", loadbalance.setup, repeats=True),
    Row("rewrite"),
    Row("autopath"),
    Row("acl"),
    Row("cache"),
    Row("header"),
    Row("tls"),
    Row("minimal", minimal.setup),
    Row("template"),
    Row("transfer"),
    Row("hosts"),
    Row("k8s_external"),
    Row("kubernetes", kubernetes.setup),
    Row("file"),
    Row("loop"),
    Row("forward", forward.setup, repeats=True),
    Row("whoami", whoami.setup, repeats=True),
    Row("view"),
)

# CoreDNS's plugins that are left out on purpose (docs/differences.md).
LEFT_OUT = frozenset(
    {
        *("acme", "alternate", "auto", "azure", "clouddns", "dnssec", "dnstap", "erratic", "etcd", "geoip", "grpc"),
        *("grpc_server", "https", "https3", "nomad", "on", "proxyproto", "quic", "route53", "secondary", "shed"),
        *("sign", "trace", "tsig"),
    }
)
