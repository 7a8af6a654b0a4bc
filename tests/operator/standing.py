"""A process that looks after the toys of one namespace, if it leads: for tests that kill it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from wayside.kube.kubeconfig import find_access
from wayside.kube.lease import Terms
from wayside.operator.program import Options, Program

from .toy import MANAGER, toy_kind


async def main(kubeconfig: str, namespace: str) -> None:
    options = Options(
        access=find_access(kubeconfig),
        manager=MANAGER,
        lease="toy",
        lease_namespace=namespace,
        namespace=namespace,
        elects=True,
        terms=Terms(lease_s=2, renew_s=1.5, retry_s=0.3),
    )
    program = Program(options, [toy_kind()], lambda *_, **__: None)
    print(json.dumps(program.identity), flush=True)
    running = asyncio.create_task(program.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
