"""GPUs that are not there, as NVIDIA's DCGM exporter tells of them.

A server has one GPU. It is as busy as its batch is full, and its memory holds the weights and as
much of the KV cache as is in use; asleep, it holds almost nothing. Real servers take the cache's
memory once and for all, so only the first of the two says much of them.
"""

import asyncio
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .metrics import Labels, Sample, render_family
from .settings import GpuExporter
from .wire import Connection, Limits, Reply, Request

_WEIGHTS, _CACHE, _ASLEEP = 0.2, 0.7, 0.02
"""Shares of the memory; what is left is never used."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_FAMILIES = {
    "DCGM_FI_DEV_GPU_UTIL": "GPU utilization (in %).",
    "DCGM_FI_DEV_FB_USED": "Framebuffer memory used (in MiB).",
    "DCGM_FI_DEV_FB_FREE": "Framebuffer memory free (in MiB).",
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. `busy` and `kv_usage` are 0..1, the memory is MiB."""

    pod: str
    namespace: str
    host: str
    memory: int
    busy: float
    kv_usage: float
    asleep: bool


def gpu_page(gpus: Sequence[Gpu]) -> str:
    """The exporter's text; the GPUs are numbered from 0 as they come."""
    rows = [(_labels(number, gpu), _values(gpu)) for number, gpu in enumerate(gpus)]
    pages = []
    for column, (name, text) in enumerate(_FAMILIES.items()):
        samples: list[Sample] = [("", labels, float(values[column])) for labels, values in rows]
        pages.append(render_family(name, "gauge", text, samples))
    return "".join(pages)


async def serve_gpu_page(
    settings: GpuExporter, gpus: Callable[[], Sequence[Gpu]]
) -> asyncio.Server:
    """Serve the page of all `gpus` on /metrics, as the exporter of a node does, until closed.

    Another path is 404. Raises OSError if the address is taken.
    """

    async def answer(request: Request, reply: Reply) -> None:
        if request.path in ("/metrics", "/gpu_metrics"):
            reply.whole(200, gpu_page(gpus()).encode(), kind=TEXT)
        else:
            reply.whole(404, b"Not Found; see /metrics\n", kind="text/plain")

    def connect() -> Connection:
        return Connection(
            answer,
            Limits(head_bytes=64 << 10, body_bytes=64 << 10),
            open_connections=set(),
            on_cancel=lambda: None,
            sni_of=lambda connection: None,
        )

    loop = asyncio.get_running_loop()
    return await loop.create_server(connect, settings.host, settings.port)


def _labels(number: int, gpu: Gpu) -> Labels:
    name = uuid.uuid5(uuid.NAMESPACE_DNS, f"{gpu.namespace}/{gpu.pod}/{gpu.host}")
    return {
        "gpu": str(number),
        "UUID": f"GPU-{name}",
        "device": f"nvidia{number}",
        "modelName": "Simulated GPU",
        "Hostname": gpu.host,
        "container": "sim",
        "namespace": gpu.namespace,
        "pod": gpu.pod,
    }


def _values(gpu: Gpu) -> tuple[int, int, int]:
    used = _ASLEEP if gpu.asleep else _WEIGHTS + _CACHE * gpu.kv_usage
    used_mib = round(gpu.memory * used)
    return math.ceil(100 * min(gpu.busy, 1.0)), used_mib, gpu.memory - used_mib
