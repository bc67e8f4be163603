"""Fakes with real protocols, the conformance rows, namespaces and server processes that the tests run on."""
