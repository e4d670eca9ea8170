"""Index templates: only what the embedded OpenSearch can do, every anomaly field mapped, and errors said."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from pytest_httpserver import HTTPServer

from sentinel.anomaly import Anomaly
from sentinel.search_documents import index_action
from services.storage.search_templates import TEMPLATES, SearchTemplateError, install


def templates() -> dict[str, Any]:
    return {file.stem: json.loads(file.read_text()) for file in TEMPLATES.glob("*.json")}


def values(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        for value in node.values():
            yield from values(value, key)


def test_all_templates_are_installed(httpserver: HTTPServer) -> None:
    for name, body in templates().items():
        httpserver.expect_request(f"/_index_template/sentinel-{name}", method="PUT", json=body).respond_with_json({"acknowledged": True})
    assert install(httpserver.url_for("")) == ["sentinel-anomalies"]
    httpserver.check_assertions()


def test_a_refusal_is_said(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/_index_template/sentinel-anomalies").respond_with_data("no such analyzer", 400)
    with pytest.raises(SearchTemplateError, match="index template sentinel-anomalies: OpenSearch answered 400: no such analyzer"):
        install(httpserver.url_for(""))


def test_opensearch_away() -> None:
    with pytest.raises(SearchTemplateError, match=r"OpenSearch at http://127\.0\.0\.1:1"):
        install("http://127.0.0.1:1")


@pytest.mark.parametrize("template", templates().values(), ids=templates())
def test_only_the_standard_analyzer_and_no_replica(template: dict[str, Any]) -> None:
    assert set(values(template, "analyzer")) == {"standard"}
    assert list(values(template, "number_of_replicas")) == [0]
    assert "analysis" not in template["template"]["settings"]


def test_every_field_of_an_anomaly_has_a_place() -> None:
    mapped = set(templates()["anomalies"]["template"]["mappings"]["properties"])
    fields = {field.encode_name for field in msgspec.structs.fields(Anomaly)}
    assert fields - mapped == {"update"}


def test_a_first_record_never_takes_the_place_of_an_update() -> None:
    """A finding of a known anomaly comes to the topic before correlation has counted it: with an older count and status."""
    first = Anomaly(
        anomaly_id="a", timestamp="2026-01-02T03:04:05.000Z", detector_id="d", detector_type="rule", severity="warning", score=0.5,
        application_id="chat", tenant_id="t", status="active", first_seen="2026-01-02T03:04:05.000Z", last_seen="2026-01-02T03:04:05.000Z",
    )  # fmt: skip
    update = msgspec.structs.replace(first, update=True, status="suppressed")
    places = [index_action(record.to_json().decode())[0]["index"] for record in (first, update)]
    assert [place["version_type"] for place in places] == ["external_gte"] * 2
    assert places[0]["version"] < places[1]["version"]
    assert {(place["_index"], place["_id"]) for place in places} == {("sentinel-anomalies-2026.01", "a")}
