"""A claim whose answer is lost on the way ends as not sent, soon, and the reminder goes once."""

from pathlib import Path
from socket import gethostname
from urllib.parse import urlsplit

from tests.doubles.cut_wire import cut_wire
from tests.integration.dispatcher_running import running


async def test_a_claim_whose_answer_is_lost_is_given_back_and_goes_once(database_dsn: str, tmp_path: Path) -> None:
    address = urlsplit(database_dsn)
    async with cut_wire(str(address.hostname), address.port or 5432) as wire:
        through = database_dsn.replace(f":{address.port}", f":{wire.port}").replace(str(address.hostname), "127.0.0.1")
        async with running(database_dsn, tmp_path, channels=("email",), through=through) as made:
            _, queued = await made.due()
            wire.words = f"{gethostname()}-".encode()
            await made.publish(queued)
            await made.until("SELECT state = 'notsent' FROM attempt WHERE reminder_id = $1", queued, within=100.0)

            assert (wire.cuts, await made.state(queued)) == (1, ("pending", None))
            assert made.smtp.mails == []

            await made.queue_again(queued)
            await made.send(queued)
            assert [("email", "notsent"), ("email", "accepted")] == await made.attempts(queued)
            assert len(made.smtp.mails) == 1
