"""Two worlds in which the same bins are to be counted, and which differ in all that who counts must not know."""

import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from PIL import Image
from tests.console_support import a_console, a_person, signed_in
from tests.tasks_support import task_of_line

from binsight.imaging.drawn import draw_bin
from binsight.storage.ledger import AuditLineRow, Audits, Ledger, TaskRows

COUNT = r"/count/[^/]+"
RECORD, OTHERS_COUNT, NEXT_RECORD = 7391046258, 826491, 6604913275


def a_line(place: int, *, expected: int, verdict: str, reason: str, probs: list[float], photo: str) -> AuditLineRow:
    record = {"row": place, "site": "DC1", "aisle": "A", "skus": [reason.split()[-1]], "item_class": "NUMBAT"}
    return AuditLineRow(
        place=place,
        bin_id=f"A-{place:04}",
        expected=expected,
        record=json.dumps(record | {"unit_value": 48213.77}),
        photo=photo,
        photo_sha256=None,
        estimate=json.dumps({"probs": probs, "flags": ["QUOKKA"]}),
        count=max(range(len(probs)), key=probs.__getitem__),
        verdict=verdict,
        reason=reason,
        exception=None,
        p_record=0.0173939,
        p_right=0.0173939,
        units_off=1.1,
    )


def a_photo(place: int, says: str) -> bytes:
    """A JPEG whose metadata say something, in three ways."""
    exif = Image.Exif()
    exif[0x010E] = says  # ImageDescription
    exif[0x9C9C] = says.encode("utf-16-le")  # XPComment
    file = io.BytesIO()
    draw_bin(place, seed=place, size=(160, 120)).save(file, "JPEG", exif=exif, comment=says.encode())
    return file.getvalue()


def a_world(folder: Path, *, is_other: bool) -> tuple[str, Path]:
    """A ledger where four bins are to be counted, and the first photo. In the `other` world all that is hidden differs: the
    record agrees with the photo, nobody counted the first bin before, and other bins were drawn at random."""
    expected, verdict = (5, "verified") if is_other else (RECORD, "suspect")
    says = "nothing" if is_other else f"qty {RECORD} PLATYPUS"
    probs = [0.0, 0.1, 0.2, 0.7] if is_other else [0.0417390] * 3 + [0.0, 0.8747830]
    lines = [
        a_line(
            place,
            expected=expected if place == 1 else 5 if is_other else NEXT_RECORD,
            verdict=verdict,
            reason="nothing odd" if is_other else "the photo shows a QUOKKA beside the WOMBAT",
            probs=probs,
            photo=f"photos/{place}.jpg" if is_other else f"photos/{place}-qty{RECORD}.jpg",
        )
        for place in range(1, 5)
    ]
    (folder / "photos").mkdir()
    for line in lines:
        (folder / str(line.photo)).write_bytes(a_photo(line.place, says))
    url = f"sqlite:///{folder}/ledger.db"
    ledger = Ledger.open(url)
    audits = Audits(ledger)
    audit = audits.begin(
        model=f"default:{'0123456789ab' if is_other else 'feedfacecafe'}",
        certificate_sha256=None,
        terms={"folder": str(folder)},
        by="ann" if is_other else "possum",
    )
    audits.add(audit, lines)
    new = [task_of_line(line) for line in lines]
    drawn = {"origin": "planned" if is_other else "random"}
    TaskRows(ledger).create(
        audit.id, [new[0], *(type(one)(**_fields(one) | drawn) for one in new[1:])], by=audit.begun_by
    )
    for name, role in (("ben", "counter"), ("cassowary", "counter"), ("drongo", "approver")):
        a_person(ledger, name, role)
    ledger.close()
    if not is_other:
        others_count(url)
    with closing(sqlite3.connect(folder / "ledger.db")) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file alone is all of it, to be copied
    return url, folder / str(lines[0].photo)


def _fields(new: object) -> dict[str, object]:
    return {name: getattr(new, name) for name in new.__slots__}  # type: ignore[attr-defined]


def others_count(url: str) -> None:
    """Two others counted the first bin, and did not agree; it is to be counted a third time."""
    app = a_console(url)
    cassowary, drongo = signed_in(app, "cassowary"), signed_in(app, "drongo")
    cassowary.submit(cassowary.get("/count"), COUNT, counted=str(OTHERS_COUNT), comment="a BILBY in it")
    cassowary.submit(cassowary.get("/count"), "/sign-out")
    ledger = Ledger.open(url)
    a_person(ledger, "emu")
    ledger.close()
    emu = signed_in(app, "emu")
    emu.submit(emu.get("/count"), COUNT, counted=str(OTHERS_COUNT + 1))
    emu.submit(emu.get("/count"), "/sign-out")
    task = re.search(r'href="/console(/tasks/[^"]+)"', drongo.get("/tasks").text)
    assert task is not None
    drongo.submit(drongo.get(task[1]), "/decide", word="recount", comment="KOALA thinks otherwise")
