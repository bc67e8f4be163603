"""What a list or watch asks for: the query and the Accept header, read and checked as the API server does.

API reference: Common parameters; API concepts: Resource versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.apiserver_objects import Form
from tests.support.apiserver_resources import Resource
from tests.support.apiserver_selectors import Selector, selector
from tests.support.apiserver_status import bad_request, invalid

NOT_OLDER_THAN = "NotOlderThan"
EXACT = "Exact"


@dataclass(frozen=True, slots=True)
class Options:
    """`revision` None: not given. `timeout` in seconds, None: no end. `limit` 0: all.

    `initial` is sendInitialEvents. `selective`: a selector was given.
    """

    form: Form
    revision: int | None
    match: str
    limit: int
    token: str
    initial: bool | None
    bookmarks: bool
    timeout: float | None
    selects: Selector
    selective: bool


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Of a boolean parameter: `?watch` and `?watch=1` are true."""
    return query.get(name, "false").lower() not in ("false", "0")


def options(resource: Resource, query: Mapping[str, str], accept: str, streaming_list: bool) -> Options:
    """Raises StatusError. `streaming_list`: the server has the WatchList feature."""
    fields, labels = query.get("fieldSelector", ""), query.get("labelSelector", "")
    asked = Options(
        form=Form.METADATA if "as=PartialObjectMetadata" in accept else Form.WHOLE,
        revision=_number(query, "resourceVersion"),
        match=query.get("resourceVersionMatch", ""),
        limit=_number(query, "limit") or 0,
        token=query.get("continue", ""),
        initial=is_true(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
        bookmarks=is_true(query, "allowWatchBookmarks"),
        timeout=_number(query, "timeoutSeconds"),
        selects=selector(fields, labels, resource),
        selective=bool(fields or labels),
    )
    causes = _watch_causes(asked, streaming_list) if is_true(query, "watch") else _list_causes(asked)
    if causes:
        raise invalid(causes)
    return asked


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if text and not text.isdecimal():
        raise bad_request(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text) if text else None


def _list_causes(asked: Options) -> list[tuple[str, str]]:
    name = "resourceVersionMatch"
    rules = (
        (asked.match and asked.revision is None, name, f"{name} is forbidden unless resourceVersion is provided"),
        (asked.match and asked.token, name, f"{name} is forbidden when continue is provided"),
        (asked.match not in ("", EXACT, NOT_OLDER_THAN), name, f"{name} must be Exact or NotOlderThan"),
        (
            asked.match == EXACT and asked.revision == 0,
            name,
            f'{name} "exact" is forbidden for resourceVersion "0"',
        ),
        (asked.initial is not None, "sendInitialEvents", "sendInitialEvents is forbidden for list"),
    )
    return [(field, message) for wrong, field, message in rules if wrong]


def _watch_causes(asked: Options, streaming_list: bool) -> list[tuple[str, str]]:
    match, initial = "resourceVersionMatch", "sendInitialEvents"
    given = asked.initial is not None
    rules = (
        (
            given and asked.match != NOT_OLDER_THAN,
            match,
            f"{initial} requires setting {match} to {NOT_OLDER_THAN}",
        ),
        (
            given and not streaming_list,
            initial,
            f"{initial} is forbidden for watch unless the WatchList feature gate is enabled",
        ),
        (asked.match and not given, match, f"{match} is forbidden for watch unless {initial} is provided"),
    )
    return [(field, message) for wrong, field, message in rules if wrong]
