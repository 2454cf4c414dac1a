"""Langfuse's scores, observations and traces as its API and its blob export write them."""

import json
from typing import Any

CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}]
SNAKE_SCORE = {
    "id": "s1",
    "timestamp": "2025-01-12 10:00:05.000000",
    "project_id": "p",
    "environment": "default",
    "trace_id": "t1",
    "observation_id": "o1",
    "session_id": None,
    "dataset_run_id": None,
    "name": "user-feedback",
    "value": 1,
    "source": "API",
    "comment": None,
    "data_type": "BOOLEAN",
    "string_value": None,
    "created_at": "2025-01-12 10:00:05.000000",
    "updated_at": "2025-01-12 10:00:06.500000",
}
SNAKE_OBSERVATION = {
    "id": "o1",
    "trace_id": "t1",
    "type": "GENERATION",
    "parent_observation_id": "",
    "start_time": "2025-01-12 10:00:00.000000",
    "input": json.dumps(CHAT),
    "output": "four",
    "user_id": "visitor",
    "session_id": "evening",
}


def score(**more: Any) -> dict:
    """A thumb down on a trace, as the API writes it."""
    return {
        "id": "s1",
        "traceId": "t1",
        "observationId": None,
        "name": "user-feedback",
        "value": 0,
        "stringValue": "False",
        "dataType": "BOOLEAN",
        "source": "API",
        "comment": "wrong",
    } | more


def observation(name: str = "o1", question: Any = "2+2?", answer: Any = "5", **more: Any) -> dict:
    return {
        "id": name,
        "traceId": "t1",
        "type": "GENERATION",
        "startTime": "2025-01-12T10:00:00.000Z",
        "input": [{"role": "user", "content": question}] if isinstance(question, str) else question,
        "output": answer,
    } | more


def bundle(scores: list[dict], observations: list[dict] | None = None, **trace: Any) -> dict:
    """trace-<id>.json, as one trace is downloaded."""
    about = {"id": "t1", "name": "chat", "input": None, "output": None} | trace
    return {"trace": about, "observations": observations or [observation()], "scores": scores}
