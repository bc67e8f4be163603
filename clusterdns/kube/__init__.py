"""Kubernetes objects to DNS records: trimmed objects, the store, the lookup.

Rule: pure. Objects come in as events, questions as names; no clock, no I/O, and no raw dict behind `manifest`.
"""
