"""How the API server is reached: every form of credentials, and their change without a restart."""

import json
import stat
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.access import Access
from clusterdns.sources.refusals import AccessError
from tests.sources.apiserver_followed import KINDS, NAMESPACE, Followed, running, service
from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_identity import Authority

NAMES = "/api/v1/namespaces"
TIMEOUT = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def api(authority):
    with FakeAPIServer([NAMESPACE, service("web")], tls=authority, tokens={"secret"}) as server:
        yield server


def asks(access: Access) -> str:
    """The names of the namespaces."""
    items = json.loads(access.read(NAMES, {}, TIMEOUT))["items"]
    return " ".join(item["metadata"]["name"] for item in items)


def in_cluster(api: FakeAPIServer, directory: Path) -> Access:
    return Access(SourceSpec(), directory, api.environment)


def test_a_pod_uses_its_service_account(api, tmp_path):
    access = in_cluster(api, api.service_account(tmp_path, "secret"))
    assert asks(access) == "default"
    assert api.requests[-1].token == "secret"
    assert api.requests[-1].headers["User-Agent"] == "clusterdns"


def test_a_token_with_a_line_break_behind_it_is_a_good_one(api, tmp_path):
    assert asks(in_cluster(api, api.service_account(tmp_path, "secret\n"))) == "default"


def test_a_token_that_no_header_may_have_is_not_quoted(api, tmp_path):
    with pytest.raises(AccessError, match="characters that no HTTP header may have") as caught:
        asks(in_cluster(api, api.service_account(tmp_path, "sec\nret")))
    assert "sec\nret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_rotated_token_counts_from_the_next_request_on(api, tmp_path):
    access = in_cluster(api, api.service_account(tmp_path, "secret"))
    assert asks(access) == "default"
    api.set_tokens({"secret", "newer"})
    api.service_account(tmp_path, "newer")
    assert asks(access) == "default"
    assert [each.token for each in api.requests] == ["secret", "newer"]


def test_a_rotated_authority_counts_from_the_next_connection_on(api, tmp_path):
    access = in_cluster(api, api.service_account(tmp_path, "secret"))
    assert asks(access) == "default"
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "ca.crt").write_text(Authority(other).ca.read_text())
    with pytest.raises(AccessError, match="certificate verify failed") as caught:
        asks(access)
    assert not caught.value.secure


def test_endpoint_and_tls_files_that_are_replaced(api, authority, tmp_path):
    alice, bob = authority.issue("alice"), authority.issue("bob")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    spec = SourceSpec(endpoint=api.url, tls=(str(certificate), str(key), str(authority.ca)))
    access = Access(spec)
    for who, name in ((alice, "alice"), (bob, "bob")):
        certificate.write_bytes(who.certificate.read_bytes())
        key.write_bytes(who.key.read_bytes())
        assert asks(access) == "default"
        assert api.requests[-1].certificate == name


def test_a_kubeconfig_that_changes(api, tmp_path):
    path = api.kubeconfig(tmp_path / "config", token="secret", context="here")
    access = Access(SourceSpec(kubeconfig=str(path), context="here"))
    assert asks(access) == "default"
    api.set_tokens({"secret", "newer"})
    api.kubeconfig(path, token="newer", context="here")
    assert asks(access) == "default"
    assert [each.token for each in api.requests] == ["secret", "newer"]


def test_the_token_file_of_a_kubeconfig_that_changes(api, tmp_path):
    path = api.kubeconfig(tmp_path / "config", token="unused")
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = {"tokenFile": "token"}
    path.write_text(yaml.safe_dump(config))
    (tmp_path / "token").write_text("secret")
    access = Access(SourceSpec(kubeconfig=str(path)))
    assert asks(access) == "default"
    api.set_tokens({"secret", "newer"})
    (tmp_path / "token").write_text("newer\n")
    assert asks(access) == "default"
    assert [each.token for each in api.requests] == ["secret", "newer"]


def with_plugin(api: FakeAPIServer, directory: Path, script: str) -> Access:
    """A kubeconfig whose user is a program."""
    program = directory / "plugin"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = api.kubeconfig(directory / "config", token="unused")
    config = yaml.safe_load(path.read_text())
    version = "client.authentication.k8s.io/v1"
    plugin = {"apiVersion": version, "command": str(program), "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": plugin}
    path.write_text(yaml.safe_dump(config))
    return Access(SourceSpec(kubeconfig=str(path)))


PLUGIN = """
import json, pathlib
token = pathlib.Path(__file__).with_name("issued").read_text()
print(json.dumps({
    "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": token}
}))
"""


def test_a_401_runs_the_exec_plugin_again_at_once(api, tmp_path):
    (tmp_path / "issued").write_text("secret")
    access = with_plugin(api, tmp_path, PLUGIN)
    assert asks(access) == "default"
    api.set_tokens({"newer"})
    (tmp_path / "issued").write_text("newer")
    assert asks(access) == "default"
    assert [each.token for each in api.requests] == ["secret", "secret", "newer"]


def test_an_exec_plugin_that_fails_is_named(api, tmp_path):
    access = with_plugin(api, tmp_path, "raise SystemExit(3)")
    with pytest.raises(AccessError, match="exec plugin gave neither a token nor a certificate"):
        asks(access)
    assert api.requests == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ not: [yaml", "cannot tell how to reach it: "),
        ("[]", "cannot tell how to reach it: "),
        ("kind: Config", "cannot tell how to reach it: "),
        (None, "No such file or directory"),
    ],
)
def test_a_kubeconfig_that_is_none_is_named_until_it_is_one(api, tmp_path, text, words):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    access = Access(SourceSpec(kubeconfig=str(path)))
    with pytest.raises(AccessError, match=words) as caught:
        asks(access)
    assert f"(check the kubeconfig {path})" in str(caught.value)
    api.kubeconfig(path, token="secret")
    assert asks(access) == "default"


def test_without_any_way_to_the_server_it_says_what_to_give(tmp_path):
    with pytest.raises(AccessError, match="outside a cluster give endpoint, kubeconfig or manifests"):
        asks(Access(SourceSpec(), tmp_path, {}))


# As the source says it, and for how long


def test_credentials_that_are_not_accepted_are_named_and_tried_for_ever(api, tmp_path):
    path = api.kubeconfig(tmp_path / "config", token="wrong")
    with running(Followed(SourceSpec(kubeconfig=str(path)))) as following:
        following.until(lambda: len(following.complaints) == len(KINDS))
        for resource in ("endpointslices", "namespaces", "services"):
            line = (
                f"kubernetes API: cannot watch {resource}: 401 Unauthorized: Unauthorized; the token or certificate is "
                "not accepted: check the service account or the kubeconfig"
            )
            assert line in following.complaints
            assert f"{resource}: 401 Unauthorized: Unauthorized" in following.source.missing()
        asked = len(api.requests)
        api.wait(lambda: len(api.requests) > asked + 10)
        api.set_tokens({"wrong"})
        following.until(following.synced)


def test_an_expired_certificate_is_named_and_tried_for_ever(api, authority, tmp_path):
    api.set_identity(authority.issue("kube-apiserver", days=-1))
    account = api.service_account(tmp_path, "secret")
    connect = partial(Access, SourceSpec(), account, api.environment)
    with running(Followed(SourceSpec(), connect=connect)) as following:
        following.until(lambda: len(following.complaints) == len(KINDS))
        assert all(
            "certificate has expired" in line
            and line.startswith("kubernetes API: cannot watch ")
            and line.endswith("; check the CA and the dates of the certificates, and the clock of this machine")
            for line in following.complaints
        )
        assert all("certificate has expired" in text for text in following.source.missing())
        api.set_identity(authority.issue("kube-apiserver"))
        following.until(following.synced)
        assert following.source.missing() == []


def test_a_token_that_is_rotated_reaches_the_next_watch(api, tmp_path):
    account = api.service_account(tmp_path, "secret")
    connect = partial(Access, SourceSpec(), account, api.environment)
    with running(Followed(SourceSpec(), connect=connect)) as following:
        following.until(following.synced)
        api.wait(lambda: len(api.watchers()) == len(KINDS))
        api.set_tokens({"newer"})
        api.service_account(account, "newer")
        api.end_watches()
        api.put(service("later"))
        following.until(lambda: following.address("later"))
        assert following.complaints == []
        assert api.requests[-1].token == "newer"
