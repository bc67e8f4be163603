"""The benchmark: CPU time per query against a C loop that only receives and sends. docs/performance.md says how."""
