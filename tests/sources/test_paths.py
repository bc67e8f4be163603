"""Which files are read: directories, links, and what cannot be read."""

import os

import pytest

from clusterdns.kube.objects import Synced
from clusterdns.sources.listing import MAX_BYTES, MAX_ENTRIES, content, walk
from clusterdns.sources.manifests import Manifests
from tests.sources.objects import as_list, documents, service


def _touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n")


def _files(*roots):
    """Files that a walk finds, relative to the first root."""
    return [os.path.relpath(seen.path, roots[0]) for seen in walk(map(str, roots)) if seen.signature]


def test_a_directory_gives_its_manifests_sorted_and_nothing_hidden(tmp_path):
    _touch(tmp_path, "b.yml", "a.yaml", "c.json", "notes.txt", ".hidden.yaml", ".git/x.yaml", "..data/x.yaml")
    _touch(tmp_path, "ab/z.yaml", "ab/deep/y.json", "d.yaml/inner.yaml")
    assert _files(tmp_path) == ["a.yaml", "ab/deep/y.json", "ab/z.yaml", "b.yml", "c.json", "d.yaml/inner.yaml"]


def test_a_file_is_read_whatever_it_is_called(tmp_path):
    _touch(tmp_path, ".objects", "b.yaml")
    assert _files(tmp_path / ".objects", tmp_path / "b.yaml") == [".", "../b.yaml"]


def test_links_are_followed_and_a_circle_ends(tmp_path):
    _touch(tmp_path, "real/a.yaml")
    os.symlink("real", tmp_path / "alias")
    os.symlink("..", tmp_path / "real" / "up")
    os.symlink("real/a.yaml", tmp_path / "z.yaml")
    assert _files(tmp_path) == ["alias/a.yaml", "z.yaml"]


def test_a_file_that_changes_between_its_stat_and_its_reading_is_left_for_the_next_scan(tmp_path):
    _touch(tmp_path, "a.yaml")
    (seen,) = walk([str(tmp_path / "a.yaml")])
    assert content(seen) == b"---\n"
    (tmp_path / "a.yaml").write_text("half of it")
    assert content(seen) is None


def test_a_walk_is_bounded(tmp_path):
    names = [f"{n:05}.yaml" for n in range(MAX_ENTRIES + 1)]
    for name in names:
        os.symlink("/dev/null", tmp_path / name)
    seen = walk([str(tmp_path)])
    assert len(seen) == MAX_ENTRIES + 1
    assert f"more than {MAX_ENTRIES} files" in seen[-1].trouble


def test_the_path_of_a_mounted_config_map_is_swapped_as_a_whole(directory):
    def publish(version, **files):
        for name, text in files.items():
            directory.write(f"..{version}/{name}.yaml", text)
        os.symlink(f"..{version}", directory.path / "..data_tmp")
        os.replace(directory.path / "..data_tmp", directory.path / "..data")

    publish("1", web=documents(service("web", "10.0.0.1")), api=documents(service("api", "10.0.0.5")))
    for name in ("web", "api"):
        os.symlink(f"..data/{name}.yaml", directory.path / f"{name}.yaml")
    assert directory.events() == ["Upsert default", "Upsert api", "Upsert web", "Synced"]
    publish("2", web=documents(service("web", "10.0.0.2")), api=documents(service("api", "10.0.0.5")))
    assert directory.events() == ["Upsert web"]
    assert directory.addresses("web") == ["10.0.0.2"]


def _missing(path):
    path.unlink()


def _dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def _circular(path):
    path.unlink()
    path.symlink_to(path.name)


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _huge(path):
    # Sparse: takes no room
    os.truncate(path, MAX_BYTES + 1)


def _failing(path):
    # A regular file of which no byte can be read, even by root
    path.unlink()
    path.symlink_to("/proc/self/mem")


TROUBLES = [
    (_missing, "cannot be read: No such file or directory; create it, or correct the path"),
    (_dangling, "cannot be read: No such file or directory; create it, or correct the path"),
    (_circular, "cannot be read: Too many levels of symbolic links; check the path"),
    (_pipe, "is neither a file nor a directory"),
    (_huge, "is larger than 256 MiB"),
    (_failing, "cannot be read: Input/output error; check the path"),
]


@pytest.mark.parametrize(("spoil", "why"), TROUBLES)
def test_a_path_that_cannot_be_read_is_named_and_its_objects_stay(tmp_path, spoil, why):
    path = tmp_path / "a.json"
    path.write_text(as_list(service("web")))
    manifests = Manifests([str(path)])
    assert len(manifests.scan().events) == 2
    spoil(path)
    change = manifests.scan()
    assert change.events == []
    assert [line for line in change.complaints if line.startswith(f"{path}: {why}")] == change.complaints != []
    assert change.complete
    assert manifests.scan().complaints == []
    path.unlink(missing_ok=True)
    path.write_text(as_list(service("web")))
    change = manifests.scan()
    assert (change.events, change.complaints) == ([], [f"{path}: is good again"])


@pytest.mark.parametrize(("spoil", "why"), TROUBLES[1:])
def test_a_file_of_a_directory_that_cannot_be_read_keeps_its_objects(directory, spoil, why):
    directory.write("a.json", as_list(service("web")))
    directory.events()
    spoil(directory.path / "a.json")
    (complaint,) = directory.complaints()
    assert complaint.startswith(f"a.json: {why}")
    assert directory.addresses("web") == ["10.96.0.20"]
    directory.remove("a.json")
    assert directory.complaints() == []
    assert directory.addresses("web") == []


def test_a_directory_that_vanishes_keeps_its_objects_and_complains(directory):
    directory.write("sub/a.yaml", documents(service("web")))
    directory.events()
    hidden = directory.path.with_name("elsewhere")
    directory.path.rename(hidden)
    (complaint,) = directory.manifests.scan().complaints
    assert complaint.startswith(f"{directory.path}: cannot be read: No such file")
    assert directory.addresses("web") == ["10.96.0.20"]
    hidden.rename(directory.path)
    assert directory.events() == []


def test_a_subdirectory_that_is_removed_takes_its_objects_with_it(directory):
    directory.write("sub/a.yaml", documents(service("web")))
    directory.events()
    directory.remove("sub/a.yaml")
    (directory.path / "sub").rmdir()
    assert directory.events() == ["Delete web"]


def test_complete_only_when_every_path_has_been_listed(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second"
    first.write_text("not: [valid")
    manifests = Manifests([str(first), f"{second}/"])
    change = manifests.scan()
    assert (change.complete, change.events) == (False, [])
    assert [line.partition(":")[0] for line in change.complaints] == [str(first), str(second)]
    second.mkdir()
    change = manifests.scan()
    assert (change.complete, change.events) == (True, [Synced()])
    second.rmdir()
    change = manifests.scan()
    assert (change.complete, change.events) == (True, [])


def test_a_file_that_two_paths_name_is_read_once(directory):
    directory.write("a.yaml", documents(service("web")))
    directory.manifests = Manifests([str(directory.path), str(directory.path / "a.yaml")])
    assert directory.complaints() == []
    assert directory.addresses("web") == ["10.96.0.20"]


@pytest.mark.parametrize(("name", "shown"), [(b"a\n[ERROR].yaml", "a\\n[ERROR].yaml"), (b"\xff.yaml", "\\udcff.yaml")])
def test_a_file_name_cannot_forge_a_line_of_the_log(directory, name, shown):
    with open(os.path.join(os.fsencode(directory.path), name), "w") as file:
        file.write("a: b: c")
    (complaint,) = directory.complaints()
    assert complaint.startswith(f"{shown}:1:")
