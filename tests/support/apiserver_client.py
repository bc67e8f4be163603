"""A plain HTTP client for the fake API server's own tests: nothing between them and the wire but http.client."""

import contextlib
import gzip
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_identity import Authority, Certificate
from tests.support.apiserver_resources import RESOURCES

# Seconds: far above what an answer takes.
TIMEOUT = 10.0

SERVICES = RESOURCES["services"].path
METADATA_LIST = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
METADATA_WATCH = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; header names in lower case, the body as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decompressed."""
        return json.loads(gzip.decompress(self.body) if "content-encoding" in self.headers else self.body)

    @property
    def names(self) -> list[str]:
        """Of a list's items."""
        return [item["metadata"]["name"] for item in self.json["items"]]


class OpenWatch:
    """The response to a watch, line by line."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.line = response.readline
        # To the end; raises IncompleteRead when it does not end in good order, which `line` cannot tell.
        self.rest = response.read

    def event(self) -> dict[str, Any]:
        """The next."""
        read: dict[str, Any] = json.loads(self.line())
        return read

    def told(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        events = [self.event() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def obj(name: str, kind: str = "Service", **content: Any) -> dict[str, Any]:
    """A manifest; `labels` are its own."""
    labels = content.pop("labels", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}, **content}


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


def trusting(authority: Authority, client: Certificate | None = None) -> ssl.SSLContext:
    """Trusts one authority, and shows a client certificate."""
    context = ssl.create_default_context(cafile=authority.ca)
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


def path(resource: str, **query: Any) -> str:
    """Of a collection; `continue_` is the parameter that Python cannot name."""
    return f"{RESOURCES[resource].path}?{urlencode({name.rstrip('_'): value for name, value in query.items()})}"


def get(
    api: FakeAPIServer,
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    context: ssl.SSLContext | None = None,
    timeout: float = TIMEOUT,
) -> Answer:
    """One request on a connection of its own."""
    with _connection(api, context, timeout) as connection:
        connection.request(method, target, headers=dict(headers or {}))
        with connection.getresponse() as response:
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())


@contextlib.contextmanager
def watching(
    api: FakeAPIServer,
    resource: str,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = TIMEOUT,
    **query: Any,
) -> Iterator[OpenWatch]:
    """A watch of a resource, from the newest state on unless `resourceVersion` says otherwise."""
    asked = {"resourceVersion": api.revision, **query, "watch": "true"}
    with _connection(api, None, timeout) as connection:
        connection.request("GET", path(resource, **asked), headers=dict(headers or {}))
        with connection.getresponse() as response:
            yield OpenWatch(response)


def _connection(
    api: FakeAPIServer, context: ssl.SSLContext | None, timeout: float
) -> contextlib.closing[http.client.HTTPConnection]:
    if context is None:
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=timeout))
    return contextlib.closing(http.client.HTTPSConnection("127.0.0.1", api.port, timeout=timeout, context=context))
