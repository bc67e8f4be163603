"""The objects of several files -> one set of objects, and what in it contradicts itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from clusterdns.kube.objects import Delete, Event, Kind, Namespace, Service, Upsert
from clusterdns.sources.documents import Identity, title

Objects = Mapping[Identity, Upsert]


@dataclass(frozen=True, slots=True)
class Merged:
    """What is served, and complaints by what they are about (`Namespace x`)."""

    objects: Objects
    complaints: Mapping[str, str]


def merge(files: Mapping[str, Objects]) -> Merged:
    """`files`: path -> its objects, in the order in which they count: of two with one name the last is served."""
    objects: dict[Identity, Upsert] = {}
    origins: dict[Identity, str] = {}
    complaints: dict[str, str] = {}
    for path, found in files.items():
        for own in found:
            if own in origins:
                complaints[title(own)] = (
                    f"{path}: {title(own)}: metadata.name: is in {origins[own]} too; "
                    f"the one of {path} is served, remove the other"
                )
            origins[own] = path
        objects |= found
    complaints |= _shared_addresses(objects, origins) | _undeclared(objects, origins)
    return Merged(objects, complaints)


def events(before: Objects, after: Objects) -> list[Event]:
    """What turns `before` into `after`; nothing for an object whose DNS content and labels are the same."""
    # Most scans: not worth a look at 100,000 objects
    if before is after:
        return []
    gone: list[Event] = [Delete(*own) for own in before if own not in after]
    return gone + [upsert for own, upsert in after.items() if not _same(before.get(own), upsert)]


def _same(old: Upsert | None, new: Upsert) -> bool:
    return old is new or (old is not None and old.object == new.object and old.labels == new.labels)


def _shared_addresses(objects: Objects, origins: Mapping[Identity, str]) -> dict[str, str]:
    complaints: dict[str, str] = {}
    owners: dict[bytes, Identity] = {}
    for own, upsert in objects.items():
        for address in upsert.object.addresses if isinstance(upsert.object, Service) else ():
            first = owners.setdefault(address, own)
            if first != own:
                complaints[f"{title(first)} and {title(own)}"] = (
                    f"{origins[own]}: {title(own)}: spec.clusterIPs: has an address of {title(first)} "
                    f"({origins[first]}); both are served, give each its own"
                )
    return complaints


def _undeclared(objects: Objects, origins: Mapping[Identity, str]) -> dict[str, str]:
    """One complaint for each namespace, with the first object in it."""
    complaints: dict[str, str] = {}
    for own, upsert in objects.items():
        if isinstance(upsert.object, Namespace):
            continue
        namespace = (Kind.NAMESPACE, "", upsert.object.namespace)
        if namespace not in objects:
            text = (
                f"{origins[own]}: {title(own)}: metadata.namespace: {title(namespace)} is not declared, "
                "its names are NXDOMAIN; add a Namespace object"
            )
            complaints.setdefault(title(namespace), text)
    return complaints
