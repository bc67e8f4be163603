"""fieldSelector and labelSelector: which objects a list or a watch is about.

Field Selectors; Labels and Selectors: API. Written apart from the server's own selectors, so that neither
hides a mistake of the other.
"""

import re
from collections.abc import Callable

from tests.support.apiserver_objects import Stored
from tests.support.apiserver_resources import Resource
from tests.support.apiserver_status import bad_request

Selector = Callable[[Stored], bool]

_FIELD = re.compile(r"([\w.]+)(!=|==|=)(.*)")
# A comma within parentheses does not end a requirement.
_BETWEEN = re.compile(r",(?![^(]*\))")
_ANY_OF = re.compile(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)")
_EQUAL = re.compile(r"([^\s!=]+)\s*(!=|==|=)\s*(\S*)")


def selector(fields: str, labels: str, resource: Resource) -> Selector:
    """Of the two parameters' text, empty selecting all. Raises StatusError."""
    terms = [_field(term, fields, labels, resource) for term in filter(None, fields.split(","))]
    terms += [_label(term.strip()) for term in filter(None, _BETWEEN.split(labels))]
    return lambda version: all(term(version) for term in terms)


def _field(term: str, fields: str, labels: str, resource: Resource) -> Selector:
    read = _FIELD.fullmatch(term)
    if read is None:
        raise bad_request(f"invalid selector: '{fields}'; can't understand '{term}'")
    name, operator, value = read.groups()
    if name not in ("metadata.name", "metadata.namespace", *resource.fields):
        what = f'"{resource.group}/{resource.version}, Resource={resource.plural}" that match label selector "{labels}"'
        raise bad_request(f'Unable to find {what}, field selector "{fields}": field label not supported: {name}')
    return lambda version: (version.fields[name] == value) is (operator != "!=")


def _label(term: str) -> Selector:
    if read := _ANY_OF.fullmatch(term):
        name, operator, values = read.groups()
        wanted = {value.strip() for value in values.split(",")}
        return lambda version: (_labels(version).get(name) in wanted) is (operator == "in")
    if read := _EQUAL.fullmatch(term):
        name, operator, value = read.groups()
        return lambda version: (_labels(version).get(name) == value) is (operator != "!=")
    if re.search(r"[\s=()]", term):
        raise bad_request(f"unable to parse requirement: {term}")
    return lambda version: (term.removeprefix("!") in _labels(version)) is not term.startswith("!")


def _labels(version: Stored) -> dict[str, str]:
    return version.metadata.get("labels") or {}
