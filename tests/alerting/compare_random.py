"""`python tests/alerting/compare_random.py PROGRAM --seeds 0-49 [--record]`: random timelines, lived through by a real Alertmanager and by the core.

Prints what differs and exits 1; `--record` writes what Alertmanager sent to `recorded_random.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from alertmanager_twin import Twin
from random_timelines import draw
from test_against_alertmanager import check_same, content, ours

from sentinel.alerting.timeline import read_timeline

RECORD = Path(__file__).with_name("recorded_random.json")
AT_ONCE = 8


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seeds", default="0-19")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds, folder = range(int(first), int(last or first) + 1), Path(tempfile.mkdtemp())

    def live(seed: int, again: str = "") -> list[dict[str, Any]]:
        scenario = draw(seed)
        timeline = read_timeline(json.dumps(scenario.timeline()), scenario.name)
        seen = Twin(arguments.program, scenario.config, timeline, folder / f"{seed}{again}").run()
        return sorted(seen, key=lambda line: line["at"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        lived = dict(zip(seeds, pool.map(live, seeds), strict=True))
    differing = [seed for seed in seeds if not _same(seed, lived[seed], folder)]
    for seed in list(differing):
        # A busy machine delivers a post late; what is a difference comes again when the seed has the machine to itself.
        lived[seed] = live(seed, "-again")
        if _same(seed, lived[seed], folder):
            differing.remove(seed)
    messages = sum(len(lines) for lines in lived.values())
    print(f"{len(seeds)} timelines, {messages} messages, {len(differing)} differ: {differing}")
    if arguments.record:
        RECORD.write_text("{\n" + ",\n".join(f'"{seed}": {json.dumps(lines)}' for seed, lines in lived.items()) + "\n}\n")
    return bool(differing)


def _same(seed: int, lived: list[dict[str, Any]], folder: Path) -> bool:
    found = ours(draw(seed), folder)
    try:
        check_same(found, lived)
    except AssertionError:
        print(f"seed {seed}: {folder / str(seed)}")
        for side, lines in (("ours", found), ("theirs", lived)):
            other = [content(line) for line in (lived if side == "ours" else found)]
            for line in lines:
                print(f"  {side:6} {line['at']:6.2f} {'' if content(line) in other else 'ONLY'} {content(line)}")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
