"""The chain: one file per directive, called what the Corefile calls it, in the order of `order.py`.

Rule: pure. A handler is a generator that returns a reply or yields an effect; it never does I/O. What lies outside
the memo's key (the client, the transport, EDNS options) comes through the `Context` only, and reading it is noticed.
"""
