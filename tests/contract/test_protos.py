"""The generated protobuf code is current and importable."""

from __future__ import annotations

import importlib
import inspect
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest

from schemas.generate_protos import CODE_ROOT, generated
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import add_TelemetryIngestionServicer_to_server
from schemas.pb.llm.sentinel.v1.sidecar_pb2_grpc import add_SidecarLinkServicer_to_server
from schemas.pb.llm.shield.v1.shield_pb2_grpc import add_ShieldActionServicer_to_server
from services.gateway.grpc_door import Telemetry
from services.gateway.sidecar_link import SidecarLink
from services.shield.server import ReferenceShield

MODULES = [str(path.relative_to(CODE_ROOT).with_suffix("")).replace("/", ".") for path in sorted(CODE_ROOT.rglob("*_pb2*.py"))]


def test_generated_code_is_current() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is a development requirement")
    on_disk = {str(path.relative_to(CODE_ROOT)): path.read_text() for path in CODE_ROOT.rglob("*.py*") if path.suffix in (".py", ".pyi")}
    assert on_disk == generated(), "run: python -m schemas.generate_protos"


@pytest.mark.parametrize("module", MODULES)
def test_generated_code_imports(module: str) -> None:
    importlib.import_module(f"schemas.pb.{module}")


SERVERS = {
    "llm.sentinel.v1.TelemetryIngestion": (Telemetry, add_TelemetryIngestionServicer_to_server),
    "llm.sentinel.v1.SidecarLink": (SidecarLink, add_SidecarLinkServicer_to_server),
    "llm.shield.v1.ShieldAction": (ReferenceShield, add_ShieldActionServicer_to_server),
}


def test_every_service_has_a_server_that_answers_all_its_methods() -> None:
    modules = [importlib.import_module(f"schemas.pb.{module}") for module in MODULES if module.endswith("_pb2")]
    services = {service.full_name: service for module in modules for service in module.DESCRIPTOR.services_by_name.values()}
    assert set(services) == set(SERVERS)
    for name, service in services.items():
        server, _ = SERVERS[name]
        assert service.methods
        assert not [method.name for method in service.methods if not inspect.isfunction(getattr(server, method.name, None))], server


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_leaves_a_method_out_does_not_start(name: str) -> None:
    """With protoc's base class it would, and answer UNIMPLEMENTED at the first call."""
    server, register = SERVERS[name]
    methods = [method for method, _ in inspect.getmembers(server, inspect.isfunction) if method[0].isupper()]
    everything = {method: getattr(server, method) for method in methods}
    channel = grpc.server(ThreadPoolExecutor(1))
    register(SimpleNamespace(**everything), channel)
    for method in methods:
        with pytest.raises(AttributeError, match=method):
            register(SimpleNamespace(**{other: each for other, each in everything.items() if other != method}), channel)
