"""Telemetry for LLM-Sentinel, sent in the background. The standard library is all that it needs.

from llm_sentinel_client import Sentinel

sentinel = Sentinel("http://127.0.0.1:8080", application="shop")
with sentinel.call("gpt-4o", prompt="What is 2+2?", user_id="u-17") as call:
    call.answered("Four.", prompt_tokens=12, completion_tokens=3)
"""

from llm_sentinel_client.call import Call
from llm_sentinel_client.client import Sentinel
from llm_sentinel_client.sender import Counts

__all__ = ["Call", "Counts", "Sentinel"]
