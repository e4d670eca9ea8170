"""The generated protobuf code is current and importable."""

from __future__ import annotations

import importlib
import inspect

import pytest

from schemas.generate_protos import CODE_ROOT, generated
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


SERVERS = {"TelemetryIngestionServicer": Telemetry, "SidecarLinkServicer": SidecarLink, "ShieldActionServicer": ReferenceShield}


def test_our_servers_answer_every_method() -> None:
    """What a server leaves out, the generated base class would answer with UNIMPLEMENTED."""
    bases = {
        name: base
        for module in MODULES
        if module.endswith("_pb2_grpc")
        for name, base in inspect.getmembers(importlib.import_module(f"schemas.pb.{module}"), inspect.isclass)
        if name.endswith("Servicer")
    }
    assert set(bases) == set(SERVERS)
    for name, base in bases.items():
        server = SERVERS[name]
        methods = [method for method, _ in inspect.getmembers(base, inspect.isfunction)]
        assert issubclass(server, base) and methods
        left_out = [method for method in methods if getattr(server, method) is getattr(base, method)]
        assert not left_out, f"{server.__name__} leaves out {left_out}"
