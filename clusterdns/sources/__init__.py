"""Where objects come from. Every source speaks `Upsert | Delete | Synced`; one `Store.apply` takes them.

Rule: a source reads and compares, it never decides what a name means. What it cannot use it names in a complaint,
and it keeps the last good state: nothing on disk or on the wire can make it raise.
"""
