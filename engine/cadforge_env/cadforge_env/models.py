"""What goes to the server and what comes back, as data classes.

Keys that this version does not know are kept in `more`, so that a newer server loses nothing on the way.
"""
from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Optional, Type, TypeVar

T = TypeVar("T")


def _of(kind: Type[T], values: Dict[str, Any]) -> T:
    """A @kind of what is in @values; null stands for a field's own default."""
    known = {f.name for f in fields(kind)} - {"more"}
    here = {k: v for k, v in values.items() if k in known and v is not None}
    return kind(**here, more={k: v for k, v in values.items() if k not in known})


@dataclass
class CadForgeAction:
    """A program to build and score.

    reward_mode: "fast" and "full" are the published reward's, "exact" and "strict" measure the solid itself.
    task_id: absent keeps the episode's task.
    """

    code: str
    reward_mode: str = "fast"
    task_id: Optional[str] = None
    task_prompt: Optional[str] = None
    metadata: Dict[str, Any] = field(default_factory=dict)

    def payload(self) -> Dict[str, Any]:
        """As it goes over the wire: what is not said is left out."""
        return {k: v for k, v in vars(self).items() if v is not None and v != {}}


@dataclass
class CadForgeStep:
    """A step of the episode's past. reward: its terms, as in an observation's reward_json."""

    step: int = 0
    task_id: str = ""
    reward_mode: str = "fast"
    reward: Dict[str, Any] = field(default_factory=dict)
    ok: bool = False
    notes: List[str] = field(default_factory=list)
    artifacts_dir: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@dataclass
class CadForgeObservation:
    """What is seen after a reset or a step.

    reward_json: the reward's terms, `total` and `build` among them; empty after a reset.
    artifacts_dir: a reference, no path: see artifact_url().
    metadata: what the protocol has no field for: build_log, reward_delta, failure_class.
    """

    task_id: str = ""
    task_brief: str = ""
    constraints: List[str] = field(default_factory=list)
    current_code: str = ""
    reward_json: Dict[str, Any] = field(default_factory=dict)
    verifier_notes: List[str] = field(default_factory=list)
    artifacts_dir: Optional[str] = None
    renders: Dict[str, str] = field(default_factory=dict)
    trace: List[CadForgeStep] = field(default_factory=list)
    metadata: Dict[str, Any] = field(default_factory=dict)
    more: Dict[str, Any] = field(default_factory=dict)

    @property
    def build_log(self) -> str:
        """What the program printed, and its error."""
        return self.metadata.get("build_log") or ""

    @property
    def reward_delta(self) -> Optional[float]:
        """To the step before; None when there was none."""
        return self.metadata.get("reward_delta")

    @property
    def failure_class(self) -> Optional[str]:
        """Why it did not build, in a word; None when it did."""
        return self.metadata.get("failure_class")

    @classmethod
    def of(cls, values: Dict[str, Any]) -> "CadForgeObservation":
        seen = _of(cls, values)
        seen.trace = [_of(CadForgeStep, step) for step in seen.trace]
        return seen


@dataclass
class CadForgeState:
    """Where the episode stands. last_reward: its terms, as in an observation's reward_json."""

    episode_id: Optional[str] = None
    step_count: int = 0
    task_id: str = ""
    task_brief: str = ""
    current_code: str = ""
    last_reward: Optional[Dict[str, Any]] = None
    trace: List[CadForgeStep] = field(default_factory=list)
    more: Dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Dict[str, Any]) -> "CadForgeState":
        state = _of(cls, values)
        state.trace = [_of(CadForgeStep, step) for step in state.trace]
        return state
