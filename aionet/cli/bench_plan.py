"""The command line of ``bench``, as a plan."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from ..codecs import RawCodec
from ..endpoint import Endpoint
from ..errors import ConfigError, EncodeError
from ..load.datagrams import NUMBER
from ..load.plan import Chat, Download, Exchange, Plan
from ..load.script import Script, generated_messages
from ..load.search import Promise
from .codecs import NamedCodec, parse_codec
from .options import DEFAULT_CHAT, DEFAULT_FILES, encode_text, parse_endpoint
from .serve import raise_descriptor_limit

__all__ = ["Options", "make_codec", "make_plan", "unescape"]

DESCRIPTORS: Final = 64
"""Descriptors a process needs besides its connections."""

CHAT_RATE: Final = 4.0
"""Messages a second of one speaker: the chat service passes on 5 (its flood control)."""

MODES: Final = {
    "chat": frozenset({"speakers", "rate", "size"}),
    "files": frozenset({"sha256", "verify", "pipeline", "messages", "rate"}),
    "exchange": frozenset(
        {"pipeline", "rate", "messages", "codec", "payload", "payload_file", "size", "expect", "verify"}
    ),
}
"""Options that only some modes take."""

_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\\rnt0])|\\(.?)", re.DOTALL)
_ESCAPED: Final = {b"\\": b"\\", b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}


def unescape(text: str) -> bytes:
    """``PING\\r\\n`` as typed in a shell, to bytes: ``\\r \\n \\t \\0 \\\\ \\xHH``.

    Raises:
        ValueError: another letter behind a backslash.
    """

    def replace(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise ValueError(f"{match[0].decode(errors='replace')!r} is no escape: \\r \\n \\t \\0 \\\\ \\xHH are")
        return _ESCAPED.get(match[1]) or bytes.fromhex(match[1][1:].decode())

    return _ESCAPE.sub(replace, encode_text(text))


def make_codec(spec: str) -> Any:
    """The codec of this name: as a function of a module it goes to other processes by name."""
    return parse_codec(spec).codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    connections: int
    processes: int
    pipeline: int
    rate: float | None
    find_max: tuple[Promise, ...] | None
    duration: float
    messages: int | None
    warmup: float
    ramp: float
    codec: str
    payload: bytes | None
    payload_file: Path | None
    size: int
    expect: bytes | None
    verify: bool
    speakers: int | None
    sha256: str | None
    timeout: float | None
    reconnect: bool
    as_json: bool
    plot: Path | None
    compare: Path | None


def make_plan(
    ctx: click.Context, words: tuple[str, ...], options: Options, tls: tuple[str | None, str | None, str | None, bool]
) -> Plan:
    """What is asked for.

    Raises:
        click.UsageError: words or options that do not go together.
        ConfigError: an endpoint, a message, a number that cannot be.
    """
    mode, place, name = _read_words(words)
    _refuse_unused(ctx, mode)
    _refuse_contradictions(ctx, options)
    endpoint = parse_endpoint(place, *tls)
    rate = options.rate
    work: Exchange | Chat | Download
    if mode == "chat":
        speakers = min(options.speakers or 4, max(options.connections - 1, 1))
        rate = rate or CHAT_RATE * speakers
        work = Chat(speakers, options.size, "".join(random.choices("bcdfghjkmnpqrstvwxyz", k=6)))
    elif mode == "files":
        work = Download(name, options.sha256 and options.sha256.lower(), options.verify, options.pipeline)
    else:
        work = _exchange(endpoint, options)
    counted = options.messages is not None
    plan = Plan(
        endpoint=endpoint,
        work=work,
        connections=options.connections,
        duration=None if counted else options.duration,
        messages=options.messages,
        warmup=0.0 if counted else options.warmup,
        ramp=options.ramp,
        rate=rate,
        timeout=options.timeout or (1.0 if endpoint.is_datagram else 5.0),
        reconnect=options.reconnect,
    )
    _check_descriptors(plan, options.processes)
    return plan


def _read_words(words: tuple[str, ...]) -> tuple[str, str, str]:
    """Mode, endpoint, and the name of a file."""
    mode, rest = (words[0], words[1:]) if words[0] in ("chat", "files") else ("exchange", words)
    if mode == "files":
        if not rest or "://" in rest[-1]:
            raise click.UsageError("which file? bench files ENDPOINT NAME")
        name, rest = rest[-1], rest[:-1]
    else:
        name = ""
    if len(rest) > 1:
        raise click.UsageError(f"one endpoint at a time, not {' '.join(rest)}; modes are chat and files")
    default = {"chat": DEFAULT_CHAT, "files": DEFAULT_FILES}
    return mode, rest[0] if rest else default[mode], name


def _given(ctx: click.Context) -> set[str]:
    return {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def _refuse_unused(ctx: click.Context, mode: str) -> None:
    special = frozenset().union(*MODES.values())
    for name in sorted(_given(ctx) & special - MODES[mode]):
        modes = " and ".join(other if other != "exchange" else "messages" for other in MODES if name in MODES[other])
        raise click.UsageError(f"--{name.replace('_', '-')} is for {modes}")


def _refuse_contradictions(ctx: click.Context, options: Options) -> None:
    given = _given(ctx)
    for one, other, why in (
        ("rate", "pipeline", "with a rate, the clock says how many messages are under way"),
        ("messages", "duration", "a run ends after a number of messages, or after a time"),
        ("messages", "warmup", "of a number of messages, all count"),
        ("messages", "ramp", "of a number of messages, all count"),
        ("messages", "find_max", "a search measures for a time"),
        ("find_max", "pipeline", "with a rate, the clock says how many messages are under way"),
        ("payload", "payload_file", "one of them says what to send"),
        ("payload", "size", "the size is that of --payload"),
        ("payload_file", "size", "the size is that of the file"),
    ):
        if {one, other} <= given:
            raise click.UsageError(f"--{one.replace('_', '-')} and --{other.replace('_', '-')}: {why}")
    if options.expect is not None and not options.verify:
        raise click.UsageError("--expect is compared, and --no-verify compares nothing")


def _exchange(endpoint: Endpoint, options: Options) -> Exchange:
    try:
        codec = parse_codec(options.codec)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    if endpoint.is_datagram and codec.framed:
        raise click.UsageError("--codec is for streams; a datagram is a message already")
    payload = options.payload
    if options.payload_file is not None:
        payload = options.payload_file.read_bytes()
    made = payload is None
    make = partial(make_codec, options.codec) if codec.framed else RawCodec
    try:
        messages = generated_messages(options.size, codec.codec) if payload is None else (_message(codec, payload),)
        replies = messages if options.expect is None else (_message(codec, options.expect),) * len(messages)
        script = Script(messages, replies, make, options.verify)
    except EncodeError as exc:
        raise ConfigError(f"no message for --codec {options.codec}: {exc}", hint=exc.hint) from exc
    numbered = endpoint.is_datagram and made and options.expect is None and options.verify
    return Exchange(script, options.pipeline, numbered and options.size >= NUMBER.size)


def _message(codec: NamedCodec, data: bytes) -> Any:
    try:
        return codec.read(data)
    except ValueError as exc:
        raise ConfigError(f"{data[:80]!r} is no message of this codec: {exc}") from exc


def _check_descriptors(plan: Plan, processes: int) -> None:
    """Say it before the system does, in the middle."""
    raise_descriptor_limit()
    try:
        import resource
    except ImportError:
        return  # not a POSIX system
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    each = math.ceil(plan.connections / processes)
    if limit != resource.RLIM_INFINITY and each + DESCRIPTORS > limit:
        raise ConfigError(
            f"{each} connections in one process are more than its {limit} descriptors allow",
            hint=f"--processes {math.ceil(plan.connections / max(limit - DESCRIPTORS, 1))}, or a higher ulimit -n",
        )
