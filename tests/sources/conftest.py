import pytest

from tests.sources.directory import Directory
from tests.sources.objects import documents, namespace


@pytest.fixture
def directory(tmp_path):
    """A directory that declares the namespace `default`, not yet scanned."""
    made = Directory(tmp_path / "manifests")
    made.write("0.yaml", documents(namespace()))
    return made
