"""The typed client: OpenEnv's EnvClient with CADForge's action, observation and state.

Asynchronous as EnvClient is; `.sync()` gives the blocking one. Works on openenv-core from 0.2.3 and on openenv.
"""
from __future__ import annotations

import os
import re
import urllib.parse
import urllib.request
from typing import Any, Dict, Optional

from openenv.core import EnvClient
from openenv.core.client_types import StepResult

from .models import CadForgeAction, CadForgeObservation, CadForgeState

DEFAULT_URL = "http://127.0.0.1:8000"


def address_of(base_url: Optional[str] = None, token: Optional[str] = None) -> str:
    """The server's address with the token at the head of its path, as clients that send no headers have it.

    base_url: absent stands for the environment's CADFORGE_SERVE_URL, else for http://127.0.0.1:8000.
    token: absent stands for the environment's CADFORGE_SERVE_TOKEN, else for none. An address that has one keeps it.
    """
    url = (base_url or os.environ.get("CADFORGE_SERVE_URL") or DEFAULT_URL).rstrip("/")
    token = token or os.environ.get("CADFORGE_SERVE_TOKEN")
    if not token or re.search(r"/t/[^/]+$", url):
        return url
    return f"{url}/t/{urllib.parse.quote(token, safe='')}"


def artifact_url(base_url: str, reference: str, file: str) -> str:
    """Where a file of a step lies: artifact_url(base, observation.artifacts_dir, "shape.stl").

    Raises:
        ValueError: @reference is not "artifact:EPISODE/step-N".
    """
    found = re.fullmatch(r"artifact:([^/]+)/(step-[0-9]+)", reference or "")
    if not found:
        raise ValueError(f"{reference!r} is no reference to artifacts: artifact:EPISODE/step-N wanted")
    base = re.sub(r"^ws", "http", address_of(base_url))
    base = base if "://" in base else f"http://{base}"
    return "/".join([base, "artifacts", *(urllib.parse.quote(p, safe="") for p in (*found.groups(), file))])


def fetch_artifact(base_url: str, reference: str, file: str, timeout_s: float = 60.0) -> bytes:
    """A file of a step, whole. Raises urllib.error.HTTPError with 404 where there is none."""
    with urllib.request.urlopen(artifact_url(base_url, reference, file), timeout=timeout_s) as answer:
        return answer.read()


class CadForgeEnv(EnvClient[CadForgeAction, CadForgeObservation, CadForgeState]):
    """A session: one WebSocket, one episode at a time.

    base_url, token: as in address_of().
    others: EnvClient's own (connect_timeout_s, message_timeout_s, ...).
    """

    def __init__(self, base_url: Optional[str] = None, *, token: Optional[str] = None, **others: Any):
        # A provider without an address starts its container later and then knows it (openenv 0.10).
        if base_url is None and others.get("provider") is not None:
            super().__init__(**others)
        else:
            super().__init__(base_url=address_of(base_url, token), **others)

    def _step_payload(self, action: CadForgeAction) -> Dict[str, Any]:
        return action.payload()

    def _parse_result(self, payload: Dict[str, Any]) -> StepResult[CadForgeObservation]:
        return StepResult(observation=CadForgeObservation.of(payload.get("observation") or {}),
                          reward=payload.get("reward"), done=bool(payload.get("done")))

    def _parse_state(self, payload: Dict[str, Any]) -> CadForgeState:
        return CadForgeState.of(payload)
