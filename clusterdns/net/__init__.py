"""Sockets: packets in, replies out. What to answer is decided below; here it is received, sent and timed.

Rule: OS errors are translated once, here.
"""
