"""Which collections the fake API server has, and how each is named in paths, bodies and messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    """One collection. `empty` is what Go encodes for an object with nothing set, as in a bookmark.

    `fields` maps the field selectors beyond metadata's to the path of their value. `custom`: defined by a
    CustomResourceDefinition.
    """

    plural: str
    kind: str
    group: str
    version: str
    empty: Mapping[str, Any]
    namespaced: bool = True
    fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    custom: bool = False

    @property
    def api_version(self) -> str:
        """As in `apiVersion:`; the core group has no name."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """Of the collection across all namespaces (API concepts: Resource URIs)."""
        return f"/apis/{self.api_version}/{self.plural}" if self.group else f"/api/{self.version}/{self.plural}"

    @property
    def title(self) -> str:
        """As the server's messages spell it: `services`, `endpointslices.discovery.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_ALL = (
    Resource("namespaces", "Namespace", "", "v1", {"spec": {}, "status": {}}, namespaced=False),
    Resource("services", "Service", "", "v1", {"spec": {}, "status": {"loadBalancer": {}}}),
    Resource(
        "pods",
        "Pod",
        "",
        "v1",
        {"spec": {"containers": None}, "status": {}},
        # API reference: Field Selectors, "List of supported fields"
        fields={"status.phase": ("status", "phase"), "spec.nodeName": ("spec", "nodeName")},
    ),
    Resource(
        "endpointslices",
        "EndpointSlice",
        "discovery.k8s.io",
        "v1",
        {"addressType": "", "endpoints": None, "ports": None},
    ),
    Resource("serviceimports", "ServiceImport", "multicluster.x-k8s.io", "v1alpha1", {}, custom=True),
)

RESOURCES: Mapping[str, Resource] = {resource.plural: resource for resource in _ALL}
BY_PATH: Mapping[str, Resource] = {resource.path: resource for resource in _ALL}
BY_KIND: Mapping[str, Resource] = {resource.kind: resource for resource in _ALL}
