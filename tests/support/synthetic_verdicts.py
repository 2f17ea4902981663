"""Plausible verdicts without any check."""

from nfbench.records.verdicts import Checked, Examined, StoredVerdict, identity

PROVENANCE = {"nfbench": "0.1.0", "revision": "abcdef0123456", "libraries": {"torch": "2.13.0"}}


def verdict(posterior="planar:K=8", library=None, failed=(), absent=(), undecided=(), lacking=None, **changes):
    """A verdict on a family: every check passes but those that are named; `size` is that of failures."""
    size = changes.pop("size", None)
    examined = {key: changes.pop(key) for key in ("strict", "dims") if key in changes}
    about = Examined(posterior=posterior, library=library, **({"dims": (2, 5)} | examined))
    status = dict.fromkeys(("shapes", "ln|det|", "round trip", "finite"), "pass")
    status |= dict.fromkeys(absent, "does not apply") | dict.fromkeys(failed, "fail")
    status |= dict.fromkeys(undecided, "not decided")
    facts = {
        "label": f"{posterior} {library or ''}".strip(),
        "kind": "residual",
        "order": 0,
        "seconds": 3.0,
        "finished": "2026-01-02T03:04:05+00:00",
        "provenance": PROVENANCE,
    }
    checks = [
        Checked(check=name, status=each, detail="", size=size if each == "fail" else None)
        for name, each in status.items()
    ]
    return StoredVerdict(id=identity(about), examined=about, checks=checks, lacking=lacking or {}, **(facts | changes))
