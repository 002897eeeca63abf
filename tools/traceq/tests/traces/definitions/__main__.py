"""Sums of traces by their definitions, slowly and plainly: what `traceq` must agree with.

    python3 definitions FILE...

Writes one line of JSON for each file: its sums, or `{"refused": reason}`. Standard library only.
"""

import json
import sys

from classify import classify_events
from document import NotATrace, read_document
from sums import sum_document


def main(paths):
    for path in paths:
        try:
            with open(path, "rb") as file:
                events, _ = read_document(file.read())
            result = sum_document(*classify_events(events))
        except (NotATrace, EOFError, OSError) as e:
            result = {"refused": str(e)}
        print(json.dumps({"path": path} | result))


if __name__ == "__main__":
    main(sys.argv[1:])
