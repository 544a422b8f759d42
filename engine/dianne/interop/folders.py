"""Writing several files at once: into a folder, or into a zip where the path ends so."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dianne.errors import UsageError


def write_all(files: Mapping[str, bytes], out: Path) -> None:
    """Write files by their paths below `out`.

    Raises:
        UsageError: one of the paths leaves the folder.
        OSError: it cannot be written.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise UsageError(f"{name!r} cannot be the name of a file; nothing was written")
    if out.suffix in (".zip", ".dianne"):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(
                    zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content
                )  # the same bytes each time
        return
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
