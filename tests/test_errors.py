"""The exception tree: drawn in the docstring, as it is."""

from __future__ import annotations

import errno

import pytest

from aionet import errors
from aionet.errors import AionetError, BindError, ConnectError, ConnectTimeout

BUILTINS = {
    "ConfigError": ValueError,
    "BindError": OSError,
    "LoadError": ImportError,
    "ServerStateError": RuntimeError,
    "ConnectError": ConnectionError,
    "ConnectTimeout": TimeoutError,
    "EncodeError": ValueError,
    "ProtocolError": ConnectionError,
}


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_ours_and_drawn_in_the_tree(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, AionetError)
    assert errors.__doc__ is not None
    assert name in errors.__doc__
    assert str(kind("what failed", hint="what to do")) == "what failed"
    assert kind("what failed", hint="what to do").hint == "what to do"
    assert kind("what failed").hint is None
    assert str(kind()) == ""


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items(), ids=lambda value: str(value))
def test_a_plain_except_catches_it_and_all_below_it(name: str, builtin: type[Exception]) -> None:
    kind = getattr(errors, name)
    below = [other for other in vars(errors).values() if isinstance(other, type) and issubclass(other, kind)]
    assert below
    for other in below:
        with pytest.raises(builtin, match="no"):
            raise other("no")


def test_a_bind_error_carries_the_systems_number() -> None:
    error = BindError("cannot listen", errno=errno.EADDRINUSE)
    assert error.errno == errno.EADDRINUSE
    assert str(error) == "cannot listen"
    assert BindError("cannot listen").errno is None


def test_a_connect_timeout_is_both_a_connect_error_and_a_timeout() -> None:
    error = ConnectTimeout("no answer")
    assert isinstance(error, ConnectError)
    assert isinstance(error, TimeoutError)
    assert str(error) == "no answer"


def test_faults_of_the_peer_are_apart_from_ours() -> None:
    peers = {errors.FrameTooLarge, errors.MalformedFrame, errors.IncompleteFrame, errors.HandshakeError}
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, errors.ProtocolError) == (kind in peers or kind is errors.ProtocolError)
