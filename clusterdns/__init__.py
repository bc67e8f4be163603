"""clusterdns: a DNS server for Kubernetes clusters. docs/ARCHITECTURE.md is the map."""

__version__ = "0.1.0"
