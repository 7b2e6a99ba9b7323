"""One process of a run: it opens its connections, lets them speak, and hands over what it counted at each interval."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import AionetError
from .clients import UNLIMITED, Client
from .pacing import Pacer
from .plan import Plan, Share
from .tally import Tally

__all__ = ["Engine", "Phase", "Snapshot"]

Phase = Literal["lead", "measured", "drain"]
"""Ramp and warm-up; what counts; waiting for the last answers."""

AT_ONCE: Final = 64
"""Connections that are being opened at the same time: a listener's queue is finite."""

_SECOND: Final = 1_000_000_000
_LOOK: Final = 0.005
"""Seconds between two looks whether all is answered, where that ends the run."""

_clock = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one process counted in one interval.

    Attributes:
        share: Number of the process.
        phase: Of the run.
        number: Of the interval in its phase.
        at: Seconds from the start of the run to the beginning of the interval.
        seconds: How long it was.
        tally: Counts.
        cpu: Seconds of CPU time that the process took.
        waited: Seconds that it could have run and had no CPU; 0 where the system does not tell.
        connections: Open at its end.
    """

    share: int
    phase: Phase
    number: int
    at: float
    seconds: float
    tally: Tally
    cpu: float
    waited: float
    connections: int


class Engine:
    """The part of a run that one process does.

    Args:
        plan: The run.
        share: Which part.
        report: Called with what each interval brought.
    """

    def __init__(self, plan: Plan, share: Share, report: Callable[[Snapshot], object]) -> None:
        self._plan = plan
        self._share = share
        self._report = report
        self._load = plan.load()
        self._positions = share.positions(plan.connections)
        self._tally = Tally()
        self._clients: list[Client] = []  # open
        self._speakers: list[Client] = []  # of these, those that send
        self._keepers: set[asyncio.Task[None]] = set()
        self._missing: set[int] = set()  # connections that are going to be opened anew
        self._running = False
        self._stopping = False
        self._over = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._first_error: AionetError | OSError | None = None
        self._pacer: Pacer | None = None
        self._start = 0
        self._heard_at = 0
        self._times = _process_times()

    # ---- connections ---------------------------------------------------------------------------

    async def open(self) -> int:
        """Open the connections; if they are opened during the ramp, the first one alone. Returns how many are open.

        Raises:
            ConnectError, OSError: none could be opened; this is why the first one could not.
        """
        now = self._positions[:1] if self._ramps_connections else self._positions
        loop = asyncio.get_running_loop()
        tried = [loop.create_future() for _ in now]
        for position, first_try in zip(now, tried, strict=True):
            self._keep(position, first_try)
        await asyncio.gather(*tried)
        if self._first_error is not None and not self._clients:
            self._cancel_keepers()
            raise self._first_error
        return len(self._clients)

    @property
    def _ramps_connections(self) -> bool:
        return self._plan.ramp > 0 and self._plan.rate is None

    def _keep(self, position: int, first_try: asyncio.Future[None] | None = None, delay: float = 0) -> None:
        keeper = asyncio.create_task(self._keep_open(position, first_try, delay))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keeper_done)

    def _keeper_done(self, keeper: asyncio.Task[None]) -> None:
        self._keepers.discard(keeper)
        if not self._keepers:
            self._over.set()
        if not keeper.cancelled():
            keeper.result()

    async def _keep_open(self, position: int, first_try: asyncio.Future[None] | None, delay: float) -> None:
        """Open the connection, and again whenever it ends, if that is wanted."""
        if first_try is None:
            await asyncio.sleep(delay)
        plan = self._plan
        quota = 0 if plan.rate is not None else UNLIMITED if plan.messages is None else plan.quota(position)
        failed = 0.0
        while True:
            client = self._load.client(self._tally, position, quota)
            opened = await self._try_to_open(client)
            self._missing.discard(position)
            if first_try is not None and not first_try.done():
                first_try.set_result(None)
            if opened:
                await client.ended.wait()
                self._forget(client)
                quota = client.left_over
            # A server that answers and closes is asked again at once; one that is not there is given time.
            failed = 0.0 if client.answered else max(2 * failed, 0.05)
            if not self._goes_on(quota, failed):
                return
            self._missing.add(position)
            await asyncio.sleep(min(failed, 1.0))

    def _goes_on(self, quota: int, failed: float) -> bool:
        """Whether a connection that ended is opened anew; where all is to be answered, not for ever in vain."""
        plan = self._plan
        if not plan.reconnect or self._stopping:
            return False
        return plan.messages is None or (failed <= plan.timeout and (quota > 0 or plan.rate is not None))

    async def _try_to_open(self, client: Client) -> bool:
        try:
            async with self._slots:
                await client.open(self._plan.endpoint, self._plan.timeout)
        except (AionetError, OSError) as exc:
            self._first_error = self._first_error or exc
            self._tally.fail("could not connect", str(exc))
            return False
        self._clients.append(client)
        if client.speaks:
            self._speakers.append(client)
        if self._running:
            client.start()
        return True

    def _forget(self, client: Client) -> None:
        self._heard_at = max(self._heard_at, client.heard_at)
        self._clients.remove(client)
        if client.speaks:
            self._speakers.remove(client)

    def _cancel_keepers(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()

    # ---- the run -------------------------------------------------------------------------------

    async def run(self, start: int) -> None:
        """All phases, from ``start`` on (by :func:`time.perf_counter_ns`, in the near future), to the last answer."""
        self._start = start
        plan = self._plan
        try:
            await self._wait(start)
            self._times = _process_times()
            self._begin()
            now = start + int(plan.lead * _SECOND)
            if plan.lead:
                await self._count("lead", start, now)
            if not self._over.is_set():
                until = None if plan.duration is None else now + int(plan.duration * _SECOND)
                await self._count("measured", now, until)
            await self._drain()
        finally:
            self._end()

    def stop(self) -> None:
        """End early, with what there is."""
        self._stopping = True
        self._over.set()

    def _begin(self) -> None:
        plan = self._plan
        self._running = True
        if self._ramps_connections:
            for position in self._positions[1:]:
                self._keep(position, delay=plan.ramp * position / plan.connections)
        if plan.rate is None:
            for client in self._clients:
                client.start()
            return
        speaking = sum(position < plan.speakers for position in self._positions)
        if speaking:
            rate = plan.rate * speaking / plan.speakers
            limit = None if plan.messages is None else sum(map(plan.quota, self._positions))
            self._pacer = Pacer(self._speakers, self._tally, rate, plan.ramp, limit, self._start)

    async def _count(self, phase: Phase, begin: int, until: int | None) -> None:
        """Hand over what each interval brought, until the time has come, or all is answered, or nobody is left."""
        number = 0
        interval = int(self._plan.interval * _SECOND)
        while until is None or begin < until:
            end = begin + interval
            if until is not None and end > until - interval // 2:
                end = until  # no short one at the end
            await self._wait(end, look=until is None)
            now = _clock()
            done = until is None and self._all_answered()
            end = max(self._last_heard(), begin + 1) if done else min(end, now) if self._over.is_set() else end
            self._hand_over(phase, number, begin, end)
            if done or self._over.is_set():
                return
            number += 1
            begin = end
            timeout = int(self._plan.timeout * _SECOND)
            for client in tuple(self._clients):
                client.check(now, timeout)

    async def _wait(self, until: int, *, look: bool = False) -> None:
        """Until then, or until the run is over; or, if one is to ``look``, until all is answered."""
        while not self._over.is_set() and not (look and self._all_answered()):
            seconds = (until - _clock()) / _SECOND
            if seconds <= 0:
                return
            try:
                async with asyncio.timeout(min(seconds, _LOOK) if look else seconds):
                    await self._over.wait()
            except TimeoutError:
                continue

    def _all_answered(self) -> bool:
        if self._missing or (self._pacer is not None and not self._pacer.exhausted):
            return False
        again = self._plan.reconnect
        return all(client.idle and not (again and client.left_over) for client in self._clients)

    def _last_heard(self) -> int:
        return max((self._heard_at, *(client.heard_at for client in self._clients)))

    def _hand_over(self, phase: Phase, number: int, begin: int, end: int) -> None:
        before, self._times = self._times, _process_times()
        cpu, waited = self._times[0] - before[0], self._times[1] - before[1]
        at, seconds = (begin - self._start) / _SECOND, (end - begin) / _SECOND
        tally = self._tally.take()
        open_ = len(self._clients)
        self._report(Snapshot(self._share.number, phase, number, at, seconds, tally, cpu, waited, open_))

    async def _drain(self) -> None:
        """Let the last answers come."""
        begin = _clock()
        if self._pacer is not None:
            self._pacer.stop()
            self._pacer = None
        self._missing.clear()
        self._over.clear()  # whoever stopped us has it: once more, and it is at once
        for client in self._clients:
            client.finish()
        patience = min(self._plan.timeout, 1.0) if self._stopping else self._plan.timeout
        await self._wait(begin + int(patience * _SECOND), look=True)
        self._stopping = True
        for client in tuple(self._clients):
            client.close()
        self._hand_over("drain", 0, begin, _clock())
        self._over.clear()
        if self._keepers:
            await self._wait(_clock() + _SECOND)  # until the connections are closed

    def _end(self) -> None:
        if self._pacer is not None:
            self._pacer.stop()
        self._stopping = True
        for client in tuple(self._clients):
            client.close(at_once=True)
        self._cancel_keepers()


def _process_times() -> tuple[float, float]:
    """Seconds of CPU time this process took, and that its thread waited for a CPU (proc(5), schedstat)."""
    try:
        with open("/proc/self/schedstat", "rb") as file:
            waited = int(file.read().split()[1]) / _SECOND
    except (OSError, IndexError, ValueError):  # not Linux, or built without it
        waited = 0.0
    return time.process_time(), waited
