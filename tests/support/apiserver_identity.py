"""A certificate authority of a test's own, by the openssl command: server and client certificates, expired ones too."""

import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Seconds; a key of this kind takes milliseconds.
_DEADLINE = 30.0
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """A CA whose files are in `directory`; `ca` is its certificate. Raises CalledProcessError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca = directory / "ca.crt"
        self._key = directory / "ca.key"
        usage = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        _openssl(
            "req", "-x509", *_KEY, *usage, "-keyout", self._key, "-out", self.ca, "-subj", "/CN=test-ca", "-days", "2"
        )

    def issue(self, name: str, days: int = 1) -> Certificate:
        """A new key and a certificate of the common name for 127.0.0.1 and localhost.

        It ends `days` from now, below 0 before it began: expired.
        """
        files = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._directory))
        made, request = Certificate(files / "tls.crt", files / "tls.key"), files / "tls.csr"
        where = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        _openssl("req", "-new", *_KEY, *where, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-CA", self.ca, "-CAkey", self._key, "-copy_extensions", "copy", "-days", str(days))
        _openssl("x509", "-req", "-in", request, *signer, "-out", made.certificate)
        return made

    def server_context(self, identity: Certificate) -> ssl.SSLContext:
        """Client certificates are optional and of this CA. A bad one fails the handshake, not with 401."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=_DEADLINE)
