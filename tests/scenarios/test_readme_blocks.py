"""What the front page tells a newcomer to type does what it says, typed as it stands there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.settings_table import README
from tests.integration.embedded_checks import at_rest, messages
from tests.servers.embedded import API_KEY, embedded

ORIGIN = "http://127.0.0.1:8000"


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl")
def test_the_blocks_of_the_readme_run_one_after_the_other(tmp_path: Path) -> None:
    typed = "".join(re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    assert typed.count(f"{ORIGIN}/v1/") >= 7
    with embedded(tmp_path) as process:
        (tmp_path / "var").symlink_to(tmp_path / "data")
        (tmp_path / "var" / "api-key").write_text(API_KEY)  # where it stands unless it is given, as here
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", typed.replace(ORIGIN, process.url).replace("curl ", "curl -sSf -w '\\n' ")],
            cwd=tmp_path, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        with process.client() as client:
            at_rest(client)
            steps = [one["step"] for one in messages(client)]

    assert (0, "") == (done.returncode, done.stderr)
    accepted, booked, unmatched, partly, _, applied, paid = done.stdout.splitlines()
    assert '"status":"open"' in accepted
    assert '"entries":2,"matched":1,"unmatched":1' in booked
    assert "for the garden" in unmatched
    assert '"open_amount":"250.00"' in partly
    assert '"result":"applied"' in applied
    assert '"status":"paid"' in paid
    assert "deliver-invoice" in steps
