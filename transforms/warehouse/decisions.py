"""The decision log: what people decided, append-only, beside the raw store.

raw/<study>/decisions.jsonl: one line per decision. Each line carries the hash of the line before it, so that an
edit in the middle is found; publications anchor the last hash and the count, so that a cut tail is found too.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from transforms.core import text
from transforms.errors import CairnError, UsageError

Act = Literal["release", "answer", "waive", "decide", "lock", "unlock", "approve"]
ACTS: tuple[Act, ...] = get_args(Act)
# A lock and an approval name a snapshot, so they cannot be part of what names the snapshot.
OUTSIDE_SNAPSHOT = ("lock", "unlock", "approve")
START = "0" * 64


class DecisionLogError(CairnError):
    """The decision log was altered."""


@dataclass(frozen=True)
class Decision:
    """One decision: the act, what it is about, who decided (`by`) and why, and who recorded it when."""

    number: int
    act: Act
    target: Mapping[str, Any]
    by: str
    reason: str
    recorded_by: str
    recorded_at: str
    previous: str
    hash: str

    @property
    def payload(self) -> dict[str, Any]:
        """What the decision says, without the clock."""
        return {"act": self.act, "target": self.target, "by": self.by, "reason": self.reason}


class DecisionLog:
    """The decisions of one study."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "decisions.jsonl"

    def entries(self) -> tuple[Decision, ...]:
        """All decisions in order. Raises DecisionLogError if a line does not follow from the one before."""
        if not self.path.exists():
            return ()
        decisions = []
        previous = START
        for number, line in enumerate(self.path.read_text(encoding="utf-8").split("\n")[:-1]):
            one = Decision(**json.loads(line))
            if one.number != number or one.previous != previous or one.hash != _hash(asdict(one)):
                raise DecisionLogError(
                    f"{self.path}: line {number + 1} does not follow from the line before it: the log was altered. "
                    "Restore it from a backup; nothing is run or published until then"
                )
            decisions.append(one)
            previous = one.hash
        return tuple(decisions)

    def append(self, act: Act, target: Mapping[str, Any], *, by: str, reason: str) -> Decision:
        """Record a decision, flushed to disk; who and when are the system's, `by` is the person's name.

        Raises UsageError when the person or the reason is empty or holds a control character, which no workbook of
        them could hold and nobody could take out of the log again.
        """
        if not by.strip() or not reason.strip():
            raise UsageError("a decision needs a person (--by) and a reason (--reason)")
        if text.CONTROL.search(by + reason):
            raise UsageError(
                "the person or the reason holds a control character, which does not show. Write it without"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            content = stream.read()
            if content and not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)
            earlier = self.entries()
            entry: dict[str, Any] = {
                "number": len(earlier),
                "act": act,
                "target": dict(target),
                "by": by.strip(),
                "reason": reason.strip(),
                "recorded_by": getpass.getuser(),
                "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "previous": earlier[-1].hash if earlier else START,
            }
            entry["hash"] = _hash(entry)
            stream.write((json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
        return Decision(**entry)


def _hash(entry: Mapping[str, Any]) -> str:
    written = {key: value for key, value in entry.items() if key != "hash"}
    text = json.dumps(written, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest(decisions: Iterable[Decision]) -> str:
    """A hash of what was decided, locks and approvals excepted; empty where nothing was. A snapshot's id has it."""
    payloads = [one.payload for one in decisions if one.act not in OUTSIDE_SNAPSHOT]
    return _payload_hash(payloads) if payloads else ""


def digests(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Each decision, locks and approvals excepted, by a hash of what it says: its name in a snapshot's manifest.

    The number of a decision is no such name, since a lock before it moves it and changes no snapshot.
    """
    return {_payload_hash(one.payload): one for one in decisions if one.act not in OUTSIDE_SNAPSHOT}


def _payload_hash(payload: Any) -> str:
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def locked(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The snapshots locked now, each with the decision that locked it."""
    result: dict[str, Decision] = {}
    for one in decisions:
        if one.act == "lock":
            result[str(one.target["snapshot_id"])] = one
        elif one.act == "unlock":
            result.pop(str(one.target["snapshot_id"]), None)
    return result


def approved(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The packages that were approved, by the sha256 of their archive."""
    return {str(one.target["sha256"]): one for one in decisions if one.act == "approve"}


Released = Mapping[str, Mapping[str, frozenset[int]]]


def released(decisions: Iterable[Decision]) -> dict[str, Released]:
    """Rows released from quarantine: by source, by rule, by sha256 of the file, its lines."""
    result: dict[str, dict[str, dict[str, frozenset[int]]]] = {}
    for one in decisions:
        if one.act != "release":
            continue
        rules = result.setdefault(one.target["source"], {}).setdefault(one.target["rule"], {})
        for place in one.target["places"]:
            lines = rules.get(place["sha256"], frozenset())
            rules[place["sha256"]] = lines | frozenset(place["lines"])
    return {source: dict(rules) for source, rules in result.items()}
