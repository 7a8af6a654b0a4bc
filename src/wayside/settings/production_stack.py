"""What clients, dashboards and scripts of production-stack's router expect, and OpenAI's Files and
Batch APIs, which it has as well."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from wayside.settings.base import Settings


class ProductionStackSettings(Settings):
    """Be to others what ``vllm_router`` was: ``/engines``, ``/version``, ``/metrics``, ``/sleep``
    and ``?id=`` where clients connect, its metrics, its log line. Configurations in its format
    switch this on.

    Example: ``{enabled: true, session_key: x-user-id}``
    """

    enabled: bool = False
    """Whether to be that."""
    engines: bool = True
    """Whether clients may see and command single servers there: `/engines`, `/sleep`, `/wake_up`,
    `/is_sleeping`, and `?id=`."""
    session_key: str = ""
    """The header, or the field of the body, whose value the log line calls the session."""
    stats_window_s: PositiveFloat = 60.0
    """What rates and averages of the metrics look back on."""
    engine_stats_s: PositiveFloat = 30.0
    """How often servers are asked for their own metrics, for those that are shown."""
    log_stats_s: PositiveFloat | None = None
    """How often the log tells of every server's load; never when absent."""
    admin_groups: tuple[str, ...] = ()
    """Groups (`identity.groups_header`) whose members may put servers to sleep, wake them and
    list them, where `identity.trusted` is set; without `identity.trusted` everybody may, as
    there."""


class BatchSettings(Settings):
    """OpenAI's Files and Batch APIs: a file of requests is uploaded, each goes the way that any
    request goes, and their answers are a file.

    Example: ``{enabled: true, folder: /var/lib/wayside/batches, concurrency: 16}``
    """

    enabled: bool = False
    """Whether `/v1/files` and `/v1/batches` are there."""
    folder: str = "wayside-batches"
    """Where files and the state of batches are kept, on a disk of this machine; made where there
    is none. What is in it is readable by the user that the router runs as, alone. Workers of one
    machine share it, and a restart goes on where it stopped."""
    scope: Literal["user", "team", "tenant"] = "user"
    """Who sees a file and a batch: the user who made it (`identity.trusted`), their team or their
    tenant; who is not told apart by these is told apart by the key that they show."""
    anonymous: Literal["off", "shared"] = "off"
    """Requests that show neither who asks nor a key: `off` refuses them (401), with `shared` all
    of them see the same files."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8
    """Requests of batches under way at once, in each process."""
    urgency: Annotated[int, Field(ge=-100, le=100)] = -100
    """Of requests of batches where they have to wait for a model, whatever a group or a header
    says: anything greater goes first."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """How often a request is sent that is answered 5xx. One that is answered 429 is sent again
    for as long as its batch has time."""
    window_s: Annotated[float, Field(gt=0, le=30 * 86_400.0)] = 86_400.0
    """How long a batch has (`completion_window` says `24h`); then what is left of it is given
    up. At most 30 days."""
    max_requests: PositiveInt = 50_000
    """Of one batch."""
    max_unfinished: PositiveInt = 100
    """Batches that one owner may have under way or waiting; one more is answered 429."""
    max_file_bytes: PositiveInt = 100 << 20
    """Of one file, be it uploaded (`limits.max_body_bytes` counts as well) or made by a batch."""
    max_owner_bytes: PositiveInt = 1 << 30
    """Of all files of one owner; one more is answered 413, and so is a batch of an owner who has
    as much already."""
    max_bytes: PositiveInt = 10 << 30
    """Of all files, each counted as 4096 bytes at least; one more is answered 507, and so is one
    more batch."""
    keep_s: Annotated[float, Field(gt=0, le=3650 * 86_400.0)] = 30 * 86_400.0
    """How long files and finished batches are kept: at most ten years."""
