"""Packages on their way in."""

from __future__ import annotations

from pathlib import Path

from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.interop import package
from dianne.interop.formats import ImportOptions, Incoming, imports
from dianne.network.graph import ShapeError

_KEPT = ("overrides", "iteration", "loss", "metrics")


@imports("a package", package.is_package)
def read(path: Path, options: ImportOptions) -> list[Incoming]:
    """The network in a package, under its own name and tag unless others are wanted; raises DianneError."""
    if options.shape or options.shapes:
        raise UsageError(f"{display(path)}: a package says the shapes of its samples; leave yours out")
    found = package.read(path)
    if options.name:
        found = package.renamed(found, options.name)
    try:
        fault = package.differs(found)
    except ShapeError as error:
        raise DianneError(f"{display(path)}: its example does not fit its network: {error}") from error
    manifest = found.manifest
    notes = [f"{display(path)}: {fault}; it may be random, or its weights are not the ones it was made with"]
    incoming = Incoming(
        manifest.network,
        {manifest.network: manifest.text, **manifest.texts},
        {options.tag or found.tag: found.weights},
        parameters=manifest.parameters,
        job={**manifest.job, "package": display(path)},
        labels=manifest.labels,
        dataset=manifest.dataset,
        manifest={key: getattr(manifest, key) for key in _KEPT},
        notes=notes if fault else [],
    )
    return [incoming]
