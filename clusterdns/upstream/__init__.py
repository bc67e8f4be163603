"""Upstream servers: which to ask, what is in flight, whether a reply is an answer.

Rule: pure. `now` and randomness are arguments; `net.exchange` does what is decided here.
"""
