"""The environment class of TRL's GRPO trainer (`environment_factory=CadForgeEnvironment`).

TRL makes an instance for each rollout that runs at once, and uses it again: made once, reset often. Every public
method but reset and get_reward is a tool of the model's, so there is one: submit_cadquery. An exception in reset ends
the training; so a server that is restarted, full or cut off is waited for, and only then given up. get_reward never
raises.

A lost connection ends the session on the server. The next call opens another, resets it to the same task, and, in a
step, submits the program again: the reward is the same, since a program's reward does not depend on what was before.
"""
from __future__ import annotations

import asyncio
import time
import weakref
from typing import Any, Callable, Dict, List, Optional

from websockets.exceptions import InvalidStatus, WebSocketException

from .client import CadForgeEnv, address_of
from .models import CadForgeAction, CadForgeObservation

LOG_MAX = 2000  # characters of a build's log that a model is shown: the end, where the error is
# What may be otherwise a moment later. EXECUTION_ERROR: the server lost the program, and counted nothing.
PASSING = ("CAPACITY_REACHED", "EXECUTION_ERROR", "FACTORY_ERROR", "SESSION_ERROR")


def _passes(e: Exception) -> bool:
    """Whether it is worth trying again."""
    if isinstance(e.__cause__, InvalidStatus):  # the server is there, and does not want us
        return e.__cause__.response.status_code >= 500
    if isinstance(e, (OSError, EOFError, asyncio.TimeoutError, WebSocketException)):
        return True
    return isinstance(e, RuntimeError) and any(f"(code: {code})" in str(e) for code in PASSING)


def _told(seen: CadForgeObservation, reward: Optional[float], done: bool) -> str:
    """A step's outcome as the model reads it."""
    terms = ", ".join(f"{k} {v:.3f}" for k, v in seen.reward_json.items() if k != "total" and isinstance(v, (int, float)))
    lines = [f"reward {reward if reward is not None else 0.0:.3f}" + (f" ({terms})" if terms else "")]
    if seen.reward_delta is not None:
        lines[0] += f", {seen.reward_delta:+.3f} to the program before"
    lines += [f"- {note}" for note in seen.verifier_notes]
    log = seen.build_log.strip()
    if log:
        lines += ["What the build said:", log if len(log) <= LOG_MAX else "[...] " + log[-LOG_MAX:]]
    if done:
        lines.append("The episode is over.")
    return "\n".join(lines)


def _close(held: List[Any]) -> None:
    """Ends the session that is held, if one is; that the other side is gone already is no matter."""
    while held:
        try:
            held.pop().close()
        except Exception:
            pass


class CadForgeEnvironment:
    """An environment of one rollout.

    To give it other settings, hand TRL functools.partial(CadForgeEnvironment, base_url=..., ...); that and instances
    can be pickled, and a copy opens a connection of its own.
    """

    def __init__(self, base_url: Optional[str] = None, token: Optional[str] = None, reward_mode: str = "fast",
                 reward: str = "last", patience_s: float = 300.0, message_timeout_s: float = 60.0):
        """
        Args:
            base_url: Of the server; absent: CADFORGE_SERVE_URL of the environment, else http://127.0.0.1:8000.
            token: Absent: CADFORGE_SERVE_TOKEN of the environment, else none.
            reward_mode: "fast", "full", "exact" or "strict".
            reward: What get_reward gives: "last", the last program's, or "best".
            patience_s: How long a call tries, at most, to reach a server that is gone or full.
            message_timeout_s: How long an answer may take before the connection is held for dead.
        """
        if reward not in ("last", "best"):
            raise ValueError(f"reward={reward!r}: 'last' or 'best' wanted")
        self._url = address_of(base_url, token)
        self._reward_mode = reward_mode
        self._which = reward
        self._patience_s = patience_s
        self._message_timeout_s = message_timeout_s
        self._hold()
        self._asked: Dict[str, Any] = {}
        self._task_id: Optional[str] = None
        self._rewards: List[float] = []
        self._done = False

    def reset(self, **row: Any) -> Optional[str]:
        """Begins an episode: of the row's task_id, or of its split and index, or of its task_brief.

        Other columns are not looked at. Gives the brief and its constraints, to be put behind the prompt, unless the
        row's prompt has the brief already.

        Raises:
            ValueError: There is no such task.
            ConnectionError: The server could not be reached for patience_s, or does not want us.
        """
        known = ("task_id", "task_brief", "seed", "split", "index")
        self._asked = {k: row[k] for k in known if row.get(k) is not None}
        self._rewards, self._done = [], False
        self._task_id = None
        seen = self._try("reset", lambda client: client.reset(**self._asked)).observation
        self._task_id = seen.task_id or None
        if not seen.task_brief and "task_id" in self._asked:
            raise ValueError(f"task_id={self._asked['task_id']!r}: the server at {self._shown()} has no such task")
        if seen.task_brief and seen.task_brief in str(row.get("prompt", "")):
            return None
        return "\n".join(["", seen.task_brief, *(f"- {c}" for c in seen.constraints)])

    def submit_cadquery(self, code: str) -> str:
        """
        Builds and scores a complete CadQuery program.

        Args:
            code: The whole program; it assigns the finished part to fixture.

        Returns:
            The reward with its terms, notes on what to improve, and what the build printed.
        """
        if self._done:
            return "The episode is over: this program was not built."
        # The task is said again: openenv 0.10 opens a new session by itself where it finds the old one gone.
        action = CadForgeAction(code=code, reward_mode=self._reward_mode, task_id=self._task_id)
        result = self._try("step", lambda client: client.step(action))
        self._done = bool(result.done)
        if result.reward is not None:
            self._rewards.append(float(result.reward))
        return _told(result.observation, result.reward, self._done)

    def get_reward(self) -> float:
        """Of the last program, or of the best one; -1.0, as for one that does not build, when there was none."""
        if not self._rewards:
            return -1.0
        return self._rewards[-1] if self._which == "last" else max(self._rewards)

    def _try(self, what: str, ask: Callable[[Any], Any]) -> Any:
        """@ask, with a connection; again with a new one while that may help."""
        began, pause_s = time.monotonic(), 0.1
        while True:
            try:
                if not self._held:
                    self._held.append(CadForgeEnv(self._url, message_timeout_s=self._message_timeout_s).sync())
                    if what != "reset":  # the session before is gone, and its episode with it
                        self._held[0].reset(**self._asked)
                return ask(self._held[0])
            except Exception as e:
                self._leave()  # an answer that comes late must not be taken for the next one's
                if not _passes(e):
                    raise
                waited_s = time.monotonic() - began
                if waited_s + pause_s > self._patience_s:
                    raise ConnectionError(f"{what}: no answer of the CADForge server at {self._shown()} for "
                                          f"{waited_s:.0f} s: {e}. Is `cadforge serve` running there, with a --capacity "
                                          "of as many sessions as rollouts run at once?") from e
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 5.0)

    def _shown(self) -> str:
        return self._url.split("/t/")[0]  # the token is nobody's business

    def _leave(self) -> None:
        _close(self._held)

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_held"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._hold()

    def _hold(self) -> None:
        """A place for the connection, which outlives neither us nor the interpreter's threads."""
        self._held: List[Any] = []
        weakref.finalize(self, _close, self._held)
