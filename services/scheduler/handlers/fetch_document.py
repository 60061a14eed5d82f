"""A document that the ERP names by its address is fetched while the invoice is taken in, through the guard.

True here: it ends in time and in bytes, before any transaction begins; what the address answers is never shown.
"""

import httpx

from shared.documents import MAX_BYTES
from shared.kernel.errors import TooLarge, Unavailable
from shared.outgoing import AnswerTooLarge, Guard, HostNotFound, TargetRefused, guarded_client

AT_ONCE = 4  # so that at most 80 MiB of documents are on their way
TIMEOUT = 30.0


class DocumentRefused(Exception):
    """This address will not do; the text says why."""


class FetchDocument:
    def __init__(self, guard: Guard) -> None:
        self._client = guarded_client(guard, max_bytes=MAX_BYTES, timeout=TIMEOUT, connections=AT_ONCE)

    async def __call__(self, url: str) -> bytes:
        """Raises DocumentRefused, TooLarge, or Unavailable where the same request may succeed later."""
        try:
            answer = await self._client.get(url)
        except (TargetRefused, HostNotFound) as error:
            raise DocumentRefused(str(error)) from None
        except AnswerTooLarge:
            raise TooLarge(f"the document is larger than {MAX_BYTES // 1024**2} MiB; make it smaller") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise Unavailable("the document's address did not answer in time; send the same request again") from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unavailable(f"the document's address answers {answer.status_code}; send the same request again")
        if answer.status_code != 200:
            hint = "; name the address that it redirects to" if answer.is_redirect else ""
            raise DocumentRefused(f"the address answers {answer.status_code} instead of the document{hint}")
        return answer.content

    async def close(self) -> None:
        await self._client.aclose()
