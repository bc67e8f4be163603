"""How the fake API server answers one request: faults first, then who asks, then what is asked."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from tests.support.apiserver_faults import SLOW, Fault, Verb
from tests.support.apiserver_options import Options, options
from tests.support.apiserver_request import Request
from tests.support.apiserver_resources import Resource
from tests.support.apiserver_sender import compressed, forever, send, send_stream
from tests.support.apiserver_state import State
from tests.support.apiserver_status import (
    FAULT_REPLIES,
    Reply,
    StatusError,
    forbidden,
    method_not_allowed,
    not_found,
    unauthorized,
)

# Who a bearer token stands for, and who has none.
USER = "system:serviceaccount:kube-system:clusterdns"
ANONYMOUS = "system:anonymous"

# GET /version needs no credentials (RBAC: system:public-info-viewer).
_PUBLIC = "/version"
_VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.2", "platform": "linux/amd64"}
_NO_JSON = b'{"kind":"List","items":[{"metadata":\n'


@dataclass(frozen=True, slots=True)
class Settings:
    """See FakeAPIServer."""

    streaming_list: bool
    bookmark_interval: float | None
    gzip_from: int


class Handler:
    """Answers from the state. `call_soon` runs a callback in the thread of the handler."""

    def __init__(self, state: State, settings: Settings, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._state = state
        self._settings = settings
        self._call_soon = call_soon

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        """The whole of one request, however long its watch lasts."""
        asked = _request(http)
        fault = self._state.record(asked)
        if fault is Fault.SILENT:
            await forever()
        if fault is Fault.SLOW_FIRST_BYTE:
            await asyncio.sleep(SLOW)
        try:
            outcome = self._decide(asked, fault)
        except StatusError as error:
            outcome = error.reply()
        return await (self._watch(http, asked, *outcome) if isinstance(outcome, tuple) else send(http, outcome))

    def _decide(self, asked: Request, fault: Fault | None) -> Reply | tuple[Resource, Options]:
        """The reply, or what to watch. Raises StatusError."""
        if fault in FAULT_REPLIES:
            return FAULT_REPLIES[fault]()
        user = self._user(asked)
        if asked.method != "GET":
            raise method_not_allowed()
        if asked.path == _PUBLIC:
            return Reply(200, msgspec.json.encode(_VERSION))
        resource = asked.collection
        if resource is None:
            raise not_found()
        if fault is Fault.FORBIDDEN:
            raise forbidden(user, asked.verb.value, resource)
        read = options(resource, asked.query, asked.headers.get("Accept", ""), self._settings.streaming_list)
        return (resource, read) if asked.verb is Verb.WATCH else self._list(asked, resource, read)

    def _user(self, asked: Request) -> str:
        """Kubernetes' Authenticating page: a wrong token is 401 even for what is public."""
        tokens = self._state.tokens
        if asked.certificate:
            return asked.certificate
        if asked.token is None and (tokens is None or asked.path == _PUBLIC):
            return ANONYMOUS
        if tokens is None or asked.token in tokens:
            return USER
        raise unauthorized()

    def _list(self, asked: Request, resource: Resource, read: Options) -> Reply:
        body, fault = self._state.listing(resource, read)
        if fault is Fault.INVALID_JSON:
            return Reply(200, _NO_JSON)
        accepted = asked.headers.get("Accept-Encoding", "")
        return compressed(Reply(200, body, ending=fault), accepted, self._settings.gzip_from)

    async def _watch(
        self, http: web.BaseRequest, asked: Request, resource: Resource, read: Options
    ) -> web.StreamResponse:
        more = asyncio.Event()
        try:
            watch = self._state.open(resource, read, asked, lambda: self._call_soon(more.set))
        except StatusError as error:
            return await send(http, error.reply())
        try:
            interval = self._settings.bookmark_interval
            return await send_stream(http, watch.stream, more, interval, lambda: self._state.bookmark_one(watch))
        finally:
            self._state.close(watch)


def _request(http: web.BaseRequest) -> Request:
    certificate = http.transport.get_extra_info("peercert") if http.transport else None
    names = dict(pair for group in (certificate or {}).get("subject", ()) for pair in group)
    name = names.get("commonName", "")
    return Request(http.method, http.path, dict(http.query), http.headers, name, time.monotonic())
