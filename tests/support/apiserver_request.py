"""What the fake API server was asked."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.apiserver_faults import Verb
from tests.support.apiserver_options import is_true
from tests.support.apiserver_resources import BY_PATH, Resource


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. `time` is of the monotonic clock, in seconds; header names in any case.

    `certificate` is the common name of the client's certificate, empty without one.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    certificate: str
    time: float

    @property
    def collection(self) -> Resource | None:
        """What the path names, if it names a collection."""
        return BY_PATH.get(self.path)

    @property
    def resource(self) -> str | None:
        """`services` and so on; None for a path of no collection, such as /version."""
        return self.collection.plural if self.collection else None

    @property
    def verb(self) -> Verb:
        """What RBAC calls it."""
        if self.collection is None:
            return Verb.GET
        return Verb.WATCH if is_true(self.query, "watch") else Verb.LIST

    @property
    def token(self) -> str | None:
        """The bearer token (RFC 6750 2.1; RFC 9110 11.1: the scheme in any case)."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None
