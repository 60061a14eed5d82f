"""What a start does not import: packages that take a while and that most processes, or most of their days, never need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED_LATER = {  # what needs it imports it where it is needed, and says there that it is lazy
    "services": {"aiohttp", "aio_pika", "alembic", "mjml", "sqlmodel"},
    "services.scheduler": {"aiohttp", "alembic", "mjml", "sqlmodel", "twilio"},
    "services.dispatcher": {"aiohttp", "alembic", "cel", "mjml", "sqlmodel"},
    "services.payments": {"aiohttp", "alembic", "cel", "mjml", "sqlmodel", "twilio"},
    "services.migrate": {"aio_pika", "alembic", "cel", "fastapi", "httpx", "sqlmodel"},
}
LOOK = "import json, sys, importlib; importlib.import_module(sys.argv[1]); print(json.dumps(list(sys.modules)))"


@pytest.mark.parametrize("program", sorted(NEEDED_LATER))
def test_a_start_imports_nothing_that_it_does_not_need(program: str) -> None:
    module = program if program == "services.migrate" else f"{program}.__main__"
    looked = subprocess.run([sys.executable, "-c", LOOK, module], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert NEEDED_LATER[program] & set(json.loads(looked.stdout)) == set()
