"""football's application, from its release folder: ``app.py PORT DATA``.

The test switches faults in ``DATA/faults.json``: by release, which of its answers are wrong.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

VERSION = (Path(__file__).resolve().parent / "VERSION").read_text().strip()
COMMIT = (Path(__file__).resolve().parent / "COMMIT").read_text().strip()
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, float("inf"))
SERVED: dict[str, int] = {"200": 0, "500": 0}
TOOK = dict.fromkeys(BUCKETS, 0)
LOCK = Lock()


def faults() -> dict[str, Any]:
    """Of this release, now."""
    try:
        found = json.loads((Path(sys.argv[2]) / "faults.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return dict(found.get(VERSION, {}))


def metrics() -> str:
    """As Prometheus reads them."""
    with LOCK:
        lines = [f'http_requests_total{{code="{code}"}} {n}' for code, n in SERVED.items()]
        for limit, count in TOOK.items():
            name = "+Inf" if limit == float("inf") else limit
            lines.append(f'http_request_duration_seconds_bucket{{le="{name}"}} {count}')
    lines.append(f"prediction_accuracy_ratio {faults().get('accuracy', 0.8)}")
    return "".join(f"{line}\n" for line in lines)


class Application(BaseHTTPRequestHandler):
    """Health, one prediction, and metrics."""

    def do_GET(self) -> None:
        """One answer, counted and timed."""
        if self.path == "/metrics":
            self._answer(200, metrics().encode(), "text/plain")
            return
        began, wrong = time.monotonic(), faults()
        status, told = 200, {"status": "healthy", "version": VERSION, "commit": COMMIT}
        if self.path == "/health/":
            status = 503 if "health" in wrong else 200
        else:
            time.sleep(wrong.get("slow_s", 0))
            status = 500 if "errors" in wrong else 200
            told = {"match_id": "1", "prediction": "home", "confidence": "0.7"}
        with LOCK:
            SERVED["500" if status == 500 else "200"] += 1
            for limit in BUCKETS:
                TOOK[limit] += time.monotonic() - began <= limit
        self._answer(status, json.dumps(told).encode(), "application/json")

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Application).serve_forever()
