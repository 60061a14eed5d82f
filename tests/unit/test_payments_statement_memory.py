"""The memory of a whole process that reads a statement: what the operating system saw at most, not what Python counts."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from services.payments.adapters.registry import reader_of
from services.payments.domain.statement import Entry, Item
from services.payments.handlers.identify_entries import Identities
from tests.statement_files import Line, camt_of, entry

MANY = 100_000 if os.environ.get("FULL", "0") not in ("", "0") else 20_000
FEW = MANY // 10
ROOM = 6 * 1024  # KiB more than at the first entries
LONG_TEXT = 30_000_000
XML = (
    b"<Document><BkToCstmrStmt><GrpHdr/><Stmt>",
    b'<Ntry><Amt Ccy="EUR">%d.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Ntry>\n',
    b"</Stmt></BkToCstmrStmt></Document>",
)
LINES = (
    b":20:X\n:25:DE1\n:28C:1\n:60F:C261119EUR0,00\n",
    b":61:2611201120C%d,00NTRFNONREF\n",
    b":62F:C261120EUR1,00\n-",
)
FILES = {"camt.053": XML, "MT940": LINES}
MEMORY = Path("/proc/self/status")
READING = "from tests.unit.test_payments_statement_memory import tell_peaks; tell_peaks({path!r})"

pytestmark = pytest.mark.skipif(not MEMORY.exists(), reason="Linux alone says what a process needed at most")


@pytest.mark.parametrize("name", sorted(FILES))
def test_ten_times_the_entries_need_no_more_memory(name: str, tmp_path: Path) -> None:
    head, line, end = FILES[name]
    path = tmp_path / "statement"
    path.write_bytes(head + b"".join(map(partial(bytes.__mod__, line), range(1, MANY + 1))) + end)
    entries, few, many = peaks(path)
    assert entries == MANY
    assert many < few + ROOM, (few, many)


def test_a_text_without_an_end_costs_no_more_than_the_others(tmp_path: Path) -> None:
    """30 MB in one element: its entry is told, the others count, and nobody holds the text."""
    plain = entry(Line("1.00", "x"))
    huge = plain.replace("</TxDtls>", f"<AddtlTxInf>{'y' * LONG_TEXT}</AddtlTxInf></TxDtls>")
    path = tmp_path / "statement"
    path.write_bytes(camt_of(plain * FEW, huge, plain))
    entries, few, many = peaks(path)
    assert entries == FEW + 1
    assert many < few + ROOM, (few, many)


def test_a_text_of_blanks_hides_nothing_that_comes_after_them() -> None:
    file = camt_of(entry(Line("1.00", " " * 70_000 + "INV-1")), entry(Line("1.00")))
    bad, good = reader_of(file).read(io.BytesIO(file))
    assert "larger than" in bad.detail
    assert good.amount == 1


def peaks(path: Path) -> tuple[int, int, int]:
    """(entries, KiB at most until the first FEW entries, KiB at most in all) of a process that reads the file."""
    ended = subprocess.run(
        [sys.executable, "-c", READING.format(path=str(path))], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    entries, few, many = map(int, ended.stdout.split())
    return entries, few, many


def tell_peaks(path: str) -> None:
    with Path(path).open("rb") as file, Identities() as identities:
        reader = reader_of(file.read(4096))
        file.seek(0)
        items = reader.read(file)
        few = identified(items, identities, FEW)
        at_few = peak()
        many = identified(items, identities, MANY)
        file.seek(0)
        reader.check(file)
    sys.stdout.write(f"{few + many} {at_few} {peak()}\n")


def identified(items: Iterator[Item], identities: Identities, most: int) -> int:
    count = 0
    for item in items:
        if isinstance(item, Entry):
            identities.of(item)
            count += 1
            if count == most:
                break
    return count


def peak() -> int:
    found = re.search(r"VmHWM:\s+([0-9]+) kB", MEMORY.read_text())
    assert found
    return int(found[1])
