"""How weights are called: `NETWORK:TAG`, entries of a history, and the files in which they lie.

vae             the newest weights under the tag
vae~3           the third before them
vae@1000        a tag like others, of a snapshot; so are vae@best and vae@ema
1a2b3c4         a manifest, by seven or more digits with which its identifier begins

All can be read; only tags can be written.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from dianne.errors import UsageError

_BACK = re.compile(r"([^:,~=\s]+)~([0-9]{1,9})")
_PREFIX = re.compile(r"[0-9a-f]{7,64}")
_APPENDED = re.compile(r"@(?:ema|best|[0-9]{1,12})$")  # by jobs; the tag's own length is what is left
_IDENTIFIER = re.compile(rb"[0-9a-f]{64}")
SHORT = 12  # digits of an identifier that are shown


def check_tag(tag: str) -> str:
    """A tag as given, if it can be one.

    Raises:
        UsageError: it is empty, too long, or holds a character that commands need for themselves.
    """
    if found := _BACK.fullmatch(tag):
        raise UsageError(
            f"'{tag}' is an entry of a history, which never changes: it can be read, but nothing can be "
            f"stored there; store under '{found[1]}' or another tag"
        )
    bad = sorted({sign for sign in tag if sign in ":,~=" or sign.isspace() or not sign.isprintable()})
    message = "1 to 100 characters without blanks and without : , ~ ="
    own = _APPENDED.sub("", tag)
    if not tag or len(own) > 100 or bad:
        found_ = repr("".join(bad)) if bad else "nothing" if not tag else f"{len(own)} characters"
        raise UsageError(f"{tag!r} cannot be a tag: a tag has {message}; found {found_}")
    if len(safe(own)) > 240:  # file systems take 255
        raise UsageError(f"'{tag}' cannot be a tag: its letters need too much space in the name of a file")
    return tag


def check_address(address: str) -> str:
    """An address as given, if it can be one: a tag, an entry of its history, or digits of a manifest.

    Raises:
        UsageError: it is none; as `check_tag`.
    """
    check_tag(entry(address)[0])
    return address


def entry(address: str) -> tuple[str, int]:
    """The tag (or digits) of an address, and how many entries before the newest it means."""
    found = _BACK.fullmatch(address)
    return (found[1], int(found[2])) if found else (address, 0)


def is_prefix(name: str) -> bool:
    """Whether a name may be the beginning of a manifest's identifier."""
    return bool(_PREFIX.fullmatch(name))


def parse(text: str) -> tuple[list[str], str]:
    """Networks and address of `Encoder,Decoder:vae~3`.

    Raises:
        UsageError: it is not of that form.
    """
    names, colon, address = text.partition(":")
    networks = [name.strip() for name in names.split(",")]
    if not colon or not all(networks) or not address:
        raise UsageError(
            f"'{text}' names no weights; write NETWORK:TAG, such as Encoder:vae or Encoder,Decoder:vae~1"
        )
    return list(dict.fromkeys(networks)), check_address(address)


def parse_one(text: str) -> tuple[str, str]:
    """Network and address of `Encoder:vae~3`; raises as `parse`."""
    networks, address = parse(text)
    if len(networks) > 1:
        raise UsageError(f"'{text}' names {len(networks)} networks; one is needed here")
    return networks[0], address


# --------------------------------------------------------------------------------------------------- files


def safe(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="@+ ").replace(".", "%2E")


def ref(network: str, tag: str) -> str:
    """The file of a tag."""
    return f"refs/{safe(network)}/{safe(check_tag(tag))}"


def named_by(ref: str) -> tuple[str, str] | None:
    """Network and tag of a tag's file; None for a file of somebody else (.DS_Store, a copy under way)."""
    parts = ref.split("/")
    names = [unquote(part) for part in parts[1:]]
    if len(names) != 2 or [safe(name) for name in names] != parts[1:]:
        return None
    return names[0], names[1]


def blob(identifier: str) -> str:
    """The file of some weights."""
    return f"blobs/{identifier[:2]}/{identifier}.safetensors"


def manifest(identifier: str) -> str:
    """The file of a manifest."""
    return f"manifests/{identifier[:2]}/{identifier}.json"


def pruned(identifier: str) -> str:
    """The empty file that says that gc has removed a manifest: histories that reach it end there."""
    return f"manifests/{identifier[:2]}/{identifier}.pruned"


def identifier_of(path: str) -> str:
    """The identifier in the name of a blob's or manifest's file."""
    return path.rpartition("/")[2].partition(".")[0]


def identifier_in(content: bytes | None) -> str | None:
    """The identifier that a tag's file holds; None if it holds something else."""
    found = (content or b"").strip()
    return found.decode() if _IDENTIFIER.fullmatch(found) else None
