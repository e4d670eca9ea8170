"""Installs the OpenSearch index templates: `python -m services.storage.search_templates [--url URL]`.

Without them OpenSearch would guess the type of every field at its first document.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import httpx

import schemas
from services.cli.connection import NoAddressError, opensearch_url

TEMPLATES = Path(schemas.__file__ or "").parent / "opensearch"
TIMEOUT_S = 30.0


class SearchTemplateError(RuntimeError):
    """A template could not be installed; the text says which, where and why."""


def install(url: str) -> list[str]:
    """Puts every template of `schemas/opensearch`; existing ones are replaced, existing indices stay as they are.

    Returns their names. Raises SearchTemplateError.
    """
    names = []
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        for file in sorted(TEMPLATES.glob("*.json")):
            name = f"sentinel-{file.stem}"
            try:
                response = client.put(f"/_index_template/{name}", content=file.read_bytes(), headers={"Content-Type": "application/json"})
            except httpx.HTTPError as error:
                raise SearchTemplateError(f"index template {name}: OpenSearch at {url}: {error}") from None
            if not response.is_success:
                raise SearchTemplateError(f"index template {name}: OpenSearch answered {response.status_code}: {response.text[:500]}")
            names.append(name)
    return names


def main() -> int:
    """Command line: exit code 0 with the names on standard output, 1 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m services.storage.search_templates", description="Install the OpenSearch index templates."
    )
    parser.add_argument("--url", help="default: SENTINEL_OPENSEARCH_URL, else the embedded stack")
    try:
        print("\n".join(install(opensearch_url(parser.parse_args().url))))
    except (SearchTemplateError, NoAddressError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
