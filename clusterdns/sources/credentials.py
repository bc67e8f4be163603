"""Address, token and certificates of an API server, and whether their files have changed since they were read."""

import hashlib
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_kube_config
from kubernetes.config.incluster_config import InClusterConfigLoader

from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.refusals import AccessError

# Where a pod finds its credentials (Kubernetes: "Accessing the Kubernetes API from a Pod")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Milliseconds without an acknowledgement after which the kernel gives a connection up
_USER_TIMEOUT = 30_000
# What the client lets through for a file that is no kubeconfig
_UNREADABLE = (ConfigException, OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError)


class Credentials:
    """`account`: the directory of the service account. `environ`: what a pod is told of its cluster."""

    def __init__(self, source: SourceSpec, account: Path, environ: Mapping[str, str]) -> None:
        self._source, self._account, self._environ = source, account, environ
        # Path -> digest when it was read
        self._read: dict[str, bytes] = {}

    def load(self) -> Configuration:
        """As they are on disk now; the client runs the exec plugin of a kubeconfig.  Raises AccessError."""
        configuration = _bare()
        try:
            self._read = _digests(self._texts())
            self._fill(configuration)
        except _UNREADABLE as error:
            raise AccessError(
                f"cannot tell how to reach it: {error or type(error).__name__} ({self._advice})"
            ) from error
        # These are read with each connection, whatever they are called
        files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
        self._read |= _digests(path for path in files if path)
        return configuration

    def changed(self) -> bool:
        """Since `load`. By content: these files are small, requests are rare, and times have gaps."""
        return _digests(self._read) != self._read

    @property
    def _advice(self) -> str:
        if self._source.kubeconfig:
            return f"check the kubeconfig {self._source.kubeconfig}"
        return "outside a cluster give endpoint, kubeconfig or manifests"

    def _texts(self) -> list[str]:
        """The files of which the content itself is sent or says what to do."""
        if self._source.kubeconfig:
            token = _user(self._source).get("tokenFile")
            beside = Path(self._source.kubeconfig).absolute().parent
            return [self._source.kubeconfig, *([str(beside / token)] if token else [])]
        return [] if self._source.endpoint else [str(self._account / "token")]

    def _fill(self, configuration: Configuration) -> None:
        source = self._source
        if source.kubeconfig:
            load_kube_config(source.kubeconfig, source.context or None, configuration, persist_config=False)  # type: ignore[no-untyped-call]
            if "exec" in _user(source) and not (configuration.api_key or configuration.cert_file):
                raise ConfigException("its exec plugin gave neither a token nor a certificate; see the line before")
        elif source.endpoint:
            configuration.host = source.endpoint
            if source.tls:
                configuration.cert_file, configuration.key_file, configuration.ssl_ca_cert = source.tls
        else:
            files = (str(self._account / "token"), str(self._account / "ca.crt"))
            # Its own refresh looks once a minute
            InClusterConfigLoader(*files, False, self._environ).load_and_set(configuration)  # type: ignore[no-untyped-call]


def _bare() -> Configuration:
    configuration = Configuration()
    # Its own retries come at once and in threes; ours wait longer each time
    configuration.retries = False
    configuration.socket_options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT),
    ]
    return configuration


def _user(source: SourceSpec) -> Mapping[str, Any]:
    """The `user` of the chosen context of a kubeconfig, empty for none; what is wrong with it is the client's to
    say."""
    config = yaml.safe_load(Path(source.kubeconfig).read_text())
    try:
        chosen = source.context or config["current-context"]
        (name,) = (each["context"]["user"] for each in config["contexts"] if each["name"] == chosen)
        (user,) = (each["user"] for each in config["users"] if each["name"] == name)
        return dict(user or {})
    except (LookupError, TypeError, ValueError):
        return {}


def _digests(paths: Iterable[str]) -> dict[str, bytes]:
    return {path: _digest(Path(path)) for path in paths}


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
