"""Bytes to values and back: the only package that knows the DNS wire format (RFC 1035, 6891).

Rule: pure functions of bytes. Parsing raises QueryError and nothing else, in a bounded number of steps.
"""
