"""The fake API server as the official client finds it."""

import json

import pytest
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config
from kubernetes.config.incluster_config import InClusterConfigLoader

from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_client import SERVICES, obj
from tests.support.apiserver_identity import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


# Accessing the Kubernetes API from a Pod: directly accessing the REST API
def test_the_official_client_finds_the_server_as_a_pod_does(authority, tmp_path):
    with FakeAPIServer([obj("a")], tls=authority, tokens={"t"}) as api:
        account = api.service_account(tmp_path / "serviceaccount", "t")
        assert (account / "namespace").read_text() == "kube-system"
        files = (str(account / "token"), str(account / "ca.crt"))
        configuration = Configuration()
        InClusterConfigLoader(*files, environ=api.environment).load_and_set(configuration)
        assert [item["metadata"]["name"] for item in official_list(configuration)["items"]] == ["a"]
        assert api.requests[-1].token == "t"


# Organizing Cluster Access Using kubeconfig Files
@pytest.mark.parametrize("by", ["token", "certificate"])
def test_the_official_client_lists_and_watches_with_a_kubeconfig(authority, tmp_path, by):
    credentials = {"token": "t"} if by == "token" else {"client": authority.issue("alice")}
    with FakeAPIServer([obj("a")], tls=authority, tokens={"t"}, gzip_from=1) as api:
        file = api.kubeconfig(tmp_path / "config", context="here", **credentials)
        configuration = Configuration()
        load_kube_config(str(file), context="here", client_configuration=configuration)
        listed = official_list(configuration)
        assert (listed["kind"], listed["items"][0]["metadata"]["name"]) == ("ServiceList", "a")
        query = [("watch", "true"), ("resourceVersion", listed["metadata"]["resourceVersion"])]
        with ApiClient(configuration) as client:
            stream = official_call(client, query)
            api.put(obj("b"))
            api.end_watches()
            body = b"".join(stream.read_chunked(decode_content=True))
        assert json.loads(body)["object"]["metadata"]["name"] == "b"


def official_list(configuration):
    with ApiClient(configuration) as client:
        response = official_call(client, [("limit", "500")], {"Accept-Encoding": "gzip"})
        return json.loads(response.read(decode_content=True))


def official_call(client, query, headers=None):
    """The raw urllib3 response, not read."""
    method, url, sent, *_ = client.param_serialize(
        "GET",
        SERVICES,
        query_params=query,
        header_params={"Accept": "application/json", **(headers or {})},
        auth_settings=["BearerToken"],
    )
    return client.call_api(method, url, header_params=sent, _request_timeout=(5, 10)).response
