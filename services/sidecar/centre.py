"""Follows the centre: rules and privacy policies as they change, and the anomalies that the jobs find in what was sent on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import grpc

from schemas.pb.llm.sentinel.v1 import sidecar_pb2 as pb
from schemas.pb.llm.sentinel.v1.sidecar_pb2_grpc import SidecarLinkStub
from sentinel.config.sidecar_view import SidecarView
from services.dispatcher.events import Sparingly, log_event
from services.gateway.settings import GatewaySettingsError
from services.sidecar.findings import FindingCache
from services.sidecar.grpc_link import metadata_of, open_channel
from services.sidecar.settings import Target

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Centre:
    """One stream to a gateway, renewed for ever. `take_view` gets every configuration; `heard` counts anomalies."""

    def __init__(
        self, target: Target, application_id: str | None, take_view: Callable[[SidecarView], None], findings: FindingCache
    ) -> None:
        self._target, self._application_id = target, application_id or ""
        self._take_view, self._findings = take_view, findings
        self.connected = False
        self.heard = 0
        self._trouble = Sparingly("link_away", interval_s=30.0)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follows from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ends the stream."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        async with contextlib.AsyncExitStack() as stack:
            channel = open_channel(self._target)
            stack.push_async_callback(channel.close, None)
            while True:
                try:
                    call = SidecarLinkStub(channel).Follow(
                        pb.FollowRequest(application_id=self._application_id), metadata=metadata_of(self._target)
                    )
                    async for update in call:
                        self.connected, pause = True, FIRST_PAUSE_S
                        self._take(update)
                    self._trouble("the gateway ended the stream")
                except grpc.aio.AioRpcError as error:
                    self._trouble(f"{error.code().name}: {error.details()}")
                except GatewaySettingsError as error:
                    self._trouble(error)
                self.connected = False
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def _take(self, update: pb.FollowUpdate) -> None:
        try:
            if update.HasField("configuration_json"):
                self._take_view(SidecarView.from_json(update.configuration_json))
            elif update.HasField("anomaly_json"):
                self._findings.put(update.anomaly_json, "centre")
                self.heard += 1
        except Exception as error:
            # Whatever the centre says, events are taken and sent on; the rules that were in force stay.
            log_event("update_refused", error=type(error).__name__)
