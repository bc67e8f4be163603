"""Where the API server has each kind, and what to do when it refuses one."""

from collections.abc import Mapping

import msgspec

from clusterdns.kube.objects import Kind
from clusterdns.sources.refusals import AccessError


class Resource(msgspec.Struct, frozen=True):
    """The path of a kind, over all namespaces, and what of it is asked for."""

    kind: Kind
    path: str
    selection: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """As RBAC calls it: `services`."""
        return self.path.rpartition("/")[2]

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.path.split("/")[2] if self.path.startswith("/apis/") else ""


# Pods that have ended have given their addresses back
_RUNNING = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"}
RESOURCES: Mapping[Kind, Resource] = {
    Kind.NAMESPACE: Resource(Kind.NAMESPACE, "/api/v1/namespaces"),
    Kind.SERVICE: Resource(Kind.SERVICE, "/api/v1/services"),
    Kind.SLICE: Resource(Kind.SLICE, "/apis/discovery.k8s.io/v1/endpointslices"),
    Kind.POD: Resource(Kind.POD, "/api/v1/pods", _RUNNING),
}

_ADVICE: Mapping[int, str] = {
    401: "the token or certificate is not accepted: check the service account or the kubeconfig",
    403: 'allow it: a ClusterRole with the verbs list and watch on {name} of the API group "{group}", and its binding',
    404: "the server does not have this resource: check its version and the address",
    429: "the server is busy; it is tried again",
}
_TLS = "check the CA and the dates of the certificates, and the clock of this machine"
_ANY = "it is tried again for ever; check the address, and whether the API server is up"


def complaint(resource: Resource, verb: str, error: AccessError) -> str:
    """Verb (as RBAC calls it), resource, the server's answer and what to do."""
    advice = _ADVICE.get(error.status, _ANY) if error.secure else _TLS
    advice = advice.format(name=resource.name, group=resource.group)
    return f"kubernetes API: cannot {verb} {resource.name}: {error}; {advice}"
