"""A release that is changed and made to fit again by somebody who holds a key: as far as they care to go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from freehold.domain.evidence import Certificate, Dataset, Evidence, Sample, signed_bytes
from freehold.release import inventory as inv
from freehold.release.inventory import EvaluatedItem, Inventory, ManifestFile, ReleaseManifest, canonical_json
from freehold.release.sign import signed
from freehold.store.artifacts import dataset_sha256, row_sha256s, sha256_of
from freehold.store.keys import SigningKey

change = msgspec.structs.replace


class Forged:
    """A copy of a release, whose every document can be changed.

    Args:
        release: what is copied.
        folder: where to.
        key: signs the manifest and the certificate again.
    """

    def __init__(self, release: Path, folder: Path, key: SigningKey) -> None:
        shutil.copytree(release, folder)
        self.folder = folder
        self.key = key

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def write(self, path: str, value: Any) -> None:
        (self.folder / path).write_bytes(value if isinstance(value, bytes) else canonical_json(value))

    def of(self, path: str, kind: type[Any]) -> Any:
        return msgspec.json.decode(self.read(path), type=kind)

    @property
    def inventory(self) -> Inventory:
        return self.of(inv.INVENTORY, Inventory)

    @property
    def samples(self) -> list[Sample]:
        lines = zstandard.ZstdDecompressor().decompress(self.read(inv.ROWS)).splitlines()
        return [msgspec.json.decode(line, type=Sample) for line in lines]

    @property
    def items(self) -> list[EvaluatedItem]:
        return [msgspec.json.decode(line, type=EvaluatedItem) for line in self.read(inv.ITEMS).splitlines()]

    def put_items(self, items: list[EvaluatedItem]) -> None:
        self.write(inv.ITEMS, b"".join(canonical_json(item) + b"\n" for item in items))

    def put_rows(self, samples: list[Sample]) -> None:
        """The rows alone."""
        lines = b"".join(canonical_json(sample) + b"\n" for sample in samples)
        self.write(inv.ROWS, zstandard.ZstdCompressor().compress(lines))

    def put_dataset(self, samples: list[Sample]) -> None:
        """The rows and all that tells of them: hashes, record, certificate, evidence, items."""
        self.put_rows(samples)
        hashes, digest = row_sha256s(samples), dataset_sha256(samples)
        body = "".join(f"{line}\n" for line in hashes).encode()
        self.write(inv.ROW_HASHES, body)
        parts = {part: sum(s.part == part for s in samples) for part in ("fit", "tune", "certify")}
        told: dict[str, Any] = {"sha256": digest, "rows": len(samples), "parts": parts}
        self.write(inv.DATASET, change(self.of(inv.DATASET, Dataset), **told))
        data = change(self.inventory.data, rows_root=sha256_of(body), **told)
        self.write(inv.INVENTORY, change(self.inventory, data=data))
        places = {line: place for place, line in enumerate(hashes)}
        self.put_items([change(item, row=places[item.sha256]) for item in self.items])
        self.certify(dataset_sha256=digest)

    def put_model(self, *, tensors: dict[str, Any] | None = None, without: str = "?", **manifest: Any) -> None:
        """The student (`without` the tensors whose names begin so), and all that names it by hash."""
        from safetensors.numpy import load, save

        body = json.loads(self.read(inv.MODEL_MANIFEST)) | manifest
        known = load(self.read(inv.MODEL_TENSORS)) | (tensors or {})
        self.write(inv.MODEL_TENSORS, save({name: one for name, one in known.items() if not name.startswith(without)}))
        body["files"] = {"tensors.safetensors": sha256_of(self.read(inv.MODEL_TENSORS))}
        self.write(inv.MODEL_MANIFEST, body)
        digest = sha256_of(self.read(inv.MODEL_MANIFEST))
        weights = change(self.inventory.weights, sha256=digest)
        self.write(inv.INVENTORY, change(self.inventory, weights=weights))
        rungs = self.of(inv.CERTIFICATE, Certificate).rungs
        self.certify(rungs=tuple(change(rung, sha256=digest, signal_sha256=digest) for rung in rungs))

    def certify(self, *, key: SigningKey | None = None, rows: bytes | None = None, **claims: Any) -> None:
        """Certificate and evidence with other claims, signed again, and the inventory that repeats them."""
        if rows is not None:
            self.write(inv.EVIDENCE_ROWS, rows)
        evidence = self.of(inv.EVIDENCE, Evidence)
        known = {name: claim for name, claim in claims.items() if name in Evidence.__struct_fields__}
        files = {**evidence.files, "rows.parquet": sha256_of(self.read(inv.EVIDENCE_ROWS))}
        self.write(inv.EVIDENCE, change(evidence, files=files, **known))
        digest, signer = sha256_of(self.read(inv.EVIDENCE)), key or self.key
        claims |= {"evidence_sha256": digest, "public_key": signer.public_key(), "signature": ""}
        certificate = change(self.of(inv.CERTIFICATE, Certificate), **claims)
        certificate = change(certificate, signature=signer.sign(signed_bytes(certificate)))
        self.write(inv.CERTIFICATE, certificate)
        told = {name: getattr(certificate, name) for name in Certificate.__struct_fields__
                if name in inv.EvaluationSection.__struct_fields__}  # fmt: skip
        self.write(inv.INVENTORY, change(self.inventory, evaluation=change(self.inventory.evaluation, **told)))

    def tell(self, section: str, **values: Any) -> None:
        """Another value in a section of the inventory."""
        whole = self.inventory
        self.write(inv.INVENTORY, change(whole, **{section: change(getattr(whole, section), **values)}))

    def seal(self, key: SigningKey | None = None) -> Path:
        """Hash and sign everything that is there; the folder."""
        known = {file.path: file.role for file in self.of(inv.MANIFEST, ReleaseManifest).files}
        here = {path: self.read(path) for path in known if (self.folder / path).is_file()}
        items = tuple(
            change(item, sha256=sha256_of(here[item.path]), bytes=len(here[item.path]))
            if item.path in here and item.sha256
            else item
            for item in self.inventory.items
            if not item.path or item.path in here
        )
        self.write(inv.INVENTORY, change(self.inventory, items=items))
        here[inv.INVENTORY] = self.read(inv.INVENTORY)
        files = tuple(
            ManifestFile(path=path, role=known[path], bytes=len(data), sha256=sha256_of(data))
            for path, data in sorted(here.items())
        )
        manifest = change(self.of(inv.MANIFEST, ReleaseManifest), files=files)
        for path, data in signed(manifest, key or self.key).items():
            self.write(path, data)
        return self.folder
