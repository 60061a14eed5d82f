"""The front page tells the truth."""

import re
from pathlib import Path

from deploy.settings_table import README, settings_table, shown

ROOT = Path(__file__).parents[2]


def test_the_table_of_settings_is_what_the_code_reads() -> None:
    assert settings_table() == shown(), "run: python -m deploy.settings_table --write"


def test_every_file_that_the_readme_names_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))

    missing = [link for link in links if not (ROOT / link).exists()]

    assert [] == missing
    assert len(links) > 8
