"""The body of a list: a page of a collection at one revision.

API concepts: Retrieving large results sets in chunks, and the semantics of resourceVersion for get and list.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.support.apiserver_objects import META_GROUP, Form, Stored, item
from tests.support.apiserver_options import EXACT, Options
from tests.support.apiserver_resources import Resource
from tests.support.apiserver_status import StatusError, bad_request, continue_expired, list_expired, too_large
from tests.support.apiserver_store import CompactedError, Store

# In a continue token: go on with the newest state, consistent or not.
_NEWEST = -1


def listing(store: Store, resource: Resource, asked: Options) -> bytes:
    """The whole body. Raises StatusError."""
    revision, start = _position(store, asked)
    try:
        state = store.at(resource, revision)
    except CompactedError as error:
        raise _expired(asked, start) from error
    wanted = [version for version in state if version.key >= start and asked.selects(version)]
    # resourceVersion=0 is served from the watch cache, which takes no notice of a limit.
    limit = 0 if asked.revision == 0 else asked.limit
    return _body(resource, asked, revision, wanted, limit)


def _position(store: Store, asked: Options) -> tuple[int, str]:
    """The revision to show and the key to begin with."""
    if asked.token:
        return _continued(store, asked)
    if asked.revision is not None and asked.revision > store.revision:
        raise too_large(asked.revision, store.revision)
    # Before resourceVersionMatch there was, a limit meant Exact.
    exact = asked.match == EXACT or (asked.match == "" and asked.limit > 0)
    return (asked.revision if exact and asked.revision else store.revision), ""


def _continued(store: Store, asked: Options) -> tuple[int, str]:
    if asked.revision is not None:
        raise bad_request("specifying resource version is not allowed when using continue")
    revision, start = _read(asked.token)
    return (store.revision if revision == _NEWEST else revision), start


def _expired(asked: Options, start: str) -> StatusError:
    return continue_expired(_token(_NEWEST, start)) if asked.token else list_expired()


def _body(resource: Resource, asked: Options, revision: int, wanted: Sequence[Stored], limit: int) -> bytes:
    shown, rest = (wanted[:limit], wanted[limit:]) if limit else (wanted, [])
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if rest:
        # The octet after the last key shown, as etcd counts ranges.
        metadata["continue"] = _token(revision, shown[-1].key + "\0")
        if not asked.selective:
            metadata["remainingItemCount"] = len(rest)
    items = [item(version, asked.form) for version in shown]
    return msgspec.json.encode({**_named(resource, asked.form), "metadata": metadata, "items": items}) + b"\n"


def _named(resource: Resource, form: Form) -> dict[str, str]:
    if form is Form.METADATA:
        return {"kind": "PartialObjectMetadataList", "apiVersion": META_GROUP}
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}


def _token(revision: int, start: str) -> str:
    """Opaque to clients; this is the shape that real ones have, too."""
    text = json.dumps({"v": META_GROUP, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(token: str) -> tuple[int, str]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(read["rv"]), str(read["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
