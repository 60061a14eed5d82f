"""Bank statement files for tests, in every format that is read: the same entries, as different banks would send them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from xml.sax.saxutils import escape

ACCOUNT = "DE89370400440532013000"
ROOTS = {
    "052": ("BkToCstmrAcctRpt", "Rpt"),
    "053": ("BkToCstmrStmt", "Stmt"),
    "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}


@dataclass(frozen=True)
class Line:
    """An entry of a statement. `rf`: a structured reference; `sign`: C, D, RC or RD as MT940 has it."""

    amount: str
    text: str = ""
    rf: str | None = None
    name: str | None = "Jo Bloggs"
    iban: str | None = "DE02120300000000202051"
    bank_ref: str | None = None
    end_to_end: str | None = None
    sign: str = "C"
    currency: str = "EUR"
    day: str = "2026-11-20"
    status: str = "BOOK"


def camt(lines: Iterable[Line], *, kind: str = "053", version: str = "08", account: str = ACCOUNT) -> bytes:
    """One statement, an entry with one transaction each."""
    root, statement = ROOTS[kind]
    head = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{kind}.001.{version}">'
        f"<{root}><GrpHdr><MsgId>M1</MsgId></GrpHdr><{statement}><Id>S1</Id><Acct><Id><IBAN>{account}</IBAN></Id></Acct>\n"
    )
    return (head + "\n".join(entry(line, version) for line in lines) + f"</{statement}></{root}></Document>\n").encode()


def entry(line: Line, version: str = "08") -> str:
    direction = "CRDT" if line.sign in ("C", "RD") else "DBIT"
    status = f"<Cd>{line.status}</Cd>" if int(version) >= 8 else line.status
    return (
        f'<Ntry><Amt Ccy="{line.currency}">{line.amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'
        + ("<RvslInd>true</RvslInd>" if line.sign.startswith("R") else "")
        + f"<Sts>{status}</Sts><BookgDt><Dt>{line.day}</Dt></BookgDt>"
        + (f"<AcctSvcrRef>{line.bank_ref}</AcctSvcrRef>" if line.bank_ref else "")
        + f"<NtryDtls>{transaction(line, version)}</NtryDtls></Ntry>"
    )


def transaction(line: Line, version: str = "08", amount: bool = False) -> str:
    party = f"<Nm>{escape(line.name)}</Nm>" if line.name else ""
    party = f"<Pty>{party}</Pty>" if int(version) >= 8 and party else party
    return (
        f"<TxDtls><Refs><EndToEndId>{line.end_to_end or 'NOTPROVIDED'}</EndToEndId></Refs>"
        + (f'<Amt Ccy="{line.currency}">{line.amount}</Amt>' if amount else "")
        + (f"<RltdPties><Dbtr>{party}</Dbtr>" if party else "<RltdPties>")
        + (f"<DbtrAcct><Id><IBAN>{line.iban}</IBAN></Id></DbtrAcct>" if line.iban else "")
        + "</RltdPties><RmtInf>"
        + (f"<Ustrd>{escape(line.text)}</Ustrd>" if line.text else "")
        + (f"<Strd><CdtrRefInf><Ref>{line.rf}</Ref></CdtrRefInf></Strd>" if line.rf else "")
        + "</RmtInf></TxDtls>"
    )


def batch(lines: list[Line], version: str = "08") -> str:
    """One entry that books all of them in a sum."""
    total = sum((Decimal(line.amount) for line in lines), Decimal(0))
    return (
        f'<Ntry><Amt Ccy="EUR">{total}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-20</Dt></BookgDt>'
        "<AcctSvcrRef>BATCH-1</AcctSvcrRef><NtryDtls>"
        + "".join(transaction(line, version, amount=True) for line in lines)
        + "</NtryDtls></Ntry>"
    )


def camt_of(*entries: str) -> bytes:
    return camt([]).replace(b"</Stmt>", "".join(entries).encode() + b"</Stmt>")


def mt940(lines: Iterable[Line], *, dialect: str = "german", interim: bool = False, account: str = ACCOUNT) -> bytes:
    """`dialect`: german (?20), dutch (/REMI/) or free."""
    currency = next(iter(lines := list(lines)), Line("1")).currency
    head = f":20:STARTUMS\n:25:{account}\n:28C:00001/001\n"
    head += f":34F:{currency}0,\n:13D:2611201200+0100\n" if interim else f":60F:C261119{currency}1000,00\n"
    body = "".join(_mt940_entry(line, dialect) for line in lines)
    return (head + body + ("-\n" if interim else f":62F:C261120{currency}2000,00\n-\n")).encode()


def _mt940_entry(line: Line, dialect: str) -> str:
    day = line.day.replace("-", "")[2:]
    amount = line.amount.replace(".", ",")
    reference = f"//{line.bank_ref}" if line.bank_ref else ""
    said = (f"{line.rf} " if line.rf else "") + line.text
    return f":61:{day}{day[2:]}{line.sign}{amount}NTRFNONREF{reference}\n:86:{_DIALECTS[dialect](line, said)}\n"


def _german(line: Line, said: str) -> str:
    pieces = (f"EREF+{line.end_to_end} " if line.end_to_end else "") + f"SVWZ+{said}"
    purpose = "".join(f"?2{n}{pieces[at : at + 27]}" for n, at in enumerate(range(0, len(pieces), 27)))
    text = (
        f"166?00GUTSCHRIFT{purpose}?30BYLADEM1001"
        + (f"?31{line.iban}" if line.iban else "")
        + (f"?32{line.name}" if line.name else "")
    )
    return "\n".join(text[at : at + 65] for at in range(0, len(text), 65))


def _dutch(line: Line, said: str) -> str:
    pieces = {"TRTP": "SEPA OVERBOEKING", "IBAN": line.iban, "NAME": line.name, "EREF": line.end_to_end, "REMI": said}
    return "".join(f"/{name}/{text}" for name, text in pieces.items() if text)


def _free(line: Line, said: str) -> str:
    return said


_DIALECTS = {"german": _german, "dutch": _dutch, "free": _free}
