"""Samples on the disk, each with a canary and a secret of its own, and whether one of them fired."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.samples import GROWS, Sample, Spot
from tests.repository.trees import plant


@dataclass(frozen=True)
class Planted:
    sample: Sample
    folder: Path
    spot: Spot

    @property
    def main(self) -> Path:
        return self.folder / self.sample.main if self.sample.main else self.folder

    @property
    def touched(self) -> bool:
        """Something lies where the canary would: TensorFlow's SaveV2 makes canary.index of it."""
        return any(self.spot.canary.parent.iterdir())

    def fired(self, answer: dict[str, Any]) -> bool:
        """Did it do what it is made to do? `answer` is what loaders.run said of it."""
        if self.touched or self.spot.token in answer["said"] + answer["error"]:
            return True
        if self.sample.fires == "grows":
            return bool(answer["grew"] > GROWS) or "MemoryError" in answer["error"]
        return self.sample.fires == "breaks" and bool(answer["error"])


def put(sample: Sample, root: Path, folder: Path | None = None) -> Planted:
    """The drop in `folder` (below root/drops), the canary's place and the secret outside of it."""
    key = hashlib.sha256(sample.name.encode()).hexdigest()
    where, token = key[:16], key[16:32]  # the token is 16 bytes: four numbers of a weight; no path holds it
    for name in ("drops", "canaries", "secrets"):
        (root / name / where).mkdir(parents=True, exist_ok=True)
    secret = root / "secrets" / where / "secret.txt"
    secret.write_text(token)
    (secret.parent / token).touch()  # what a listing of the folder gives away
    spot = Spot(root / "canaries" / where / "canary", secret, token)
    folder = folder or root / "drops" / where
    plant(folder, sample.make(spot))
    return Planted(sample, folder, spot)
