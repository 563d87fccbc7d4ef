#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A bad network between two nodes: forwards TCP and UDP to another port of 127.0.0.1, and harms
them as it is told.

usage: proxy.py FIFO

It listens on a free port, the same number for TCP and UDP, which it prints first. Whoever connects
is above, the port it forwards to is below. Lines of the FIFO tell it what to do:

    to PORT             where to forward; until then everything waits
    pass                the network is good, and everything below is over
    cut                 connections are reset, new ones too; datagrams are lost
    hang                connections stay, nothing passes
    drop-up, drop-down  the same in one direction
    delay MS            everything arrives later, in order
    throttle BYTES      as many bytes a second, in each direction; datagrams are not counted
    midcut              half of what is next is forwarded, then its connection is reset

What TCP has while nothing passes arrives later, as after retransmissions; what UDP has is lost.
"""
import asyncio
import contextlib
import os
import socket
import struct
import sys

CHUNK = 65536
QUEUE_MAX = 256  # chunks under way per direction, for `delay`
BUFFER = 262144  # of a socket: a long buffer would hide from the sender that the network is slow
UP, DOWN = 0, 1
BLOCKED = {"hang": {UP, DOWN}, "drop-up": {UP}, "drop-down": {DOWN}}


class Network:
    """What is wrong with the network at present."""

    def __init__(self):
        self.port = None
        self.connections = set()
        self.changed = asyncio.Event()
        self.free_at = [0.0, 0.0]
        self.heal()

    def heal(self):
        self.is_cut = self.midcut = False
        self.blocked = set()
        self.delay = 0.0
        self.rate = None

    def command(self, words):
        name, value = words[0], int(words[-1]) if words[1:] else 0
        if name == "to":
            self.port = value
        elif name == "pass":
            self.heal()
        elif name == "cut":
            self.is_cut = True
            for c in list(self.connections):
                c.reset()
        elif name in BLOCKED:
            self.blocked = BLOCKED[name]
        elif name == "delay":
            self.delay = value / 1000
        elif name == "throttle":
            self.rate = value
        elif name == "midcut":
            self.midcut = True
        else:
            raise ValueError(f"no such command: {name}")
        self.changed.set()
        self.changed = asyncio.Event()

    def passes(self, way):
        return self.port is not None and not self.is_cut and way not in self.blocked

    async def until_passes(self, way):
        while not self.passes(way):
            await self.changed.wait()

    def step(self):
        """How much is forwarded at once: a tenth of a second, so that a change is soon seen."""
        return CHUNK if self.rate is None else max(1, min(CHUNK, self.rate // 10))

    async def take_turn(self, way, size):
        """All connections together have the rate."""
        if self.rate is None:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self.free_at[way])
        # A turn that was reserved at a lower rate must not hold up what comes after.
        self.free_at[way] = min(start, now + 1) + size / self.rate
        await asyncio.sleep(min(start - now, 1))


class Connection:
    def __init__(self, network, reader, writer):
        self.network, self.tasks = network, []
        self.above, self.below = (reader, writer), None

    def reset(self):
        for _, writer in filter(None, (self.above, self.below)):
            s = writer.get_extra_info("socket")
            if s.fileno() >= 0:  # RST, not FIN
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()

    async def run(self):
        self.network.connections.add(self)
        with contextlib.suppress(OSError):  # one end is gone; so is the other
            if not self.network.is_cut:
                await self.forward()
        self.network.connections.discard(self)
        self.reset()

    async def forward(self):
        await self.network.until_passes(DOWN)
        self.below = await asyncio.open_connection("127.0.0.1", self.network.port, limit=CHUNK)
        ways = ((DOWN, self.above[0], self.below[1]), (UP, self.below[0], self.above[1]))
        for way, reader, writer in ways:
            queue = asyncio.Queue(QUEUE_MAX)
            self.tasks.append(asyncio.ensure_future(self.receive(way, reader, queue)))
            self.tasks.append(asyncio.ensure_future(self.send(way, queue, writer)))
        # The daemons close both directions at once: the first end is that of the connection.
        await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*[t for t in self.tasks if t.done()])

    async def receive(self, way, reader, queue):
        clock = asyncio.get_running_loop()
        while True:
            await self.network.until_passes(way)
            data = await reader.read(self.network.step())
            await queue.put((clock.time() + self.network.delay, data))
            if not data:
                await asyncio.Event().wait()  # send() ends it, when all before is sent

    async def send(self, way, queue, writer):
        clock = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - clock.time()))
            await self.network.until_passes(way)
            await self.network.take_turn(way, len(data))
            if not data:
                return
            if self.network.midcut and len(data) > 1:
                self.network.midcut = False
                writer.write(data[: len(data) // 2])
                await asyncio.sleep(0.02)  # or the reset overtakes it
                print("midcut", len(data), flush=True)
                return
            writer.write(data)
            await writer.drain()


class Datagrams:
    """For each that sends to the port there is a socket below, to which answers come."""

    def __init__(self, network, above):
        self.network, self.above, self.below = network, above, {}
        asyncio.get_running_loop().add_reader(above, self.from_above)

    def pass_on(self, way, send, *args):
        def deliver():
            with contextlib.suppress(OSError):  # nobody listens there at the moment
                send(*args)

        if self.network.passes(way):
            asyncio.get_running_loop().call_later(self.network.delay, deliver)

    def from_above(self):
        data, address = self.above.recvfrom(CHUNK)
        if address not in self.below:
            s = self.below[address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setblocking(False)
            asyncio.get_running_loop().add_reader(s, self.from_below, s, address)
        target = ("127.0.0.1", self.network.port)
        self.pass_on(DOWN, self.below[address].sendto, data, target)

    def from_below(self, s, address):
        with contextlib.suppress(OSError):
            self.pass_on(UP, self.above.sendto, s.recv(CHUNK), address)


def free_port():
    """A TCP and a UDP socket at the same number."""
    while True:
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        tcp.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError):
            udp.bind(tcp.getsockname())
            return tcp, udp


async def main(fifo):
    loop = asyncio.get_running_loop()
    network = Network()
    tcp, udp = free_port()
    await asyncio.start_server(
        lambda r, w: Connection(network, r, w).run(), sock=tcp, limit=CHUNK)
    udp.setblocking(False)
    Datagrams(network, udp)
    print(tcp.getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    # Open for writing too: no end of file when a writer closes it.
    pipe = os.fdopen(os.open(fifo, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), pipe)
    while True:
        network.command((await commands.readline()).decode().split())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
