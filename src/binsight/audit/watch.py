"""The certificate of one audit, watched: whether it is in force, what is drawn under it, whether the photos drift.

```
ledger ─▶ in force? ─▶ (verdicts) ─▶ lots, numbers by band ─▶ drift ─▶ ledger: this audit's draw, and perhaps a suspension
```
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from binsight.audit.certifying import InForce
from binsight.audit.lines import STALE, VERIFIED, AuditLine, Judging
from binsight.audit.plan import BinName, Plan
from binsight.audit.seen import SeenPhotos, drift_json
from binsight.audit.standing import Standing, moment, reasons_json, standing_of
from binsight.decision.belief import RecordErrors
from binsight.decision.certificate import Band, band_name
from binsight.decision.decide import band_for
from binsight.decision.drift import Drift
from binsight.decision.lots import KEY_BYTES, SHARE, Lots
from binsight.decision.reference import Reference
from binsight.decision.surveillance import Reason, expected_wrong, implied_bound
from binsight.storage.ledger import Certificates
from binsight.storage.ledger.certificates import AUDITED, SUSPENDED, USED


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What an audit draws by lot: `share` of its verified bins, or of all (`of_all`), by a key that it makes for itself."""

    share: float = SHARE
    of_all: bool = False
    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)

    def as_terms(self) -> dict[str, Any]:
        """What is told before the first record is judged: not the key, but its hash."""
        return {"share": self.share, "of": self.of, "key_sha256": sha256(self.key).hexdigest()}

    @property
    def of(self) -> str:
        return "all" if self.of_all else "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What an audit has to say of its certificate: why it verified nothing, and what it found for the next audits."""

    sha256: str
    withheld: tuple[Reason, ...] = ()
    suspended: tuple[Reason, ...] = ()
    drift: Mapping[str, Any] = field(default_factory=dict)
    num_drawn: int = 0

    def sentences(self) -> Iterator[str]:
        if self.withheld:
            yield f"nothing is verified: certificate {self.sha256[:12]} is suspended"
            yield from (f"  {one.why}: {one.sentence}" for one in self.withheld)
        elif self.suspended:
            yield f"certificate {self.sha256[:12]} is suspended for the next audits"
            yield from (f"  {one.why}: {one.sentence}" for one in self.suspended)

    def as_json(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "in_force": not self.withheld,
            "withheld": reasons_json(self.withheld),
            "suspended_for_next": reasons_json(self.suspended),
            "drift": dict(self.drift),
        }


class Watch:
    """Watches the certificate of one audit. Without `by`, who keeps it, it looks and changes nothing."""

    def __init__(
        self, certificates: Certificates, in_force: InForce, *, model: str, by: str | None, max_age: timedelta
    ) -> None:
        self._certificates, self._by, self.sha256 = certificates, by, in_force.sha256
        made_at = in_force.certificate.made_at
        self._use = {"model": model, "made_at": made_at}
        self.standing: Standing = standing_of(self.sha256, certificates.acts(self.sha256))
        self._is_new, self._was_in_force = self.standing.began is None, self.standing.is_in_force
        if self._is_new and made_at:
            self.standing.began = moment(made_at)
        found = self.standing.state(datetime.now(UTC), max_age=max_age).reasons
        self.withheld: tuple[Reason, ...] = self.standing.reasons or found
        self._bands: dict[Band, Counter[str]] = {}
        self._recorded: Counter[int] = Counter()
        self._lots: Lots[tuple[BinName, str]] | None = None
        self._num_lines = self._num_verified = self._num_stale = 0

    def judging(self, by: Judging) -> Judging:
        """What is judged by: the certificate where it is in force."""
        if not self.withheld:
            return by
        why = " and ".join(one.why for one in self.withheld)
        return replace(by, certificate=None, withheld=f"the certificate is suspended ({why})")

    def begin(self, audit: str) -> None:
        """Keep the certificate's first use, from which its time runs where it has no date, and what its age ends."""
        if self._by and self._is_new:
            self._certificates.add(USED, self.sha256, self._use, by=self._by)
        if self._was_in_force:
            self._suspend(self.withheld, audit=audit)

    def passed(self, lines: Iterable[AuditLine], by: Judging, drawing: Drawing, audit: str) -> Iterator[AuditLine]:
        """The lines, each numbered, told to its band, and drawn or passed over."""
        lots = self._lots = Lots[tuple[BinName, str]](key=drawing.key, audit=audit, share=drawing.share)
        for self._num_lines, line in enumerate(lines, 1):
            band = self._told(line, by)
            if line.word == VERIFIED or (drawing.of_all and line.word != STALE):
                name = line.record.site or "", line.record.bin_id
                lots.offer(self._num_lines, (name, band if line.word == VERIFIED else ""))
            yield line

    def drawn(self) -> list[BinName]:
        """The bins that were drawn, once all lines have passed; none that is not to be kept."""
        return [name for name, _ in self._lots.drawn.values()] if self._lots and self._by else []

    def drawn_lines(self) -> frozenset[int]:
        """The places of what was drawn."""
        return frozenset(self._lots.drawn) if self._lots and self._by else frozenset()

    def end(
        self,
        *,
        audit: str | None,
        drawing: Drawing,
        errors: RecordErrors,
        alpha: float,
        plan: Plan,
        drift: Drift | str,
    ) -> Outlook:
        """Keep what this audit drew and saw, and suspend the certificate for the next ones where its photos drift."""
        told, found = drift_json(drift), self.withheld
        if not self.withheld and isinstance(drift, Drift) and drift.is_drifting:
            found = (Reason(why="drifted", sentence=drift.sentence),)
        lots = self._lots
        if self._by and audit and lots is not None:
            body = {
                "audit": audit,
                "key": drawing.key.hex(),
                "share": drawing.share,
                "of": drawing.of,
                "probability": lots.probability,
                "drawn": [[place, band] for place, (_, band) in sorted(lots.drawn.items())],
                "bands": self._bands_json(alpha, errors),
                "num_records": self._num_lines,
                "num_verified": self._num_verified,
                "num_stale": self._num_stale,
                "num_planned": len(plan.tasks) - plan.num_drawn,
                "drift": told,
            }
            self._certificates.add(AUDITED, self.sha256, body, by=self._by)
            if not self.withheld:
                self._suspend(found, audit=audit)
        return Outlook(
            sha256=self.sha256,
            withheld=self.withheld,
            suspended=() if self.withheld or not self._by else found,
            drift=told,
            num_drawn=plan.num_drawn,
        )

    def _suspend(self, reasons: Iterable[Reason], *, audit: str) -> None:
        if self._by and (why := reasons_json(reasons)):
            self._certificates.add(SUSPENDED, self.sha256, {"reasons": why, "audit": audit}, by=self._by)

    def _told(self, line: AuditLine, by: Judging) -> str:
        """The band of a line, whose numbers grow by it where its photo was compared with the record."""
        self._num_verified += line.word == VERIFIED
        self._num_stale += line.word == STALE
        band = band_for(by.certificate, line.record.expected, by.alpha) if by.certificate else None
        self._recorded[line.record.expected] += line.p_record is not None
        if band is None or band.threshold is None or line.p_record is None:
            return ""
        numbers = self._bands.setdefault(Band(band.low, band.high), Counter())
        numbers["records"] += 1
        numbers["verified"] += line.word == VERIFIED
        return band.name

    def _bands_json(self, alpha: float, errors: RecordErrors) -> dict[str, dict[str, float]]:
        """By band what was seen, and what share of the verified the certificate allows to be wrong."""
        found = {}
        for band, numbers in self._bands.items():
            if numbers["verified"]:
                wrong = expected_wrong(self._recorded, band, errors)
                found[band_name(*band)] = {
                    "records": numbers["records"],
                    "verified": numbers["verified"],
                    "expected_wrong": round(wrong, 6),
                    "bound": implied_bound(alpha, wrong, numbers["verified"]),
                }
        return found


def reference_for(in_force: InForce, of_bundle: Reference | None) -> Reference | None:
    """What photos are compared with: those that the certificate was made from, which are the bundle's where it is the
    bundle's own. Photos of a site's own certificate may differ from the bundle's as long as they do not from its own."""
    certificate = in_force.certificate
    return certificate.reference or (None if certificate.model else of_bundle)


def watching(photos: SeenPhotos, lines: Iterable[AuditLine]) -> Iterator[AuditLine]:
    """The lines; estimates of photos that were counted elsewhere are noted as they pass."""
    for line in lines:
        if line.estimate is not None and line.photo_sha256 is None:
            photos.note_estimate(line.estimate)
        yield line
