"""One module a gate: what it measures and finds; no pytest, no verdicts.

A gate's module is named after its marker and has

- a docstring whose first line says what the gate decides (``pytest --markers`` shows it),
- ``measure``, which raises nothing for what a deployment does wrong: that is a finding. Its form
  follows from what its cases are about, which the schema of its cases says as ``x-about``:

  - ``requests``: ``measure(case, policy, target, values) -> (Evidence, captured values)``;
  - ``deployments``: ``measure(case, policy, deployments) -> Evidence``, once for each UUID;
  - ``environment``: ``measure(case, policy, scene) -> Evidence``, once a run.

Modules whose names begin with an underscore are parts that gates share.
"""

from __future__ import annotations

from pathlib import Path


def catalogue() -> dict[str, str]:
    """Every gate's marker and the first line of its docstring, without importing any gate."""
    described = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        with file.open(encoding="utf-8") as stream:
            described[file.stem] = stream.readline().strip().strip('"')
    return described
