"""How the API server is asked. The official client does address, credentials and TLS; its models, watch and informers
stay unused, they cost a hundred times the memory and some of them never notice a dead connection."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3
from kubernetes.client import ApiClient

from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.credentials import SERVICE_ACCOUNT, Credentials
from clusterdns.sources.pacing import Gate
from clusterdns.sources.refusals import AccessError, refused, translated

# Seconds to connect. CoreDNS's client gives up after 30; a replacement address answers sooner.
CONNECT_TIMEOUT = 5.0
_USER_AGENT = "clusterdns"
# Media types: whole objects, and only their metadata (API concepts, "Retrieving resource as metadata")
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
# Octets of a watch read at a time; each event comes as a chunk of its own
_READ = 65536


class Access:
    """One API server, for all threads of a source. Nothing is read or opened before the first request.

    Files of credentials that change on disk count from the next request on; after a 401 or a TLS error they are read
    again, exec plugins included, and the request is made once more. `streams` is False when the server has shown
    that it has no streaming list.
    """

    def __init__(
        self, source: SourceSpec, account: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.streams = True
        self._credentials = Credentials(source, account, environ)
        self._gate = Gate(source.qps, source.burst, source.inflight)
        self._lock = threading.Lock()
        self._client: ApiClient | None = None
        self._open: set[urllib3.HTTPResponse] = set()
        self._closed = False

    def read(self, path: str, query: Mapping[str, str], timeout: float, accept: str = JSON) -> bytes:
        """The body of a GET, gzip-compressed on the way.  Raises AccessError."""
        headers = {"Accept-Encoding": "gzip", "Accept": accept}
        with translated(), self._gate.request(), self._reading(self._ask(path, query, timeout, headers)) as response:
            return bytes(response.read(decode_content=True))

    def lines(self, path: str, query: Mapping[str, str], timeout: float) -> Iterator[bytes]:
        """The lines of a watch as they come; `timeout` seconds of silence end it.  Raises AccessError.

        It is in flight until the answer begins.
        """
        with translated():
            with self._gate.request():
                response = self._ask(path, query, timeout, {"Accept": JSON})
            rest = b""
            with self._reading(response):
                for chunk in response.stream(_READ, decode_content=True):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (line for line in lines if line)

    def close(self) -> None:
        """What is being read ends at once, and what waits goes on."""
        self._gate.close()
        with self._lock:
            self._closed = True
            for response in self._open:
                # It may have come to its end by itself
                with suppress(ValueError, RuntimeError, OSError):
                    response.shutdown()

    @contextmanager
    def _reading(self, response: urllib3.HTTPResponse) -> Iterator[urllib3.HTTPResponse]:
        with self._lock:
            self._open.add(response)
        try:
            if self._closed:
                raise AccessError("no longer wanted")
            yield response
        finally:
            with self._lock:
                self._open.discard(response)
            # A connection of which all was read is back in the pool already; with a rest it is of no more use
            response.close()

    def _ask(
        self, path: str, query: Mapping[str, str], timeout: float, headers: Mapping[str, str]
    ) -> urllib3.HTTPResponse:
        client = self._connected()
        try:
            with translated():
                return _get(client, path, query, timeout, headers)
        except AccessError as error:
            if not error.credentials:
                raise
        self._disconnect(client)
        return _get(self._connected(), path, query, timeout, headers)

    def _connected(self) -> ApiClient:
        """With the credentials as they are on disk now.  Raises AccessError."""
        with self._lock:
            if self._client is not None and self._credentials.changed():
                self._drop(self._client)
            if self._client is None:
                self._client = ApiClient(self._credentials.load())
                self._client.user_agent = _USER_AGENT
            return self._client

    def _disconnect(self, used: ApiClient) -> None:
        """Unless another thread has done so: each renewal may run a plugin."""
        with self._lock:
            if self._client is used:
                self._drop(used)

    def _drop(self, client: ApiClient) -> None:
        self._client = None
        client.rest_client.close()


def _get(
    client: ApiClient, path: str, query: Mapping[str, str], timeout: float, headers: Mapping[str, str]
) -> urllib3.HTTPResponse:
    method, url, sent, *_ = client.param_serialize(
        "GET", path, query_params=list(query.items()), header_params=dict(headers), auth_settings=["BearerToken"]
    )
    # Files of tokens that were written by hand end with a line break
    stripped = {name: value.strip() for name, value in sent.items()}
    found = client.call_api(method, url, header_params=stripped, _request_timeout=(CONNECT_TIMEOUT, timeout))
    response: urllib3.HTTPResponse = found.response
    if response.status != 200:
        body = bytes(response.read(decode_content=True))
        response.close()
        raise refused(response, body)
    return response
