"""What no answer may hold: stack traces, versions of server software, secrets.

The patterns are few and each is sure of itself. detect-secrets was weighed: it looks at files line
by line, brings requests, and its last release is of 2024-05; these are the ones of its detectors
(and of GitHub's list of token prefixes) that a web page may plausibly show.

What is searched is hostile: every repetition is bounded, so that a search takes time in proportion
to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_release.redaction import MASK

TRACES = {
    "a Python traceback": (
        r"Traceback \(most recent call last\)|\bFile \"[^\"\n]{1,200}\", line \d+"
    ),
    "a Java stack trace": r"\bat [\w$.]{3,200}\([\w$]{1,80}\.(?:java|kt|scala):\d+\)",
    "a JavaScript stack trace": r"\bat (?:[\w.<>$ ]{1,80} \()?(?:file://)?/[^\s()]{1,200}:\d+:\d+\)?",
    "a .NET stack trace": r"\bat [\w.`<>]{3,200}\([^()\n]{0,200}\) in [^\n]{1,200}:line \d+",
    "a Go stack trace": r"\bgoroutine \d+ \[[a-z ]{1,40}\]:",
    "a Ruby stack trace": r"\.rb:\d+:in [`'][^'\n]{1,80}'",
    "a Rust panic": r"\bpanicked at \S{1,200}:\d+:\d+",
    "a PHP error": r"(?:Fatal error|Warning|Parse error|Notice)(?:</b>)?: {1,2}.{1,300}? on line",
    "a debugger's page": r"Werkzeug Debugger|You're seeing this error because|\bDEBUG = True\b",
    "an error of the database": (
        r"\bSQLSTATE\b|\bORA-\d{5}\b|\bpsycopg2?\.\w|\bsqlalchemy\.exc\.|\bpymysql\.err\."
        r"|You have an error in your SQL syntax|\bsqlite3\.\w*Error\b|\basyncpg\.exceptions\b"
    ),
}
SOFTWARE = (
    r"nginx|openresty|Apache|Apache Tomcat|Jetty|gunicorn|uvicorn|hypercorn|daphne|Werkzeug|Python"
    r"|CPython|PHP|OpenSSL|Express|Kestrel|Microsoft-IIS|ASP\.NET|Caddy|lighttpd|waitress|Django"
    r"|FastAPI|Starlette|Odoo|Traefik|WildFly|Node\.js|mod_\w{1,20}"
)
VERSION = re.compile(rf"\b(?:{SOFTWARE})[/ ]v?\d+(?:\.\d+)+[\w.-]{{0,20}}", re.IGNORECASE)
SECRETS = {
    "a private key": r"-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY-----",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})\b",
    "a token of GitLab": r"\bglpat-[\w-]{20,64}",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a token of Slack": r"\bxox[abeoprs]-[\w-]{10,250}",
    "a key of Stripe": (
        r"\b(?:sk|rk)_(?:test|live)_[A-Za-z0-9]{12,250}|\bwhsec_[A-Za-z0-9+/]{16,100}"
    ),
    "a key of OpenAI or Anthropic": r"\bsk-(?:proj-|ant-)?[\w-]{32,250}",
    "a token of npm or PyPI": r"\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[\w-]{50,250}",
    "a JSON Web Token": r"\beyJ[\w-]{10,500}\.eyJ[\w-]{10,2000}\.[\w-]{10,1000}",
    "an address with a password": r"\b[a-z][a-z0-9+]{1,20}://[^\s/:@<>\"']{1,80}:[^\s/@<>\"']{3,200}@[\w.-]",
    "a password": (
        r"(?i:\b\w{0,40}(?:password|passwd|secret_key|secret|api_key|apikey|access_token)"
        r"['\"]?\s{0,3}[=:]\s{0,3}['\"]?)[^\s'\"<>,;*]{8,200}"
    ),
}
_TRACES = {what: re.compile(pattern) for what, pattern in TRACES.items()}
_SECRETS = {what: re.compile(pattern) for what, pattern in SECRETS.items()}
KEPT = 4  # first characters of a secret that a finding shows


def traces(text: str) -> Iterator[tuple[str, str]]:
    """What kind of stack trace, and the words that give it away; the first of each kind."""
    for what, pattern in _TRACES.items():
        if found := pattern.search(text):
            yield what, found[0]


def version(text: str) -> str:
    """The first name of a server's software with its version; empty where there is none."""
    found = VERSION.search(text)
    return found[0] if found else ""


def secrets_in(text: str) -> Iterator[tuple[str, str]]:
    """What kind of secret, and how a finding may show it; the first of each kind."""
    for what, pattern in _SECRETS.items():
        if found := pattern.search(text):
            size = len(found[0])
            yield what, f"{found[0][:KEPT]}{MASK}, {size} characters from character {found.start()}"


def masked(text: str) -> str:
    """The text without any secret that is known by its form."""
    for pattern in _SECRETS.values():
        text = pattern.sub(MASK, text)
    return text
