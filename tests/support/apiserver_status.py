"""The failures of the fake API server, with the bodies of a real one.

API reference: Status; API concepts: API verbs, and 410 Gone responses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.support.apiserver_faults import Fault
from tests.support.apiserver_resources import Resource

# Seconds in Retry-After: what the server's priority and fairness filter says.
RETRY_AFTER = 1

_CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `ending` is Fault.CUT or Fault.STALLED when only half of the body goes out."""

    code: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    ending: Fault | None = None


class StatusError(Exception):
    """The request fails. `status` is the Status object, `retry_after` in seconds."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        token: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self._retry_after = retry_after
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": token} if token else {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({} if details is None else {"details": details}),
            "code": code,
        }

    def reply(self) -> Reply:
        """As the whole answer."""
        retry = {} if self._retry_after is None else {"Retry-After": str(self._retry_after)}
        body = msgspec.json.encode(self.status) + b"\n"
        return Reply(self.code, body, {"Content-Type": "application/json", **retry})


def unauthorized() -> StatusError:
    """No credentials that are known."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(user: str, verb: str, resource: Resource) -> StatusError:
    """RBAC has no rule for it."""
    what = f'cannot {verb} resource "{resource.plural}" in API group "{resource.group}" at the cluster scope'
    group = {"group": resource.group} if resource.group else {}
    message = f'{resource.title} is forbidden: User "{user}" {what}'
    return StatusError(403, "Forbidden", message, {**group, "kind": resource.plural})


def not_found() -> StatusError:
    """A path of no collection."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    """This server only reads."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def bad_request(message: str) -> StatusError:
    """A parameter that cannot be read."""
    return StatusError(400, "BadRequest", message)


def invalid(causes: list[tuple[str, str]]) -> StatusError:
    """List options that the server rejects: (field, message) each."""
    texts = [f"{name}: Forbidden: {message}" for name, message in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {
        "group": "meta.k8s.io",
        "kind": "ListOptions",
        "causes": [
            {"reason": "FieldValueForbidden", "message": f"Forbidden: {message}", "field": name}
            for name, message in causes
        ],
    }
    return StatusError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {listed}', details)


def continue_expired(token: str) -> StatusError:
    """`token` continues with an inconsistent list."""
    return StatusError(410, "Expired", _CONTINUE_TOO_OLD, token=token)


def list_expired() -> StatusError:
    """resourceVersionMatch=Exact for a version that is forgotten."""
    return StatusError(410, "Expired", "The resourceVersion for the provided list is too old.")


def watch_expired(asked: int, oldest: int) -> StatusError:
    """Sent as an ERROR event, as a server with a watch cache does."""
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large(asked: int, current: int) -> StatusError:
    """API concepts: Unavailable resource versions."""
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": RETRY_AFTER}
    return StatusError(504, "Timeout", message, details, retry_after=RETRY_AFTER)


def _gone() -> Reply:
    return StatusError(410, "Expired", "The resourceVersion for the provided watch is too old.").reply()


def _too_many_requests() -> Reply:
    """API Priority and Fairness: rejected before any API code runs, so that the body is no Status."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "Retry-After": str(RETRY_AFTER)}
    return Reply(429, b"Too many requests, please try again later.\n", headers)


def _internal_error() -> Reply:
    cause = "etcdserver: request timed out"
    message = f"Internal error occurred: {cause}"
    return StatusError(500, "InternalError", message, {"causes": [{"message": cause}]}).reply()


def _unavailable() -> Reply:
    return StatusError(503, "ServiceUnavailable", "apiserver is shutting down").reply()


# What each fault that is a status answers.
FAULT_REPLIES: Mapping[Fault | None, Callable[[], Reply]] = {
    Fault.GONE: _gone,
    Fault.TOO_MANY_REQUESTS: _too_many_requests,
    Fault.INTERNAL_ERROR: _internal_error,
    Fault.UNAVAILABLE: _unavailable,
    Fault.EMPTY_BODY: lambda: Reply(200, b""),
}
