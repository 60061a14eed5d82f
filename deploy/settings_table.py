"""python -m deploy.settings_table: the README's table of settings, made from the code that reads them.

`--write` puts it between the README's markers; a test compares the two.
"""

import sys
from pathlib import Path

from services.__main__ import EmbeddedSettings
from services.dispatcher.settings import DistributedDispatcher
from services.dispatcher.wiring import CHANNEL_SETTINGS
from services.migrate import MigrateSettings
from services.payments.settings import PaymentsSettings
from services.scheduler.settings import Process
from shared.outgoing import OutgoingSettings
from shared.settings import LedgerSettings, table

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def settings_table() -> str:
    own = (Process, DistributedDispatcher, PaymentsSettings, LedgerSettings, OutgoingSettings, *CHANNEL_SETTINGS)
    return table((MigrateSettings, *own, EmbeddedSettings))


def shown() -> str:
    """What the README says now."""
    return README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    if "--write" in sys.argv:
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(BEGIN + shown(), BEGIN + settings_table()), encoding="utf-8")
    else:
        print(settings_table(), end="")
