"""How the API server is reached: address, credentials, TLS. The official client does all of it; its models, watch and
informers stay unused, they cost a hundred times the memory and some of them never notice a dead connection."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import urllib3
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from clusterdns.errors import ClusterDNSError
from clusterdns.kube.stream import status_message
from clusterdns.plugins.site import SourceSpec

# Seconds to connect. CoreDNS's client gives up after 30; a replacement address answers sooner.
CONNECT_TIMEOUT = 5.0
_USER_AGENT = "clusterdns"
# Media types: whole objects, and only their metadata (API concepts, "Retrieving resource as metadata")
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
# Octets of a watch read at a time; each event comes as a chunk of its own
_READ = 65536
# Seconds without an acknowledgement after which the kernel gives a connection up
_USER_TIMEOUT_MS = 30_000


class AccessError(ClusterDNSError):
    """The API server could not be asked. `status`: what it answered, 0 for no answer. `retry_after`: seconds."""

    def __init__(self, text: str, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status, self.retry_after = status, retry_after


class Access:
    """One API server.  Raises AccessError when the configuration cannot be used."""

    def __init__(self, source: SourceSpec) -> None:
        self._client = ApiClient(_configuration(source))
        self._client.user_agent = _USER_AGENT

    def read(self, path: str, query: Mapping[str, str], timeout: float, accept: str = JSON) -> bytes:
        """The body of a GET, gzip-compressed on the way.  Raises AccessError."""
        with _translated():
            response = self._open(path, query, timeout, {"Accept-Encoding": "gzip", "Accept": accept})
            try:
                return bytes(response.read(decode_content=True))
            finally:
                response.release_conn()

    def lines(self, path: str, query: Mapping[str, str], timeout: float) -> Iterator[bytes]:
        """The lines of a watch as they come; `timeout` seconds of silence end it.  Raises AccessError."""
        with _translated():
            response = self._open(path, query, timeout, {})
            try:
                rest = b""
                for chunk in response.stream(_READ, decode_content=True):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (line for line in lines if line)
            finally:
                # What is left unread makes the connection useless for another request
                response.close()

    def _open(
        self, path: str, query: Mapping[str, str], timeout: float, headers: Mapping[str, str]
    ) -> urllib3.HTTPResponse:
        method, url, sent, *_ = self._client.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": JSON, **headers},
            auth_settings=["BearerToken"],
        )
        found = self._client.call_api(method, url, header_params=sent, _request_timeout=(CONNECT_TIMEOUT, timeout))
        response: urllib3.HTTPResponse = found.response
        if response.status != 200:
            body = bytes(response.read(decode_content=True))
            response.release_conn()
            raise _refused(response, body)
        return response


def _configuration(source: SourceSpec) -> Configuration:
    configuration = Configuration()
    # Its own retries come at once and in threes; ours wait longer each time
    configuration.retries = False
    configuration.socket_options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS),
    ]
    try:
        if source.kubeconfig:
            load_kube_config(source.kubeconfig, source.context or None, configuration)  # type: ignore[no-untyped-call]
        elif source.endpoint:
            configuration.host = source.endpoint
            if source.tls:
                configuration.cert_file, configuration.key_file, configuration.ssl_ca_cert = source.tls
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError) as error:
        advice = (
            "check the kubeconfig" if source.kubeconfig else "outside a cluster give endpoint, kubeconfig or manifests"
        )
        raise AccessError(f"cannot tell how to reach it: {error} ({advice})") from error
    return configuration


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of HTTP, TLS and sockets become ours here and nowhere else."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        raise AccessError(_reason(error)) from error
    except ApiException as error:
        # What the client makes of TLS errors: the class, and the message in the next line
        raise AccessError(str(error.reason).strip().rpartition("\n")[2]) from error
    except (OSError, ValueError) as error:
        raise AccessError(str(error)) from error


def _reason(error: BaseException) -> str:
    """The innermost cause says it best: `certificate has expired`, `Connection refused`."""
    while (cause := getattr(error, "reason", None) or error.__cause__) is not None and isinstance(cause, BaseException):
        error = cause
    return str(error) or type(error).__name__


def _refused(response: urllib3.HTTPResponse, body: bytes) -> AccessError:
    after = response.headers.get("Retry-After", "")
    text = f"{response.status} {response.reason}: {status_message(body)}"
    return AccessError(text, response.status, float(after) if after.isdigit() else 0.0)
