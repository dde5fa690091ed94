"""Unpacks a bundle as a host does, by Python's own reader, and prints its manifest with the digest of the whole."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    program = max(archive.infolist(), key=lambda entry: entry.file_size)
    assert program.compress_size < program.file_size / 2, program
    for entry in archive.infolist():
        path = Path(archive.extract(entry, sys.argv[2]))
        path.chmod(entry.external_attr >> 16)
manifest = json.loads(Path(sys.argv[2], "manifest.json").read_text())
print(json.dumps({"manifest": manifest, "sha256": hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest()}))
