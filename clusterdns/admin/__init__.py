"""HTTP for operators: health and readiness.

Rule: it shows what it is given through a protocol, decides nothing about answers, and never imports net or sources.
"""
