"""The registry: immutable bundles in a folder or bucket, and the ledger that knows them and what they are called.

```
BUNDLES/<version>/…     each bundle whole, under its version, which is its content's
ledger                  versions, aliases (champion, canary, shadow, …), every move of an alias
```
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from binsight.counting.bundle import SPEC_NAME, Bundle
from binsight.errors import BadBundle, BadInput, MissingObject, MissingStore, StorageFailure
from binsight.records import CHAMPION
from binsight.settings import settings
from binsight.storage.files import make_folder
from binsight.storage.ledger import Ledger, Models, ModelVersion, Pointed
from binsight.storage.objects import ObjectInfo, open_store
from binsight.storage.upload import upload_folder

_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Bundles by version and by alias. Every method raises as the ledger and the object store do."""

    models: Models
    bundles_url: str

    @classmethod
    def open(cls, ledger_url: str | None = None, bundles_url: str | None = None) -> "Registry":
        """The registry that the settings name, or another."""
        chosen = settings()
        bundles = bundles_url or chosen.bundles
        if "://" not in bundles:
            bundles = str(Path(bundles).expanduser())
        return cls(models=Models(Ledger.open(ledger_url or chosen.ledger)), bundles_url=bundles.rstrip("/"))

    def close(self) -> None:
        """Give the ledger's connections back."""
        self.models.close()

    def register(self, folder: Path, *, by: str) -> ModelVersion:
        """Take a bundle in: copied whole first, known then. Registering it again changes nothing."""
        bundle = Bundle.open(folder)
        if not self._has(bundle.version):
            upload_folder(folder, self._url(bundle.version), last=SPEC_NAME)
        return self.models.add(bundle.version, name=bundle.spec.name, lineage=bundle.spec.lineage, by=by)

    def fetch(self, version: str) -> Path:
        """A local folder with the bundle, copied into the cache where it is not there whole.

        Raises `MissingObject` where the bundle is not in the store, `BadBundle` where what is there is not whole.
        """
        kept = self._cached(version)
        if (kept / SPEC_NAME).is_file():
            try:
                return _checked(kept, version).folder
            except (BadBundle, MissingObject):  # damaged in the cache; the store's is asked again
                shutil.rmtree(kept)
        make_folder(kept.parent)
        with tempfile.TemporaryDirectory(prefix=f".{version}.", dir=kept.parent) as part:
            folder = Path(part) / "bundle"
            self._copy(version, folder)
            _checked(folder, version)
            try:
                folder.replace(kept)
            except OSError as error:
                if not (kept / SPEC_NAME).is_file():  # else another process has brought it meanwhile
                    raise StorageFailure(f"{kept} cannot be written ({error.strerror}); free space") from None
        return kept

    def files(self, version: str) -> list[ObjectInfo]:
        """The files of a version that are in the store; none where there are none."""
        try:
            return list(open_store(self._url(version)).list())
        except MissingStore:
            return []

    def remove_files(self, version: str) -> None:
        """Remove a version's files, its `bundle.json` first: what is left is a bundle to nobody. The cache's copy too."""
        shutil.rmtree(self._cached(version), ignore_errors=True)
        names = [info.name for info in self.files(version)]
        if names:
            store = open_store(self._url(version))
            store.remove([name for name in names if name == SPEC_NAME])
            store.remove([name for name in names if name != SPEC_NAME])

    def pointed(self, alias: str) -> Pointed | None:
        """Where the alias points; None where it points nowhere yet."""
        return self.models.pointed().get(alias)

    def point(self, alias: str, version: str, *, by: str, reason: str, seen: Pointed | None) -> Pointed:
        """Point an alias at a version that is whole in the store, if it still points where it was `seen` to.

        Where it points there already, nothing is moved, and `seen` is given back.
        Raises `BadInput` for a name that an alias cannot have, and as `fetch` and `Models.move` do.
        """
        if not _ALIAS.fullmatch(alias):
            raise BadInput(
                f"an alias must be lower-case letters, digits and -, but is {alias[:50]!r}; choose another"
            )
        self.fetch(version)
        return self.models.move(alias, version, seen=seen, by=by, reason=reason)

    def retire(self, alias: str, *, by: str, reason: str) -> Pointed:
        """Have the alias point nowhere, and say where it pointed.

        Raises `BadInput` for the champion, without which nothing counts, and `MissingObject` where it points nowhere.
        """
        if alias == CHAMPION:
            raise BadInput(f"{CHAMPION} is in use and cannot be retired; promote another model")
        if (seen := self.pointed(alias)) is None:
            raise MissingObject(f"{alias} points at no model; see binsight models list")
        self.models.retire(seen, by=by, reason=reason)
        return seen

    def roll_back(self, alias: str, *, by: str, reason: str) -> Pointed:
        """Point the alias where it pointed before its last move; doing it twice is where it was.

        Raises `BadInput` where there is nothing to go back to.
        """
        moves = self.models.moves(alias)
        last = next((move for move in moves if move.changed), None)
        if last is None or last.from_version is None:
            raise BadInput(f"{alias} pointed nowhere before; there is nothing to go back to")
        return self.models.move(alias, last.from_version, seen=moves[0].reached, by=by, reason=reason)

    def resolve(self, name: str) -> str:
        """The version that is meant by a version, its beginning (four signs or more), or an alias.

        Raises `MissingObject` for none, `BadInput` for several.
        """
        if (pointed := self.pointed(name)) is not None:
            return pointed.version
        found = [one.version for one in self.models.versions() if len(name) >= 4 and one.version.startswith(name)]
        if not found:
            raise MissingObject(f"there is no model {name}; see binsight models list")
        if len(found) > 1:
            raise BadInput(f"{name} may be {' or '.join(found)}; give more of it")
        return found[0]

    def _cached(self, version: str) -> Path:
        return settings().cache_dir.expanduser() / "bundles" / version

    def _url(self, version: str) -> str:
        return f"{self.bundles_url}/{version}"

    def _has(self, version: str) -> bool:
        try:
            open_store(self._url(version)).read(SPEC_NAME)
        except MissingObject:
            return False
        return True

    def _copy(self, version: str, folder: Path) -> None:
        missing = MissingObject(f"the bundle {version} is not in {self.bundles_url}; register it again")
        try:
            store = open_store(self._url(version))
        except MissingStore:
            raise missing from None
        for info in store.list():
            target = folder / info.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(store.read(info.name))
        if not (folder / SPEC_NAME).is_file():
            raise missing


def _checked(folder: Path, version: str) -> Bundle:
    bundle = Bundle.open(folder)
    if bundle.version != version:
        raise BadBundle(f"{folder} must hold the bundle {version}, but holds {bundle.version}; remove it")
    return bundle
