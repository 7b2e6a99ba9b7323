"""Load: many clients at once against a server, each reply checked, and what it took. ``docs/bench.md`` is its manual.

===================  ======================================================================
:mod:`.plan`         what a run is to do
:mod:`.script`       messages and the replies they are to have
:mod:`.clients`      closed and open loops; :mod:`.streams`, :mod:`.datagrams`, :mod:`.chat`, :mod:`.files`
:mod:`.pacing`       constant arrivals
:mod:`.engine`       the part of a run that one process does; :mod:`.worker`, that process
:mod:`.running`      :func:`run_load`: processes started together, their counts put together
:mod:`.outcome`      those counts; :mod:`.tally`, :mod:`.latency`; :mod:`.result`, for people and files
:mod:`.search`       the highest rate that holds
:mod:`.comparison`   two results, and what is noise
===================  ======================================================================
"""

from .plan import Chat, Download, Exchange, Plan
from .result import Result
from .running import run_load
from .script import Script, generated_messages

__all__ = ["Chat", "Download", "Exchange", "Plan", "Result", "Script", "generated_messages", "run_load"]
