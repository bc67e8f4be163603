"""The options of a `kubernetes` block: CoreDNS's, and `manifests`."""

import ipaddress
from collections.abc import Callable, Mapping

import msgspec

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import arguments, choice, decimal, duration, integer, zone
from clusterdns.kube.objects import key
from clusterdns.kube.question import Pods, View
from clusterdns.kube.selectors import Selector
from clusterdns.kube.selectors import parse as parse_selector
from clusterdns.plugins.site import Site, SourceSpec
from clusterdns.wire.names import ROOT, is_reverse, to_text

# CoreDNS's bounds (seconds)
DEFAULT_TTL, MAX_TTL = 5, 3600
DEFAULT_PATIENCE = 5.0
_GO_MAX_INT = 2**31 - 1


class Options(msgspec.Struct):
    """What a block says; defaults are CoreDNS's."""

    zones: tuple[bytes, ...]
    manifests: tuple[str, ...] = ()
    endpoint: str = ""
    tls: tuple[str, ...] = ()
    kubeconfig: str = ""
    context: str = ""
    snapshot: str = ""
    qps: float = 0.0
    burst: int = 0
    inflight: int = 0
    patience: float = DEFAULT_PATIENCE
    ttl: int = DEFAULT_TTL
    pods: Pods = Pods.DISABLED
    endpoint_pod_names: bool = False
    noendpoints: bool = False
    ignore_empty: bool = False
    namespaces: frozenset[bytes] = frozenset()
    namespace_labels: Selector = ()
    selector: Selector = ()
    fallthrough: tuple[bytes, ...] = ()

    @property
    def source(self) -> SourceSpec:
        if self.manifests:
            return SourceSpec(self.manifests, snapshot=self.snapshot)
        return SourceSpec(
            endpoint=self.endpoint,
            tls=self.tls,
            kubeconfig=self.kubeconfig,
            context=self.context,
            snapshot=self.snapshot,
            pods=self.pods is Pods.VERIFIED,
            pod_names=self.endpoint_pod_names,
            qps=self.qps,
            burst=self.burst,
            inflight=self.inflight,
            patience=self.patience,
        )

    def view(self, site: Site) -> View:
        bound = [text for text in site.addresses if "%" not in text and not ipaddress.ip_address(text).is_unspecified]
        addresses = [ipaddress.ip_address(text) for text in bound or site.reader.local_addresses()]
        return View(
            self.zones,
            next(name for name in self.zones if not is_reverse(name)),
            self.ttl,
            self.pods,
            self.endpoint_pod_names,
            self.noendpoints,
            self.ignore_empty,
            self.namespaces,
            self.namespace_labels,
            tuple(address.packed for address in addresses),
            frozenset(name for name in self.zones if is_reverse(name)),
        )


def parse(directive: Directive, site: Site) -> Options:
    """Every wrong option of the block is added to the errors.  Raises ConfigError for the line itself."""
    zones = tuple(name for token in directive.args for name in zone(token)) or site.zones
    if all(is_reverse(name) for name in zones):
        raise directive.token.error("kubernetes: all zones are reverse zones", "add the cluster's, e.g. cluster.local")
    options = Options(tuple(dict.fromkeys(zones)))
    for option in directive.block or ():
        with site.collecting("kubernetes", option.name):
            _option(option, options, site)
    if options.tls and not options.endpoint:
        site.shared.errors.append(directive.token.error("kubernetes: tls needs endpoint", "add `endpoint URL`"))
    return options


def _option(option: Directive, options: Options, site: Site) -> None:
    parse_one = _OPTIONS.get(option.name)
    if parse_one is None:
        hint = _REMOVED.get(option.name, f"known options: {', '.join(_OPTIONS)}")
        raise option.token.error("unknown option", hint)
    if option.block is not None:
        raise option.token.error("takes no block", "remove the braces")
    parse_one(option, options, site)


def _manifests(option: Directive, options: Options, site: Site) -> None:
    options.manifests += tuple(token.text for token in arguments(option, 1))


def _ttl(option: Directive, options: Options, site: Site) -> None:
    options.ttl = integer(arguments(option, 1, 1)[0], 0, MAX_TTL)


def _pods(option: Directive, options: Options, site: Site) -> None:
    options.pods = Pods(choice(arguments(option, 1, 1)[0], [mode.value for mode in Pods]))


def _namespaces(option: Directive, options: Options, site: Site) -> None:
    if options.namespace_labels:
        raise option.token.error("namespaces and namespace_labels exclude each other", "keep one of them")
    options.namespaces |= {_label(token) for token in arguments(option, 1)}


def _namespace_labels(option: Directive, options: Options, site: Site) -> None:
    if options.namespaces:
        raise option.token.error("namespaces and namespace_labels exclude each other", "keep one of them")
    options.namespace_labels = _selector(option)


def _labels(option: Directive, options: Options, site: Site) -> None:
    options.selector = _selector(option)


def _ignore(option: Directive, options: Options, site: Site) -> None:
    choice(arguments(option, 1, 1)[0], ["empty_service"])
    options.ignore_empty = True


def _noendpoints(option: Directive, options: Options, site: Site) -> None:
    arguments(option, 0, 0)
    options.noendpoints = True


def _endpoint_pod_names(option: Directive, options: Options, site: Site) -> None:
    arguments(option, 0, 0)
    options.endpoint_pod_names = True


def _fallthrough(option: Directive, options: Options, site: Site) -> None:
    options.fallthrough = tuple(name for token in option.args for name in zone(token)) or (ROOT,)


def _later(check: Callable[[Directive, Options, Site], None]) -> Callable[[Directive, Options, Site], None]:
    """An option that is checked, and named as without effect until it has one."""

    def parse_one(option: Directive, options: Options, site: Site) -> None:
        check(option, options, site)
        token = option.token
        text = f"{token.file}:{token.line}: kubernetes: {option.name} has no effect in this version"
        site.shared.warnings.append(text)

    return parse_one


def _endpoint(option: Directive, options: Options, site: Site) -> None:
    first, *more = arguments(option, 1)
    if not first.text.startswith(("http://", "https://")):
        raise first.error(f"a URL, not {first.shown}", "write for example https://10.96.0.1:443")
    if more:
        text = f"{first.file}:{first.line}: kubernetes: endpoint: only the first URL is used, as in CoreDNS"
        site.shared.warnings.append(text)
    options.endpoint = first.text


def _tls(option: Directive, options: Options, site: Site) -> None:
    tokens = arguments(option, 3, 3)
    for token in tokens:
        if not site.reader.exists(token.text):
            raise token.error(f"{token.shown} does not exist", "give certificate, key and CA as files")
    options.tls = tuple(token.text for token in tokens)


def _kubeconfig(option: Directive, options: Options, site: Site) -> None:
    file, *context = arguments(option, 1, 2)
    if not site.reader.exists(file.text):
        raise file.error(f"{file.shown} does not exist", "give the path of a kubeconfig file")
    options.kubeconfig, options.context = file.text, context[0].text if context else ""


def _snapshot(option: Directive, options: Options, site: Site) -> None:
    file = arguments(option, 1, 1)[0]
    if not file.text:
        raise file.error("is empty", "name a file in a directory that the server may write to")
    options.snapshot = file.text


def _qps(option: Directive, options: Options, site: Site) -> None:
    options.qps = decimal(arguments(option, 1, 1)[0], 0)


def _burst(option: Directive, options: Options, site: Site) -> None:
    options.burst = integer(arguments(option, 1, 1)[0], 0, _GO_MAX_INT)


def _inflight(option: Directive, options: Options, site: Site) -> None:
    options.inflight = integer(arguments(option, 1, 1)[0], 0, _GO_MAX_INT)


def _startup_timeout(option: Directive, options: Options, site: Site) -> None:
    token = arguments(option, 1, 1)[0]
    options.patience = duration(token)
    if not options.patience:
        raise token.error("must be longer than 0", "write for example 5s")


def _multicluster(option: Directive, options: Options, site: Site) -> None:
    for token in option.args:
        for name in zone(token):
            if name not in options.zones:
                hint = f"add {to_text(name)} to the line `kubernetes ...`"
                raise token.error(f"{token.shown} is not a zone of this block", hint)


def _zonal(option: Directive, options: Options, site: Site) -> None:
    arguments(option, 0, 0)


_OPTIONS: Mapping[str, Callable[[Directive, Options, Site], None]] = {
    "manifests": _manifests,
    "ttl": _ttl,
    "pods": _pods,
    "namespaces": _namespaces,
    "namespace_labels": _namespace_labels,
    "labels": _labels,
    "ignore": _ignore,
    "noendpoints": _noendpoints,
    "endpoint_pod_names": _endpoint_pod_names,
    "fallthrough": _fallthrough,
    "endpoint": _endpoint,
    "tls": _tls,
    "kubeconfig": _kubeconfig,
    "snapshot": _snapshot,
    "apiserver_qps": _qps,
    "apiserver_burst": _burst,
    "apiserver_max_inflight": _inflight,
    "startup_timeout": _startup_timeout,
    "multicluster": _later(_multicluster),
    "zonal": _later(_zonal),
}

_REMOVED: Mapping[str, str] = {
    "resyncperiod": "it was removed from CoreDNS; take the line out",
    "upstream": "it was removed from CoreDNS; take the line out",
    "transfer": "zone transfers are set by the `transfer` directive",
    "federation": "it was removed from CoreDNS; take the line out",
}


def _label(token: Token) -> bytes:
    try:
        return key(token.text)
    except ValueError as error:
        raise token.error(f"{token.shown} is no namespace", str(error)) from error


def _selector(option: Directive) -> Selector:
    """Selectors have blanks in them: the arguments are one text."""
    text = " ".join(token.text for token in arguments(option, 1))
    try:
        return parse_selector(text)
    except ValueError as error:
        hint = "write for example app=nginx,tier in (web, api)"
        raise option.args[0].error(str(error), hint) from error
