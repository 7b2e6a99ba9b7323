"""Opening: awaitable, and a block; each use opens anew."""

from __future__ import annotations

import pytest

from aionet.client.opening import Opening


class Resource:
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_block_closes_once_and_an_await_never() -> None:
    opened: list[Resource] = []

    async def open_() -> Resource:
        opened.append(Resource())
        return opened[-1]

    opening = Opening(open_)
    assert opened == []  # nothing happens until it is used
    async with opening as resource:
        assert opened == [resource]
        assert not resource.closed
    assert resource.closed == 1
    assert (await opening).closed == 0
    assert len(opened) == 2
    with pytest.raises(ZeroDivisionError):
        async with opening as resource:
            raise ZeroDivisionError
    assert resource.closed == 1


async def test_what_could_not_be_opened_is_not_closed() -> None:
    async def fail() -> Resource:
        raise ConnectionError("no")

    with pytest.raises(ConnectionError, match="no"):
        async with Opening(fail):
            pytest.fail("never entered")
    with pytest.raises(ConnectionError, match="no"):
        await Opening(fail)
