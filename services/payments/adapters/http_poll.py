"""Asks over HTTP. True here: nothing of the headers, the URL or the answer is in what it raises; no redirect is followed."""

import asyncio
from typing import Any

import httpx

from services.payments.domain.poll_settings import HttpPollSettings
from services.payments.domain.polling import Question, Unanswered
from shared.kernel import json
from shared.kernel.errors import BadRequest
from shared.outgoing import TargetRefused


class HttpAsker:
    """`client`: for URLs that somebody wrote."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, settings: HttpPollSettings, question: Question) -> Any:
        headers = {"accept": "application/json", **settings.headers}
        if question.body is not None:
            headers["content-type"] = "application/json"
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                answer = await self._client.request(
                    question.method, question.url, content=question.body, headers=headers
                )
        except TimeoutError:
            raise Unanswered(f"no answer within {settings.timeout_seconds:g} seconds") from None
        except TargetRefused as error:
            raise Unanswered(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unanswered(f"no answer ({type(error).__name__})") from None
        if answer.status_code != 200:
            raise Unanswered(f"HTTP {answer.status_code}")
        try:
            return json.loads(answer.content)
        except BadRequest:
            raise Unanswered("the answer is not JSON") from None

    async def close(self) -> None:
        await self._client.aclose()
