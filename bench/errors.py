"""The one error of the benchmark."""


class BenchError(Exception):
    """The benchmark cannot run; the text is one line that says why and what to do."""
