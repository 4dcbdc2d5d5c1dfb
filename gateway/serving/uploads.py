"""Files of a model that came with a call: kept beside the store, one folder for each content.

    UPLOADS/NAME/DIGEST/1/model.onnx

Rule 1: a path of a client's is never followed: every part of it is checked before anything is written.
Rule 2: what is in sight is whole: written in a scratch folder, then renamed.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import InvalidRequest
from gateway.repository import fs

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")


class Uploads:
    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, name: str, files: Mapping[str, bytes]) -> str:
        """Write them; the folder they lie in. Blocks. Errors: InvalidRequest (paths), StoreError."""
        bad = [path for path in files if not all(_PART.fullmatch(part) for part in path.split("/"))]
        if bad:
            raise InvalidRequest(
                f"'{bad[0][:200]}' is not a path for a file of '{name}'; expected something like 1/model.onnx."
            )
        digest = hashlib.sha256()
        for path in sorted(files):
            digest.update(f"{path}\0{len(files[path])}\0".encode())
            digest.update(files[path])
        folder = self._root / name / digest.hexdigest()[:32]
        with fs.guard("keeping the files of a call", folder):
            if folder.is_dir():
                return str(folder)
            scratch = self._root / name / f".{uuid.uuid4().hex}.tmp"
            for path, data in files.items():
                fs.make_folder((scratch / path).parent)
                fs.write_file(scratch / path, data)
            fs.rename(scratch, folder)
        return str(folder)

    def sweep(self, name: str, keep: str) -> None:
        """Remove what lies there of a model but the folder `keep`: these are copies of ours, no user's files."""
        folder = self._root / name
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if str(path) != keep:
                fs.remove_tree(path)
