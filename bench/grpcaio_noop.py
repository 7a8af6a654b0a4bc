"""A `grpc.aio` ext_proc server that does nothing: what the usual library costs on the Envoy path.

    grpcaio_noop.py unix:PATH

Messages stay bytes and each reply is a constant, so nothing is counted against it but grpcio
itself. It routes nothing and is never part of the product.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc

# First byte of a ProcessingRequest (its phase) -> the empty ProcessingResponse of that phase.
REPLIES = {
    0x12: b"\x0a\x00",  # request headers
    0x1A: b"\x12\x00",  # response headers
    0x22: b"\x1a\x00",  # request body
    0x2A: b"\x22\x00",  # response body
    0x32: b"\x2a\x00",  # request trailers
    0x3A: b"\x32\x00",  # response trailers
}


async def process(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    async for message in requests:
        yield REPLIES[message[0]]


async def serve(address: str) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    handler = grpc.stream_stream_rpc_method_handler(process)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "envoy.service.ext_proc.v3.ExternalProcessor", {"Process": handler}
            )
        ]
    )
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
