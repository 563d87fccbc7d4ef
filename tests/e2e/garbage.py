# SPDX-License-Identifier: MIT
"""Sends garbage and half-valid messages to everything that listens. usage: STATE SEED ROUNDS"""
import glob
import json
import random
import re
import socket
import struct
import sys

state, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rand = random.Random(seed)
ports = re.findall(r"tcp://127.0.0.1:(\d+)", open(state + "/topology.yaml").read())


def noise(most):
    return rand.randbytes(rand.randrange(1, most))


def send(target, *parts):
    family = socket.AF_INET if isinstance(target, tuple) else socket.AF_UNIX
    with socket.socket(family) as s:
        s.settimeout(0.1)
        try:
            s.connect(target)
            for part in parts:
                s.sendall(part)
            if rand.random() < 0.5:
                while s.recv(65536):
                    pass
        except OSError:
            pass


# ZMTP 3.1: signature, version, mechanism, as-server, filler
def greeting(mechanism, server=0, version=(3, 1)):
    return b"\xff" + bytes(7) + b"\x01\x7f" + bytes(version) + mechanism.ljust(20, b"\0") + bytes([server]) + bytes(31)


def command(name, body):
    data = bytes([len(name)]) + name + body
    return b"\x06" + struct.pack(">Q", len(data)) + data


def tcp(target):
    hello = command(b"HELLO", b"\x01\x00" + bytes(72) + noise(300)[:32].ljust(32, b"x") + noise(200)[:88].ljust(88, b"y"))
    send(target, noise(200000))
    send(target, b"")
    send(target, greeting(b"CURVE")[: rand.randrange(64)])
    send(target, greeting(b"CURVE"), hello)
    send(target, greeting(b"CURVE"), hello, noise(50000))
    send(target, greeting(b"CURVE"), command(b"INITIATE", noise(400)))
    send(target, greeting(b"CURVE"), command(b"READY", noise(400)))
    send(target, greeting(b"CURVE"), b"\x06" + struct.pack(">Q", 1 << 62) + noise(1000))
    send(target, greeting(b"NULL"), command(b"READY", b"\x0bSocket-Type\0\0\0\x06DEALER"), b"\0\x05hello", noise(3000))
    send(target, greeting(b"CURVE", 1, (3, 0)), noise(3000))
    send(target, greeting(b"PLAIN"), command(b"HELLO", b"\1a\1b"))
    send(target, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


# The host's channel (docs/wire-format.md)
def request(type, flags=0, length=0, payload=0, offset=0, client=None, id=None, magic=0x314C5044, version=1):
    return struct.pack("<IHBBIIQQQQQ", magic, version, type, flags, length, payload,
        client if client is not None else rand.getrandbits(64), id if id is not None else rand.getrandbits(64), offset, 0, 0)


def host(target):
    hello = request(1, payload=4, id=1) + b"data"
    top = 256 << 20
    send(target, noise(200000))
    send(target, request(1, magic=rand.getrandbits(32)))
    send(target, request(1, version=99))
    send(target, request(rand.randrange(8, 256)))
    send(target, request(1, payload=0xFFFFFFFF))
    send(target, request(1, payload=63) + noise(100)[:63].ljust(63, b"z"))
    send(target, request(4, length=4096, payload=4096) + bytes(4096))  # before HELLO
    send(target, hello, hello)
    for offset in (top, top - 512, (1 << 64) - 512, 1 << 63):
        for type in (3, 5, 6):
            send(target, hello, request(type, length=1024, offset=offset, id=2))
        send(target, hello, request(4, length=1024, payload=1024, offset=offset, id=2) + bytes(1024))
    send(target, hello, request(3, length=0xFFFFFFFF, id=2))
    send(target, hello, request(3, length=0, id=2), request(3, length=1, offset=7, id=2))
    send(target, hello, request(5, length=0xFFFFFFFF, offset=4096, id=2))
    send(target, hello, request(4, length=8192, payload=4096, id=2) + bytes(4096))
    send(target, hello, request(4, length=1 << 20, payload=(1 << 20) + 1, id=2) + noise(1000))
    send(target, hello, request(4, length=1 << 20, payload=1 << 20, id=2) + noise(1000))  # half a payload
    send(target, hello, request(3, flags=0xFF, length=512, id=2))
    send(target, hello, *[request(3, length=1 << 20, offset=i << 20, id=2 + i) for i in range(200)])
    send(target, hello, request(7, id=2, length=99, offset=99), request(7, id=2), request(7, id=1), request(7, id=0))
    send(target, request(2), request(2), noise(60))
    damaged = bytearray(hello + request(3, length=4096, id=2) * 3)
    for _ in range(5):
        damaged[rand.randrange(len(damaged))] = rand.randrange(256)
    damaged[60 + 6] = 3  # whatever else it is: no write
    send(target, bytes(damaged[:116]))


def control(target):
    send(target, noise(200000))
    send(target, b"x" * 300000)
    send(target, b"\n" * 5000)
    for line in (b"{", b"[]", b"null", b"7", b'"cmd"', b'{"cmd":7}', b'{"cmd":null}', b'{"cmd":"status","cmd":"status"}',
            b'{"cmd":"mark"}', b'{"cmd":"mark","volume":[]}', b'{"cmd":"mark","volume":"nothing"}',
            b'{"cmd":"digest","mark":"-1"}', b'{"cmd":"digest","mark":18446744073709551616}', b'{"cmd":"sets","stream":{}}',
            b'{"cmd":"sets","stream":"\\u0000"}', b'{"cmd":"\xff\xfe"}', b"[" * 30000, b'{"a":' * 10000, b"\0", b'{"cmd":"status"}\0'):
        send(target, line + b"\n")
    send(target, b'{"cmd":"status"}\n' * 200)
    send(target, json.dumps({"cmd": "mark", "volume": "v" * 60000}).encode() + b"\n")


for _ in range(rounds):
    for port in ports:
        tcp(("127.0.0.1", int(port)))
    for path in glob.glob(state + "/*/host.sock"):
        host(path)
    for path in glob.glob(state + "/*/control.sock"):
        control(path)
