"""What can be wrong with a store."""

from dianne.errors import DianneError


class StoreError(DianneError):
    """The store cannot be read or written, or holds what does not fit."""


class MisfitError(StoreError):
    """Stored weights are of other names or shapes than the network."""


def spoilt(name: str) -> StoreError:
    """A file whose content is not what was written; `name` is what messages call it."""
    return StoreError(f"{name}: its content was changed; restore it from a copy")


def reason(error: OSError) -> str:
    """Why a file could not be read or written."""
    return error.strerror or str(error)
