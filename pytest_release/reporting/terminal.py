"""Placeholder."""


def lines(run, sealed, failure, width):
    out = []
    for g in run.gates:
        out.append(
            (
                f"{g.gate:12} {g.verdict} {len(g.cases)} {[(t.name, t.estimate) for t in g.thresholds]} {g.reasons}",
                {},
            )
        )
    out.append((f"run {run.verdict} {run.reasons}", {}))
    out.append((str(sealed) + failure, {}))
    return out
