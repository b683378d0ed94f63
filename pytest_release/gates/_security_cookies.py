"""The flags of cookies, as a browser reads them (RFC 6265bis, 5.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pytest_release.gates._security_site import Site, shown, values


@dataclass(frozen=True)
class Cookie:
    """One Set-Cookie, without its value.

    Attributes:
        name: As sent.
        attributes: By lower-case name; of one that is there twice, the last.
    """

    name: str
    attributes: Mapping[str, str]

    @classmethod
    def read(cls, header: str) -> Cookie:
        """A header's value."""
        pair, *attributes = header.split(";")
        given = {
            name.strip().lower(): value.strip()
            for name, _, value in (attribute.partition("=") for attribute in attributes)
        }
        return cls(pair.partition("=")[0].strip(), given)

    @property
    def removes(self) -> bool:
        """Whether it makes the browser forget the cookie."""
        if "max-age" in self.attributes:
            return self.attributes["max-age"].startswith(("0", "-"))
        try:
            ends = parsedate_to_datetime(self.attributes.get("expires", ""))
        except (ValueError, TypeError, OverflowError):
            return False
        ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
        return ends < datetime.now(UTC)


def cookies(site: Site) -> None:
    """Each cookie has the flags it needs, and those that the case names are set."""
    request = site.request()
    answer = site.ask("the request that sets cookies", request, site.auth)
    what = f"{request.method} {request.path}"
    allowed = site.expect.get("status", [200, 204, 302, 303])
    if answer.status not in allowed:
        site.find("security.cookie-missing", f"{what} answers {answer.status}: was anything set?")
    found = [Cookie.read(value) for value in values(answer, "set-cookie")]
    found = [cookie for cookie in found if not cookie.removes]
    names = {cookie.name for cookie in found}
    for name in site.expect["cookies"]:
        if name not in names:
            there = ", ".join(sorted(map(shown, names))) or "none"
            message = f"{what} sets no cookie {name}; those it sets: {there}"
            site.find("security.cookie-missing", message)
    for cookie in found:
        own = {**site.expect, **(site.expect["cookies"].get(cookie.name) or {})}
        for wrong in _wrong(site, cookie, own):
            site.find("security.cookie", f"{what}: the cookie {shown(cookie.name)} {wrong}")


def _wrong(site: Site, cookie: Cookie, own: Mapping[str, Any]) -> Iterator[str]:
    given = cookie.attributes
    if "secure" not in given:
        yield "has no Secure: plain HTTP sends it, too"
    if "httponly" not in given and not own.get("readable"):
        yield "has no HttpOnly: scripts can read it"
    yield from _same_site(given, own)
    domain = given.get("domain", "").lstrip(".").lower()
    if domain and domain not in own.get("domains", [site.host]):
        yield f"is sent to all of {shown(domain)}, not to {site.host} alone"
    if cookie.name.lower().startswith("__host-"):
        if domain or given.get("path") != "/" or "secure" not in given:
            yield "is called __Host-, and is not bound to its host: browsers drop it"
    elif cookie.name.lower().startswith("__secure-") and "secure" not in given:
        yield "is called __Secure-, and is not: browsers drop it"


def _same_site(given: Mapping[str, str], own: Mapping[str, Any]) -> Iterator[str]:
    allowed = own.get("same_site", ["Lax", "Strict"])
    word = given.get("samesite", "")
    if word.lower() not in (each.lower() for each in allowed):
        yield f"has SameSite={shown(word) or 'missing'}, expected {' or '.join(allowed)}"
