"""Count which prediction ids on standard input are on record in a folder; prints JSON."""

import json
import sys
from pathlib import Path

from slipway.predictions import ids, reader


def main(folder: Path) -> None:
    promised = found = unpromised = 0
    for id in sys.stdin.read().split():
        try:
            record = reader.find(folder, id)
        except ids.NotLogged:
            unpromised += 1
            continue
        promised += 1
        found += record is not None
    json.dump({"promised": promised, "found": found, "unpromised": unpromised}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
