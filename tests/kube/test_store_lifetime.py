"""A store that a reload has done away with is let go at once: the collector hardly ever looks."""

import gc
import weakref

from clusterdns.kube.objects import Synced
from clusterdns.kube.store import Store


def test_nothing_keeps_a_store_alive_but_who_holds_it():
    gc.disable()
    try:
        store = Store()
        store.apply(Synced(), 1)
        seen = weakref.ref(store)
        del store
        assert seen() is None
    finally:
        gc.enable()
