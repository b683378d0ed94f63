"""The HTTP library: httpx, or its continuation httpx2 where that is what is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from h2.exceptions import H2Error  # comes with the extra http2; httpcore lets it through

if TYPE_CHECKING or find_spec("httpx"):
    import httpcore
    import httpx
else:  # the same names, by the same maintainers
    import httpcore2 as httpcore
    import httpx2 as httpx

__all__ = ["H2Error", "httpcore", "httpx"]
