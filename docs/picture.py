"""Make README's picture: six drawn bins as estimate cards, counted by the default bundle. Needs Chromium.

./dev picture
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from binsight.counting import Counter, default_bundle
from binsight.imaging.drawn import drawn_photo
from binsight.records import CountEstimate
from binsight.report import EstimateCard, Page

PICTURE = Path(__file__).resolve().parent / "images" / "estimates.png"
BINS = ((0, 60), (1, 2), (2, 61), (3, 105), (5, 68), (8, 70))
"""(true count, seed)"""
WIDTH, HEIGHT = 1000, 895
NUM_COLOURS = 200  # of a palette: a third of the bytes, and nobody sees it


def main() -> None:
    counter = Counter.load(default_bundle())
    cards = []
    for count, seed in BINS:
        jpeg = drawn_photo(count, seed=seed)
        (estimate,) = counter.count([(f"drawn bin {seed}", jpeg)])
        assert isinstance(estimate, CountEstimate)
        cards.append(
            EstimateCard(photo=estimate.photo, jpeg=jpeg, estimate=estimate, known=count, known_as="true count")
        )
    page = Page("")
    page.estimates(cards)
    with tempfile.TemporaryDirectory() as folder:
        html = page.write(Path(folder))
        # Cards alone, without the page's head, three in a row.
        style = "<style>header{display:none} main{padding:0 1rem} .estimates{grid-template-columns:repeat(3,1fr)}</style>"
        html.write_text(html.read_text().replace("</head>", style + "</head>"))
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
                *("--hide-scrollbars", "--no-first-run", f"--user-data-dir={folder}/profile"),
                *(f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", html.resolve().as_uri()),
            ],
            check=True,
            capture_output=True,
        )
        PICTURE.parent.mkdir(exist_ok=True)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(NUM_COLOURS).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    main()
