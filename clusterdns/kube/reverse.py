"""Names in reverse zones: the PTR records of ClusterIPs and of the ready endpoints of Services."""

from clusterdns.kube.endpoints import endpoint_label
from clusterdns.kube.objects import Service, ServiceType
from clusterdns.kube.question import Found, Miss, Question, Result
from clusterdns.kube.services import exposed
from clusterdns.kube.store import ADDRESSES, endpoints_key
from clusterdns.wire import names
from clusterdns.wire.codes import Type
from clusterdns.wire.records import name_rrset

_SVC = b"\x03svc"


def is_address(name: bytes) -> bool:
    """Is it the reverse name of one address?"""
    digits = names.address_digits(name)
    return digits is not None and len(digits) == (4 if name.endswith(names.V4_SUFFIX) else 32)


def find(question: Question) -> Result:
    """`question` is below a reverse zone."""
    digits = names.address_digits(question.name)
    if digits is None:
        return Miss.NO_NAME
    v4 = question.name.endswith(names.V4_SUFFIX)
    if len(digits) < (4 if v4 else 32):
        return _partial(question, digits, v4)
    address = bytes(digits) if v4 else bytes.fromhex("".join(f"{digit:x}" for digit in digits))
    targets = _targets(question, address)
    if not targets:
        return question.missing()
    if question.qtype != Type.PTR:
        return Miss.NO_DATA
    return Found((name_rrset(question.name, Type.PTR, question.view.ttl, tuple(targets)),))


def _partial(question: Question, digits: list[int], v4: bool) -> Result:
    """An empty non-terminal where an address is known below it (RFC 8020)."""
    question.keys.append(ADDRESSES)
    if v4:
        low, high = (bytes(digits) + fill * (4 - len(digits)) for fill in (b"\0", b"\xff"))
    else:
        text = "".join(f"{digit:x}" for digit in digits)
        low, high = (bytes.fromhex(text.ljust(32, fill)) for fill in "0f")
    return Miss.NO_DATA if question.store.addresses.any_between(low, high) else question.missing()


def _targets(question: Question, address: bytes) -> list[bytes]:
    """Names of the Services with that ClusterIP; else of the endpoints with that address. Each resolves back."""
    question.keys.append(address)
    services = [service for owner in question.store.addresses.owners(address) if (service := _visible(question, owner))]
    own = [_name(question, service) for service in services if address in service.addresses]
    found = own or [name for service in services for name in _endpoint_names(question, service, address)]
    return [name for name in found if len(name) <= names.MAX_NAME]


def _visible(question: Question, key: bytes) -> Service | None:
    question.keys.append(key)
    service = question.store.services.get(key)
    if service is None or service.type is ServiceType.EXTERNAL_NAME:
        return None
    return service if exposed(question, service.namespace_key) else None


def _name(question: Question, service: Service) -> bytes:
    return service.key + _SVC + question.view.primary


def _endpoint_names(question: Question, service: Service, address: bytes) -> list[bytes]:
    if question.view.noendpoints:
        return []
    question.keys.append(endpoints_key(service.key))
    labels = {
        endpoint_label(endpoint, question.view.endpoint_pod_names)
        for part in question.store.slices(service.key)
        for endpoint in part.every()
        if endpoint.address == address
    }
    return [bytes((len(label),)) + label + _name(question, service) for label in sorted(labels)]
