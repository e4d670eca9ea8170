"""Write the Python code of schemas/proto below schemas/pb: `python -m schemas.generate_protos [FOLDER]`.

Needs grpcio-tools (a development requirement). The code is checked in, so that running the product needs no compiler. protoc writes absolute imports from
the proto root (`from llm.sentinel.v1 import …`); they are moved below `schemas.pb`, so that no top-level package named `llm` comes into being.

Of what it writes for a service, clients (`…Stub`) and registration (`add_…_to_server`) are kept. Its base class for servers answers UNIMPLEMENTED, at the first
call, for a method that a server leaves out; without it such a server does not start.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTO_ROOT = Path(__file__).parent / "proto"
CODE_ROOT = Path(__file__).parent / "pb"
_PACKAGE = "schemas.pb"
_EXPERIMENTAL = " # This class is part of an EXPERIMENTAL API.\n"
_IMPORT = re.compile(r"^(from|import) (llm[.\w]*)", re.M)


class GenerationError(RuntimeError):
    """protoc refused a file; its message is on stderr."""


def generated() -> dict[str, str]:
    """Text of every generated file by its path below `schemas/pb`. Raises GenerationError when a proto is not valid."""
    from grpc_tools import protoc

    protos = sorted(str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        command = ["protoc", f"-I{PROTO_ROOT}", f"-I{files('grpc_tools') / '_proto'}"]
        command += [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main([*command, *protos]) != 0:
            raise GenerationError("protoc refused the files below schemas/proto")
        found = {
            str(path.relative_to(scratch)): _IMPORT.sub(rf"\1 {_PACKAGE}.\2", path.read_text()) for path in Path(scratch).rglob("*.py*")
        }
    found = {name: _without_bases(text) if name.endswith("_pb2_grpc.py") else text for name, text in found.items()}
    packages = {str(parent / "__init__.py") for name in found for parent in Path(name).parents}
    return dict(sorted((found | dict.fromkeys(packages, "")).items()))


def _without_bases(text: str) -> str:
    """The code of a service without the classes that are no client."""
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.ClassDef) and not node.name.endswith("Stub"):
            del lines[node.lineno - 1 : node.end_lineno]
    return re.sub(r"\n{4,}", "\n\n\n", "".join(lines).replace(_EXPERIMENTAL, "")).rstrip() + "\n"


def main(folder: Path = CODE_ROOT) -> None:
    """Replace everything below the folder."""
    texts = generated()
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in texts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
