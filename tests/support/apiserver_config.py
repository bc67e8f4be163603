"""What a client of the fake API server is configured with: a kubeconfig, a service account's directory."""

import base64
from pathlib import Path
from typing import Any

import yaml

from tests.support.apiserver_identity import Certificate

# Organizing Cluster Access Using kubeconfig Files: any name will do.
CONTEXT = "fake"


def write_kubeconfig(
    path: Path, url: str, ca: Path | None, token: str | None, client: Certificate | None, context: str
) -> Path:
    """One cluster, user and context of the same name, which is the current one."""
    cluster = {"server": url, **({"certificate-authority-data": _base64(ca)} if ca else {})}
    user: dict[str, Any] = {"token": token} if token else {}
    if client:
        user |= {"client-certificate": str(client.certificate), "client-key": str(client.key)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def write_service_account(directory: Path, ca: Path, token: str, namespace: str) -> Path:
    """The files of a projected volume (Configure Service Accounts for Pods); again for a rotated token."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in (("token", token), ("ca.crt", ca.read_text()), ("namespace", namespace)):
        # A reader sees the old content or the new, as the kubelet does it.
        fresh = directory / f".{name}"
        fresh.write_text(content)
        fresh.replace(directory / name)
    return directory


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
