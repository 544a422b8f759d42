"""Archives: what is in them is read, and nothing is written or read beside them."""

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from dianne.data import archives
from dianne.data.archives import holds, is_archive, read_members
from dianne.data.descriptor import describe
from dianne.data.files import DataError, contents
from dianne.workspace import Folder

FILES = {"set/a.bin": b"one", "set/b.bin": b"two"}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    Path("datasets").mkdir()


def zipped(files=FILES, mode=0):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def tarred(files=FILES, kind=tarfile.REGTYPE, packing="gz"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{packing}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def read(content, name="x.zip"):
    Path(name).write_bytes(content)
    return dict(read_members(Path(name), lambda _: True))


def refused(content, name="x.zip"):
    with pytest.raises(DataError) as fault:
        read(content, name)
    return str(fault.value)


def test_names_lead_into_archives():
    assert holds("a.zip/b/c.bin") == ("a.zip", "b/c.bin")
    assert holds("x/a.tar.gz/b") == ("x/a.tar.gz", "b")
    assert holds("x/a.bin") == ("x/a.bin", "")
    assert holds("a.zip") == ("a.zip", "")
    assert is_archive("A.TGZ")
    assert not is_archive("a.gz")


@pytest.mark.parametrize("content", [zipped(), tarred(), tarred(packing="")], ids=["zip", "tar.gz", "tar"])
def test_files_are_read_from_archives_of_every_kind(content):
    assert read(content) == FILES


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "C:/out", "..\\out"])
@pytest.mark.parametrize("made", [zipped, tarred])
def test_a_file_that_leaves_the_folder_is_refused(made, name):
    message = refused(made({"good": b"", name: b"x"}))
    assert message == f"x.zip: its file {name!r} leaves the archive's folder; nothing of it was read"


def test_links_and_devices_are_refused():
    link = "x.zip: its file 'link' is a link; nothing of it was read"
    assert refused(zipped({"link": b"/etc/passwd"}, stat.S_IFLNK | 0o777)) == link
    assert refused(tarred({"link": b""}, tarfile.SYMTYPE)) == link
    assert refused(tarred({"link": b""}, tarfile.LNKTYPE)) == link
    device = "x.zip: its file 'disk' is a device; nothing of it was read"
    assert refused(tarred({"disk": b""}, tarfile.BLKTYPE)) == device


@pytest.mark.parametrize("made", [zipped, tarred])
def test_an_archive_that_would_fill_the_memory_is_refused(made, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    assert read(made({"zeros": bytes(1000)})) == {"zeros": bytes(1000)}
    assert refused(made({"zeros": bytes(600), "more": bytes(401)})) == (
        "x.zip: holds more than 1,000 bytes or 5,000,000 files; unpack it yourself if you trust it"
    )


@pytest.mark.parametrize("made", [zipped, tarred])
def test_an_archive_that_is_cut_off_is_refused(made):
    for length in range(0, len(made()), 7):
        message = refused(made()[:length])
        assert message.startswith("x.zip: is cut off or no archive (")
        assert message.endswith("); delete it, and get it again")
        assert "\n" not in message


def declared(name, checksum, inside="set/b.bin"):
    Path("datasets/Own.yaml").write_text(
        f"type: RawDataset\nfiles:\n  {name}: {{{checksum}, urls: [http://localhost:1/{name}]}}\n"
    )
    folder = Folder(Path())
    return contents(folder, describe(folder, "Own"), [f"{name}/{inside}"])


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_an_archive_is_compared_with_its_checksum_as_it_was_downloaded(kind):
    Path("datasets/x.tar.gz").write_bytes(tarred())
    digest = hashlib.new(kind, tarred()).hexdigest()
    right = hashlib.new(kind, Path("datasets/x.tar.gz").read_bytes()).hexdigest()
    assert declared("x.tar.gz", f"{kind}: {right}") == {"x.tar.gz/set/b.bin": b"two"}
    wrong = "f" * len(digest)
    with pytest.raises(DataError) as fault:
        declared("x.tar.gz", f"{kind}: {wrong}")
    assert str(fault.value) == (
        f"datasets/x.tar.gz: is not the file that Own declares: its content has the {kind} {right}, expected "
        f"{wrong}; delete it, and it is fetched again"
    )


def test_an_md5_is_that_of_the_packed_file():
    packed = gzip.compress(b"content", mtime=0)
    Path("datasets/Own.yaml").write_text(
        "type: RawDataset\nfiles:\n  x: "
        f"{{md5: {hashlib.md5(packed).hexdigest()}, urls: [http://localhost:1/x.gz]}}\n"
    )
    folder = Folder(Path())
    described = describe(folder, "Own")
    Path("datasets/x").write_bytes(b"unpacked by hand")
    assert contents(folder, described, ["x"]) == {"x": b"unpacked by hand"}
    Path("datasets/x").unlink()
    Path("datasets/x.gz").write_bytes(packed)
    assert contents(folder, described, ["x"]) == {"x": b"content"}
    Path("datasets/x.gz").write_bytes(gzip.compress(b"content", compresslevel=1, mtime=3))
    with pytest.raises(DataError, match="its content has the md5"):
        contents(folder, described, ["x"])


def test_what_is_packed_in_an_archive_is_unpacked_and_what_is_missing_is_named():
    Path("datasets/x.zip").write_bytes(zipped({"a.gz": gzip.compress(b"inner")}))
    Path("datasets/Own.yaml").write_text("type: RawDataset")
    folder = Folder(Path())
    described = describe(folder, "Own")
    assert contents(folder, described, ["x.zip/a.gz"]) == {"x.zip/a.gz": b"inner"}
    with pytest.raises(DataError) as fault:
        contents(folder, described, ["x.zip/b"])
    assert str(fault.value) == "datasets/x.zip: holds no file b"
