"""How busy the GPUs of servers are, as a DCGM exporter tells it, joined to endpoints by labels.

Names as in NVIDIA's dcgm-exporter: ``DCGM_FI_DEV_GPU_UTIL`` in percent,
``DCGM_FI_DEV_FB_USED`` and ``DCGM_FI_DEV_FB_FREE`` in MiB, and, where GPUs are partitioned (MIG)
and have no utilisation, ``DCGM_FI_PROF_GR_ENGINE_ACTIVE``, a share. Each line says whose GPU it is
by the labels ``pod``, ``Hostname`` and the like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from wayside.fleet.exposition import Sample, families
from wayside.fleet.replica import Replica

PERCENT: Final = b"DCGM_FI_DEV_GPU_UTIL"
SHARE: Final = b"DCGM_FI_PROF_GR_ENGINE_ACTIVE"
USED: Final = b"DCGM_FI_DEV_FB_USED"
FREE: Final = b"DCGM_FI_DEV_FB_FREE"
_WANTED: Final = frozenset((PERCENT, SHARE, USED, FREE))
_GPU: Final = ("Hostname", "UUID", "gpu", "GPU_I_ID", "device")
"""Labels that tell one GPU, or one partition of it, from another."""

Labels = Mapping[str, str]


class Gpu(NamedTuple):
    """One GPU: ``busy`` and ``memory`` are shares, 0..1, ``None`` where nothing is said."""

    labels: Labels
    busy: float | None
    memory: float | None


class Load(NamedTuple):
    """The GPUs of one server together: their means."""

    busy: float | None
    memory: float | None


def read_gpus(page: bytes) -> list[Gpu]:
    """The GPUs that a page tells of. What is not a share, or not understood, is left out."""
    found = families(page, _WANTED)
    labels: dict[tuple[str, ...], Labels] = {}
    said: dict[bytes, dict[tuple[str, ...], float]] = {}
    for name in (PERCENT, SHARE, USED, FREE):
        of_name = said[name] = {}
        for sample in found.get(name, []):
            key = _identity(sample)
            labels.setdefault(key, sample.labels)
            of_name[key] = sample.value
    return [
        Gpu(its, _busy(key, said), _memory(said[USED].get(key), said[FREE].get(key)))
        for key, its in labels.items()
    ]


def join(
    gpus: Iterable[Gpu], replicas: Sequence[Replica], by: Sequence[str]
) -> dict[Replica, Load]:
    """Whose GPU each is: that of the first label of ``by`` that fits an endpoint decides.

    A label fits by the endpoint's name, host, or host and port; by its own label of the same
    name; and ``instance``, which has the exporter's port, by its host alone. One that fits several
    (a node with two servers) counts for each.
    """
    known: dict[str, list[Replica]] = {}
    labelled: dict[tuple[str, str], list[Replica]] = {}
    for replica in replicas:
        address = replica.address
        for text in dict.fromkeys((replica.name, address.host, address.netloc)):
            known.setdefault(text, []).append(replica)
        for label in by:
            if value := replica.labels.get(label):
                labelled.setdefault((label, value), []).append(replica)
    theirs: dict[Replica, list[Gpu]] = {}
    for gpu in gpus:
        for label in by:
            value = gpu.labels.get(label) or gpu.labels.get(f"exported_{label}")
            if not value:
                continue
            fits = labelled.get((label, value)) or known.get(value) or known.get(_host(value))
            if fits:
                for replica in fits:
                    theirs.setdefault(replica, []).append(gpu)
                break
    return {replica: load(its) for replica, its in theirs.items()}


def load(gpus: Sequence[Gpu]) -> Load:
    """The means of those that say something."""
    return Load(_mean([g.busy for g in gpus]), _mean([g.memory for g in gpus]))


def _identity(sample: Sample) -> tuple[str, ...]:
    said = sample.labels
    return tuple([said.get(name, "") for name in _GPU])


def _busy(
    key: tuple[str, ...], said: Mapping[bytes, Mapping[tuple[str, ...], float]]
) -> float | None:
    percent, share = said[PERCENT].get(key), said[SHARE].get(key)
    if percent is not None and 0 <= percent <= 100:
        return percent / 100
    return share if share is not None and 0 <= share <= 1 else None


def _memory(used: float | None, free: float | None) -> float | None:
    if used is None or free is None or used < 0 or free < 0 or used + free <= 0:
        return None
    return used / (used + free)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _host(value: str) -> str:
    """``10.0.0.7`` of ``10.0.0.7:9400``, ``fd00::7`` of ``[fd00::7]:9400``."""
    host, colon, port = value.rpartition(":")
    return (
        host.strip("[]")
        if colon and port.isdigit() and (":" not in host or "]" in host)
        else value
    )
