"""The deployment is closed to whom it should be: TLS, headers, access, limits, errors, cookies."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates._check import concluded
from pytest_release.gates._scene import Scene
from pytest_release.gates._security_access import auth, rate_limit
from pytest_release.gates._security_cookies import cookies
from pytest_release.gates._security_cors import cors
from pytest_release.gates._security_headers import headers, redirect
from pytest_release.gates._security_pages import errors, exposed
from pytest_release.gates._security_site import Site, StopError
from pytest_release.gates._security_tls import certificate, protocols


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check of what stands between the deployment and the world.

    Measures ``latency_ms`` of every answer; ``handshake_ms`` and ``days_left`` of certificates;
    ``requests_until_refused`` and ``recovery_s`` of the limit of requests.

    Args:
        case: Of this gate; its `check` is one of those below.
        policy: ``allow_rate_limit`` with ``max_requests``, and ``allow_writes``, for production.
        scene: Nothing is made in it.
    """
    site = Site(case, policy, scene)
    try:
        _CHECKS[case.check](site)
    except StopError:
        pass  # it is a finding already
    except TargetError as error:  # what was found before stays
        site.find("security.no-answer", str(error))
    return concluded(case, policy, site.findings, site.samples)


_CHECKS: Mapping[str, Callable[[Site], None]] = {
    "certificate": certificate,
    "protocols": protocols,
    "redirect": redirect,
    "headers": headers,
    "auth": auth,
    "rate-limit": rate_limit,
    "cors": cors,
    "errors": errors,
    "exposed": exposed,
    "cookies": cookies,
}
