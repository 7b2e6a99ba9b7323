from __future__ import annotations

from typing import Any

import pytest

from aionet.errors import ConfigError
from aionet.handler import TLSFacts
from aionet.services.files.errors import Code, TransferError
from aionet.services.files.rules import Rules, Tokens, certificate_name

TOKEN = "correct-horse-battery"


def refused(rules: Rules, name: str, size: int = 0) -> str:
    with pytest.raises(TransferError) as caught:
        rules.check_writing(name, size)
    return caught.value.code


def test_nothing_is_taken_unless_it_is_allowed() -> None:
    assert refused(Rules(), "a") == Code.FORBIDDEN
    Rules(writable=True).check_writing("any name", 1024)


def test_size_and_name() -> None:
    rules = Rules(writable=True, max_file=10, name_pattern=r"[a-z]+\.txt")
    rules.check_writing("a.txt", 10)
    assert refused(rules, "a.txt", 11) == Code.TOO_LARGE
    assert refused(rules, "a.txt.exe") == refused(rules, "xa.TXT") == Code.FORBIDDEN


@pytest.mark.parametrize(
    "wrong",
    [
        *[{"max_file": 0}, {"max_partials": True}, {"quota_bytes": -1}, {"user_quota_files": 1.5}],
        *[{"partial_age": 0.0}, {"name_pattern": "("}],
    ],
)
def test_rules_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Rules(**wrong)


def test_what_has_to_be_counted() -> None:
    assert not Rules().has_quota
    assert Rules(quota_files=1).has_quota
    assert not Rules(quota_files=1).has_user_quota
    assert Rules(user_quota_bytes=1).has_quota


def test_tokens() -> None:
    tokens = Tokens({"anna": TOKEN, "otto": TOKEN + "2"})
    assert tokens.user_of(TOKEN) == "anna"
    assert tokens.user_of(TOKEN + "2") == "otto"
    for wrong in ("", TOKEN[:-1], TOKEN + "3", "\udcff", "anna"):
        assert tokens.user_of(wrong) is None
    assert Tokens(TOKEN).user_of(TOKEN) == ""


@pytest.mark.parametrize("wrong", ["", "short", "has a space in the middle", "tab\tin it, and long", "ü" * 20])
def test_tokens_that_could_be_guessed_or_not_be_sent(wrong: str) -> None:
    with pytest.raises(ConfigError, match="printable ASCII") as caught:
        Tokens({"anna": wrong})
    assert "secrets" in str(caught.value.hint)
    assert not wrong or wrong not in str(caught.value)


def test_two_users_need_two_tokens() -> None:
    with pytest.raises(ConfigError, match="same token"):
        Tokens({"anna": TOKEN, "otto": TOKEN})


def test_the_name_in_a_certificate() -> None:
    subject = ((("countryName", "XX"),), (("commonName", "client.example.com"),))
    assert certificate_name(TLSFacts("TLSv1.3", "x", None, {"subject": subject})) == "client.example.com"
    assert certificate_name(TLSFacts("TLSv1.3", "x", None, {})) is None
    assert certificate_name(None) is None
