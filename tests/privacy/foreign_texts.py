"""What is found in texts that nobody wrote for this: pieces of the installed packages' code and descriptions. `python -m tests.privacy.foreign_texts`

Packages about phone numbers, checksums and invented people are left out, and tests: they hold such values on purpose.
"""

from __future__ import annotations

import argparse
import random
import sysconfig
from collections import Counter
from pathlib import Path

from sentinel.privacy.scanner import Scanner

_PURPOSEFUL = ("phonenumbers", "faker", "stdnum", "tests")


def pieces(seed: int, count: int, length: int = 1_000) -> list[str]:
    """At most `count` pieces, one a file."""
    chance = random.Random(seed)
    folder = Path(sysconfig.get_paths()["purelib"])
    files = sorted(path for pattern in ("*.py", "METADATA") for path in folder.rglob(pattern) if not set(path.parts) & set(_PURPOSEFUL))
    chance.shuffle(files)
    found: list[str] = []
    for path in files:
        text = path.read_text("utf-8", errors="replace")
        if len(text) >= length:
            begin = chance.randrange(len(text) - length + 1)
            found.append(text[begin : begin + length])
        if len(found) == count:
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--show", action="store_true", help="print what was found, with its surroundings")
    options = parser.parse_args()
    scanner, counts = Scanner(), Counter[str]()
    texts = pieces(options.seed, options.count)
    for text in texts:
        for kind, start, end in scanner.find(text):
            counts[kind] += 1
            if options.show:
                print(kind, repr(text[max(0, start - 30) : end + 15]))
    print(f"{len(texts):,} pieces: {dict(counts)}")


if __name__ == "__main__":
    main()
