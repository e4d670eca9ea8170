"""`python tests/alerting/record_alertmanager.py PROGRAM`: lives through every scenario with a real Alertmanager and writes down what it sent.

The record lets the comparison run where there is no Alertmanager. It is made with the version that our semantics are those of.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from alertmanager_twin import Twin
from scenarios import SCENARIOS, Scenario

from sentinel.alerting.timeline import read_timeline

RECORD = Path(__file__).with_name("recorded_alertmanager.json")


def main() -> None:
    program, folder = sys.argv[1], Path(tempfile.mkdtemp())
    seen: dict[str, list[dict[str, Any]]] = {}

    def live(scenario: Scenario, number: int) -> None:
        timeline = read_timeline(json.dumps(scenario.timeline()), scenario.name)
        seen[scenario.name] = Twin(program, scenario.config, timeline, folder / str(number)).run()

    threads = [threading.Thread(target=live, args=(scenario, number)) for number, scenario in enumerate(SCENARIOS)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    ordered = {scenario.name: sorted(seen[scenario.name], key=lambda line: line["at"]) for scenario in SCENARIOS}
    RECORD.write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(lines)}" for name, lines in ordered.items()) + "\n}\n")


if __name__ == "__main__":
    main()
