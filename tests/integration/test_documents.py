"""Stored once, under the hash of the content, and given back byte by byte."""

import hashlib
from email.message import Message
from pathlib import Path

import pytest

from shared.documents import MAX_BYTES, Documents, clean_filename, clean_media_type, content_disposition
from shared.kernel.errors import NotFound, TooLarge, Unavailable


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(f"file://{tmp_path}/with%20blank/documents")


def stored(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_a_document_comes_back_in_pieces(documents: Documents) -> None:
    content = bytes(range(256)) * 8000
    key = await documents.put(content)
    assert key == hashlib.sha256(content).hexdigest()
    document = await documents.open(key)
    assert document.size == len(content)
    pieces = [piece async for piece in document.chunks]
    assert len(pieces) > 1
    assert b"".join(pieces) == content


async def test_the_same_file_is_stored_once(documents: Documents, tmp_path: Path) -> None:
    assert await documents.put(b"%PDF") == await documents.put(b"%PDF")
    assert stored(tmp_path) == [b"%PDF"]


async def test_a_second_process_finds_what_the_first_stored(documents: Documents, tmp_path: Path) -> None:
    key = await documents.put(b"x")
    assert await Documents(f"file://{tmp_path}/with%20blank/documents").get(key) == b"x"


async def test_too_large_a_document_is_refused(documents: Documents, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="20 MiB"):
        await documents.put(b"x" * (MAX_BYTES + 1))
    assert stored(tmp_path) == []


async def test_a_store_that_has_no_room_or_cannot_read_is_unavailable_and_no_bug(
    documents: Documents, tmp_path: Path
) -> None:
    folder = tmp_path / "with blank" / "documents"
    (folder / hashlib.sha256(b"x").hexdigest()[:2]).write_bytes(b"in the way")
    with pytest.raises(Unavailable, match="store of documents"):
        await documents.put(b"x")
    key = await documents.put(b"y")
    in_a_circle = folder / key[:2] / key
    in_a_circle.unlink()
    in_a_circle.symlink_to(in_a_circle)
    with pytest.raises(Unavailable, match="store of documents"):
        await documents.get(key)


@pytest.mark.parametrize("key", ["0" * 64, "", "../../etc/passwd", "0" * 63 + "/"])
async def test_an_unknown_key_is_not_found(documents: Documents, key: str) -> None:
    with pytest.raises(NotFound):
        await documents.open(key)


async def test_the_readiness_check_reads_the_store(documents: Documents) -> None:
    await documents.check()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("invoice 7.pdf", "invoice 7.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\r.pdf", "r.pdf"),
        ('a"\r\nX-Evil: 1.pdf', "aX-Evil 1.pdf"),
        ("..", "document"),
        ("", "document"),
        ("\u202egpj.exe", "gpj.exe"),
        ("Übersicht.pdf", "Übersicht.pdf"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
    ],
)
def test_a_filename_is_only_a_name(given: str, name: str) -> None:
    assert clean_filename(given) == name


def test_a_media_type_is_one_or_refused() -> None:
    assert clean_media_type("Application/PDF; name=x") == "application/pdf"
    for text in ("", "pdf", "text/html\r\nX: y", "a/b/c", "text/"):
        with pytest.raises(ValueError, match="application/pdf"):
            clean_media_type(text)


def test_a_download_keeps_its_name_in_any_language() -> None:
    header = Message()
    header["Content-Disposition"] = content_disposition("Übersicht 7.pdf")
    assert header.get_content_disposition() == "attachment"
    assert header["Content-Disposition"].isascii()
    assert "filename*=UTF-8''%C3%9Cbersicht%207.pdf" in header["Content-Disposition"]
