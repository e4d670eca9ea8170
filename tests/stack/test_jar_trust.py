"""Downloads trust what the system trusts, as pip does: a proxy of a company signs with a CA that no package brings along."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

from pytest_httpserver import HTTPServer

from tests.support.certificates import self_signed

ASK = """
import sys
from pathlib import Path
import requests
from services.stack.jars import maven_context
maven_context(Path(sys.argv[1]))
print(requests.get(sys.argv[2], timeout=20).text)
"""


def test_the_ca_of_the_system_is_trusted(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # What packages are told about a bundle of their own must not decide.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
    }
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        server.expect_request("/jar").respond_with_data("a jar")
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(tmp_path / "cache"), server.url_for("/jar")],
            env=environment | {"SSL_CERT_FILE": str(certificate)}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout.strip() == "a jar", done.stderr[-2000:]
