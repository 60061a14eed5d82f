"""The fixtures themselves: what they promise to every other test."""

import aio_pika
import asyncpg


async def test_a_fresh_database_is_migrated_and_empty(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM reminder") == 0
    finally:
        await connection.close()


async def test_a_fresh_virtual_host_carries_a_message_and_has_no_queues_of_others(fresh_amqp_url: str) -> None:
    async with await aio_pika.connect(fresh_amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("only-here", passive=False)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key="only-here")
        message = await queue.get(timeout=10)
        assert message is not None
        assert message.body == b"hello"
        await message.ack()
