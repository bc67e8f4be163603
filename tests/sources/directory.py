"""A directory of manifests, the source that reads it, and what the source has made of it so far."""

import os
from pathlib import Path

from clusterdns.kube.objects import Delete, Event, Kind, Object, Synced, Upsert, identity
from clusterdns.sources.manifests import Manifests


class Directory:
    """`served` is what the events add up to; a Delete of what is not served is a KeyError."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.manifests = Manifests([str(path)])
        self.served: dict[tuple[Kind, str, str], Object] = {}

    def write(self, name: str, text: str) -> None:
        """Write a file in place: the inode stays."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def events(self) -> list[str]:
        """Scan; `Upsert NAME`, `Delete NAME` or `Synced` for each event."""
        return [self._take(event) for event in self.manifests.scan().events]

    def complaints(self) -> list[str]:
        """Scan; paths relative to the directory."""
        change = self.manifests.scan()
        for event in change.events:
            self._take(event)
        return [line.replace(f"{self.path}{os.sep}", "") for line in change.complaints]

    def addresses(self, name: str) -> list[str]:
        """Cluster addresses of a Service of `default` as it is served."""
        found = self.served.get((Kind.SERVICE, "default", name))
        return [".".join(map(str, address)) for address in found.addresses] if found else []

    def _take(self, event: Event) -> str:
        if isinstance(event, Upsert):
            self.served[identity(event.object)] = event.object
            return f"Upsert {event.object.name}"
        if isinstance(event, Delete):
            del self.served[event.kind, event.namespace, event.name]
            return f"Delete {event.name}"
        assert isinstance(event, Synced)
        return "Synced"
