"""Why the API server could not be asked: errors of HTTP, TLS and sockets become ours here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from kubernetes.client import ApiException

from clusterdns.errors import ClusterDNSError
from clusterdns.kube.stream import status_message


class AccessError(ClusterDNSError):
    """The API server could not be asked.

    `status`: what it answered, 0 for no answer. `retry_after`: seconds. `secure` False: TLS failed.
    """

    def __init__(self, text: str, status: int = 0, retry_after: float = 0.0, secure: bool = True) -> None:
        super().__init__(text)
        self.status, self.retry_after, self.secure = status, retry_after, secure

    @property
    def credentials(self) -> bool:
        """May it go better with the credentials that are on disk now?"""
        return self.status == 401 or not self.secure


@contextmanager
def translated() -> Iterator[None]:
    """Raises AccessError for whatever the client raises."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        secure = not isinstance(error, urllib3.exceptions.SSLError)
        raise AccessError(_reason(error), secure=secure) from error
    except ApiException as error:
        # What the client makes of TLS errors: the class, and the message in the next line
        raise AccessError(str(error.reason).strip().rpartition("\n")[2], secure=False) from error
    except ValueError as error:
        # http.client's message quotes the header, and this one is secret
        wrong_token = str(error).startswith("Invalid header value")
        text = "the token has characters that no HTTP header may have" if wrong_token else str(error)
        raise AccessError(text) from None
    except OSError as error:
        raise AccessError(str(error)) from error


def refused(response: urllib3.HTTPResponse, body: bytes) -> AccessError:
    """What an answer other than 200 says."""
    after = response.headers.get("Retry-After", "")
    text = f"{response.status} {response.reason}: {status_message(body).strip()}"
    return AccessError(text, response.status, float(after) if after.isdigit() else 0.0)


def _reason(error: BaseException) -> str:
    """The innermost cause says it best: `certificate has expired`, `Connection refused`."""
    while (cause := getattr(error, "reason", None) or error.__cause__) is not None and isinstance(cause, BaseException):
        error = cause
    return str(error) or type(error).__name__
