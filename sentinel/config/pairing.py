"""Section `ingestion.pairing`: requests and their answers, which arrive as two events with one correlation id."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sentinel.config.types import ConfigModel, PositiveDuration


class RequestPairing(ConfigModel):
    """The ingestion job completes answers with what only their request knew."""

    enabled: bool = Field(default=False, description="For all tenants; `tenants.<id>.pairRequests` goes before it")
    timeout: Annotated[PositiveDuration, Field(le=3600)] = Field(
        default=300.0, description="Event time after which a request counts as unanswered; at most 1h"
    )
    copy_prompt: bool = Field(default=False, description="Give answers the prompt, too: rules on prompts then find it twice")
