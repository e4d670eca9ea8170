"""The generated protobuf code is current and importable."""

from __future__ import annotations

import importlib

import pytest

from schemas.generate_protos import CODE_ROOT, generated

MODULES = [str(path.relative_to(CODE_ROOT).with_suffix("")).replace("/", ".") for path in sorted(CODE_ROOT.rglob("*_pb2*.py"))]


def test_generated_code_is_current() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is a development requirement")
    on_disk = {str(path.relative_to(CODE_ROOT)): path.read_text() for path in CODE_ROOT.rglob("*.py*") if path.suffix in (".py", ".pyi")}
    assert on_disk == generated(), "run: python -m schemas.generate_protos"


@pytest.mark.parametrize("module", MODULES)
def test_generated_code_imports(module: str) -> None:
    importlib.import_module(f"schemas.pb.{module}")
