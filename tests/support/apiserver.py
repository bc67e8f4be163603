"""A fake Kubernetes API server: list and watch over real HTTP(S), with a switch for each way in which they fail."""

import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import web

from tests.support.apiserver_config import CONTEXT, write_kubeconfig, write_service_account
from tests.support.apiserver_faults import STAGES, Fault, Stage, Verb
from tests.support.apiserver_handler import Handler, Settings
from tests.support.apiserver_identity import Authority, Certificate
from tests.support.apiserver_listener import HOST, Listener
from tests.support.apiserver_objects import key
from tests.support.apiserver_request import Request
from tests.support.apiserver_resources import BY_KIND, RESOURCES, Resource
from tests.support.apiserver_state import State

# Octets: what a real server compresses a list from.
GZIP_FROM = 128 * 1024
# Seconds that `wait` waits.
DEADLINE = 10.0


class FakeAPIServer:
    """Serves namespaces, services, pods, endpointslices and serviceimports on a free port while the context is open.

    `objects` are manifests. With `tls` it speaks HTTPS and takes client certificates of that authority. `tokens` are
    the bearer tokens that are good, None: nobody needs one. `streaming_list` False: sendInitialEvents is 422.
    `bookmark_interval` in seconds, None: only when told. `gzip_from` in octets. Every method may be called from
    any thread.
    """

    def __init__(
        self,
        objects: Iterable[Mapping[str, Any]] = (),
        *,
        tls: Authority | None = None,
        tokens: Iterable[str] | None = None,
        streaming_list: bool = True,
        bookmark_interval: float | None = None,
        gzip_from: int = GZIP_FROM,
    ) -> None:
        self._tls = tls
        self._context = tls.server_context(tls.issue("kube-apiserver")) if tls else None
        self._state = State(tokens)
        self._listener = Listener(self._answer, self._context)
        settings = Settings(streaming_list, bookmark_interval, gzip_from)
        self._handler = Handler(self._state, settings, self._listener.call_soon)
        self._bugs: list[Exception] = []
        for manifest in objects:
            self.put(manifest)

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.__exit__(kind, error, trace)
        if self._bugs and error is None:
            raise self._bugs[0]

    @property
    def port(self) -> int:
        """The same for as long as the context is open, refused or not."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a pod of the cluster has in its environment."""
        return {"KUBERNETES_SERVICE_HOST": HOST, "KUBERNETES_SERVICE_PORT": str(self.port)}

    @property
    def revision(self) -> int:
        """The newest resource version of all."""
        return self._state.revision

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order of arrival."""
        return self._state.requests

    def watchers(self, resource: str | None = None) -> list[Request]:
        """The requests of the watches that are open, of one resource or (None) all."""
        return self._state.watchers(_known(resource))

    def wait(self, condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
        """Until a condition on this server holds; looked at when a request, a watch or a change comes or goes.

        `deadline` in seconds, then TimeoutError.
        """
        self._state.wait(condition, deadline)

    def put(self, manifest: Mapping[str, Any]) -> int:
        """Create or replace an object; its new resource version. ValueError for a kind that is not served."""
        metadata = manifest["metadata"]
        return self._state.put(*_place(manifest["kind"], metadata.get("namespace"), metadata["name"]), manifest)

    def delete(self, kind: str, namespace: str | None, name: str) -> int:
        """The resource version of the deletion. KeyError when there is no such object."""
        return self._state.delete(*_place(kind, namespace, name))

    def load(self, directory: Path) -> None:
        """Put every object of the YAML files of a directory."""
        for path in sorted(directory.glob("*.yaml")):
            for manifest in filter(None, yaml.safe_load_all(path.read_text())):
                self.put(manifest)

    def bookmark(self, resource: str | None = None, revision: int | None = None) -> None:
        """Send a bookmark now, to the watches of a resource or (None) all.

        `revision`: of a history that is no more, as before etcd was restored from a backup; None is the newest.
        """
        self._state.bookmark(_known(resource), revision)

    def expire(self) -> None:
        """Forget history: every resource version and continue token handed out so far is too old."""
        self._state.compact()

    def end_watches(self, resource: str | None = None) -> None:
        """End watches in good order, as timeoutSeconds would."""
        self._state.end_watches(_known(resource))

    def fault(
        self, fault: Fault, resource: str | None = None, *, verb: Verb | None = None, times: int | None = None
    ) -> None:
        """Go wrong from now on, `times` times or (None) until cleared; None is any resource, any verb.

        REFUSED is of the whole server and until cleared, else ValueError.
        """
        if STAGES[fault] is not Stage.LISTENER:
            self._state.add_fault(fault, _known(resource), verb, times)
        elif (resource, verb, times) == (None, None, None):
            self._listener.close()
        else:
            raise ValueError(f"{fault.name} is of the whole server, until cleared")

    def clear(self) -> None:
        """No fault from now on; listen again on the same port."""
        self._state.clear_faults()
        self._listener.open()

    def set_tokens(self, tokens: Iterable[str] | None) -> None:
        """The tokens that are good from now on. Open watches go on, as on a real server."""
        self._state.set_tokens(tokens)

    def set_identity(self, identity: Certificate) -> None:
        """Another server certificate, for new connections. ValueError without `tls`."""
        self._secured()[1].load_cert_chain(identity.certificate, identity.key)

    def kubeconfig(
        self, path: Path, token: str | None = None, client: Certificate | None = None, context: str = CONTEXT
    ) -> Path:
        """Write a kubeconfig for this server."""
        return write_kubeconfig(path, self.url, self._tls.ca if self._tls else None, token, client, context)

    def service_account(self, directory: Path, token: str, namespace: str = "kube-system") -> Path:
        """Write token, ca.crt and namespace; again to rotate the token. ValueError without `tls`: pods speak HTTPS."""
        return write_service_account(directory, self._secured()[0].ca, token, namespace)

    async def _answer(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handler.answer(http)
        except ConnectionError:
            # The client left.
            raise
        except Exception as bug:
            self._bugs.append(bug)
            raise

    def _secured(self) -> tuple[Authority, ssl.SSLContext]:
        if self._tls is None or self._context is None:
            raise ValueError("this server speaks plain HTTP; give it tls=Authority(directory)")
        return self._tls, self._context


def _place(kind: str, namespace: str | None, name: str) -> tuple[Resource, str]:
    if kind not in BY_KIND:
        raise ValueError(f"{kind} is not served; one of {', '.join(BY_KIND)} is")
    return BY_KIND[kind], key(BY_KIND[kind], namespace, name)


def _known(resource: str | None) -> str | None:
    if resource is not None and resource not in RESOURCES:
        raise ValueError(f"{resource} is not served; one of {', '.join(RESOURCES)} is")
    return resource
