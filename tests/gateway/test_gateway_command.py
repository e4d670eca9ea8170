"""`sentinel gateway` as a command: TLS, what it refuses to start with, and that it says so."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import httpx
import pytest

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from services.cli.main import run
from tests.support.certificates import self_signed
from tests.support.doors import OpenDoors, event, lines


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        (
            "ingestion: {}",
            ["--host=0.0.0.0"],
            "without tokens the doors are open and listen on the loopback interface only, not on 0.0.0.0",
        ),
        ("ingestion: {protocols: {http: {maxBodySiz: 1MB}}}", [], "maxBodySize"),
        ("ingestion: {authentication: {tokens: [{tenants: [a], token: '${NOT_SET_ANYWHERE}'}]}}", [], "NOT_SET_ANYWHERE is not set"),
        ("ingestion: {authentication: {tokens: [{tenants: [a], token: in-plain-text}]}}", [], "expected a reference ${NAME}"),
        ("ingestion: {authentication: {tokens: [{tenants: [a]}]}}", [], "exactly one of sha256, token and tokenFile"),
        ("ingestion: {protocols: {http: {tls: {enabled: true}}}}", [], "ingestion.protocols.http.tls: cert and key are needed"),
        (
            "ingestion: {protocols: {amqp: {enabled: true}}}",
            ["--grpc-port=0", "--http-port=0", "--otlp-grpc-port=0", "--otlp-http-port=0"],
            "url or urlFile",
        ),
    ],
)
def test_what_it_does_not_start_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, arguments: list[str], said: str
) -> None:
    file = tmp_path / "sentinel-config.yaml"
    file.write_text(config)
    assert run(["gateway", f"--config={file}", "--bootstrap=127.0.0.1:1", f"--data={tmp_path}", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error and "in-plain-text" not in error


def test_tls_on_http_and_grpc(open_doors: OpenDoors, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    tls = {"tls": {"enabled": True, "cert": str(certificate), "key": str(key)}}
    doors = open_doors({"protocols": {"http": tls, "grpc": tls}})
    url = doors.url.replace("http:", "https:")
    trusted = ssl.create_default_context(cafile=str(certificate))
    headers = {"content-type": "application/x-ndjson"}
    assert httpx.post(f"{url}/api/v1/telemetry/events", content=lines([event()]), headers=headers, verify=trusted).status_code == 202
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{doors.url}/livez")
    with grpc.secure_channel(doors.grpc, grpc.ssl_channel_credentials(certificate.read_bytes())) as channel:
        answer = TelemetryIngestionStub(channel).HealthCheck(pb.HealthCheckRequest(), timeout=20)
    assert answer.status == pb.HealthCheckResponse.SERVING
    assert len(doors.events()) == 1
