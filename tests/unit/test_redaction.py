"""Tests of `pytest_release.redaction`."""

from __future__ import annotations

import copy
import html
import json
import pickle
import re
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.redaction import MASK, Redactor, Secret, basic_credentials, reveal

SECRET = Secret("hunter2")


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>20}",
        f"{SECRET:>20}",
        "%s" % SECRET,  # noqa: UP031 - this way too
        repr([SECRET]),
        repr(copy.deepcopy(SECRET)),
        repr(pickle.loads(pickle.dumps(SECRET))),
    ],
)
def test_a_secret_masks_itself(shown: str) -> None:
    """However it is printed."""
    assert MASK in shown
    assert "hunter" not in shown


def test_a_secret_has_no_dictionary_to_look_into() -> None:
    """``vars`` and the like show nothing."""
    with pytest.raises(TypeError, match="must have __dict__"):
        vars(SECRET)


def test_a_secret_is_no_json() -> None:
    """It cannot be written anywhere by mistake."""
    with pytest.raises(TypeError, match="Object of type Secret is not JSON serializable"):
        json.dumps({"token": SECRET})


def test_secrets_are_compared_with_secrets() -> None:
    """Equal to another of the same value, never to the value itself."""
    assert Secret("hunter2") == SECRET
    assert hash(Secret("hunter2")) == hash(SECRET)
    assert Secret("other") != SECRET
    assert SECRET != "hunter2"


def test_only_reveal_shows_a_secret() -> None:
    """For the one place that sends it; what is no secret passes through."""
    assert SECRET.reveal() == reveal(SECRET) == "hunter2"
    assert reveal("plain") == "plain"


def test_basic_credentials_are_those_of_the_standard() -> None:
    """The example of RFC 7617, and its UTF-8 one."""
    assert basic_credentials("Aladdin", "open sesame") == "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert basic_credentials("test", "123£") == "dGVzdDoxMjPCow=="


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON as PHP writes it": lambda text: json.dumps(text).replace("/", "\\/"),
    "in a URL": quote,
    "in a query": lambda text: quote(text, safe=""),
    "in a query, lower case": lambda text: quote(text, safe="").lower() if text.islower() else text,
    "in a form": lambda text: urlencode({"token": text}),
    "in a form, plus": quote_plus,
    "HTML": html.escape,
    "HTML, decimal": lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    "shell": shlex.quote,
    "Python": repr,
}
TRICKY = [
    "correct horse",
    "p@ss/w0rd+&=?#%",
    'quo"te\\back',
    "it's $HOME `x`",
    "<script>&amp;",
    "käse-中文-😀",
    "line\nbreak\ttab",
    "caf\udce9-bytes",
    "(.*)[a-z]+|^$",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", TRICKY)
def test_a_secret_is_found_in_every_form(secret: str, form: str) -> None:
    """As a server, a client or a report would write it, nothing of it stays."""
    if secret.startswith("caf") and ("URL" in form or "query" in form or "form" in form):
        written = quote(secret, errors="surrogatepass")
    else:
        written = FORMS[form](secret)

    redacted = Redactor(frozenset([secret]))(f"before {written} after")

    assert re.fullmatch(r"before (token=)?['\"]?\*\*\*['\"]? after", redacted)


OVERLAPS = [
    (["abcdef", "abcd"], "-abcdef-abcd-", "-***-***-"),
    (["abcdef", "cdef"], "-abcdef-", "-***-"),
    (["abcdef", "bcde"], "-abcdef-bcde-", "-***-***-"),
    (["abcdef", "defghi"], "-abcdefghi-", "-***-"),
    (["abcd", "cdefghijkl"], "-abcdefghijkl-", "-***-"),
    (["abcd", "efgh"], "-abcdefgh-", "-******-"),
    (["abab"], "-ababab-", "-***-"),
    (["aaaa"], "aaaaaaa", "***"),
    (["abcd"], "abcd", "***"),
]


@pytest.mark.parametrize(("secrets", "text", "expected"), OVERLAPS)
def test_overlapping_secrets_leave_nothing_behind(
    secrets: list[str], text: str, expected: str
) -> None:
    """One inside another, one that runs into the next, one that runs into itself."""
    assert Redactor(frozenset(secrets))(text) == expected


@pytest.mark.parametrize("values", [[], [""], ["abc"], ["", "a", "xyz"]])
def test_short_values_are_no_secrets(values: list[str]) -> None:
    """Three letters would mask ordinary words, none would mask everything."""
    assert Redactor(frozenset(values))("an abc of a xyz") == "an abc of a xyz"


def test_ordinary_text_stays() -> None:
    """Nor is anything masked that merely resembles a secret."""
    text = "HUNTER2 hunter 2 hunter%32"

    assert Redactor(frozenset(["hunter2"]))(text) == text


def test_a_redactor_does_not_show_what_it_hides() -> None:
    """Only how much."""
    assert repr(Redactor(frozenset(["hunter2", "other"]))) == "Redactor(2 values)"


@given(
    secrets=st.frozensets(st.text("ab/ '\"é", min_size=4, max_size=8), max_size=3),
    text=st.lists(st.text("ab/ '\"é+%", max_size=9), max_size=4),
    data=st.data(),
)
def test_no_secret_survives(secrets: frozenset[str], text: list[str], data: st.DataObject) -> None:
    """Whatever stands around it, and whatever other secrets it runs into."""
    hidden = [data.draw(st.sampled_from(sorted(secrets))) for _ in text] if secrets else text
    redactor = Redactor(secrets)

    redacted = redactor("".join(a + b for a, b in zip(text, hidden, strict=True)))

    assert not any(secret in redacted for secret in secrets)
