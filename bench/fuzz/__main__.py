"""Hostile input in great numbers; none may make the code fail otherwise than by saying what is wrong with it.

    python -m bench.fuzz photos --cases 600000 [--real FOLDER]     # decode, quality, label, stripping: atheris
    python -m bench.fuzz bodies --cases 300000                     # JSON, lines, forms, links, v2: atheris
    python -m bench.fuzz requests --cases 50000                    # by the API's own description: schemathesis
    python -m bench.fuzz sockets --cases 50000                     # bytes that are nearly HTTP, to the real process

Cases are counted in `--folder` (default fuzz/ below the working folder), and the same command goes on to the number asked
for. atheris and schemathesis are not among the project's own tools: `pip install atheris schemathesis`. It ends non-zero
where anything failed; what made it fail is in the folder.
"""

import argparse
import sys
from pathlib import Path

from bench.fuzz import guided, seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["photos", "bodies", "requests", "sockets"])
    parser.add_argument("--cases", type=int, required=True, help="in all, with those of earlier runs")
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="default: fuzz")
    parser.add_argument("--real", type=Path, help="folder of real photos to begin with, beside drawn ones")
    given = parser.parse_args()
    folder = given.folder.resolve() / given.what
    folder.mkdir(parents=True, exist_ok=True)
    if given.what in ("photos", "bodies"):
        first = seeds.photos(given.real) if given.what == "photos" else seeds.bodies()
        progress = guided.fuzz(given.what, cases=given.cases, folder=folder, seeds=first)
    elif given.what == "requests":
        from bench.fuzz import described

        progress = described.fuzz(cases=given.cases, folder=folder)
    else:
        from bench.fuzz import wire

        progress = wire.fuzz(cases=given.cases, folder=folder)
    sys.exit(1 if progress.failures else 0)


if __name__ == "__main__":
    main()
