"""Writes pcap files of made-up traffic, and pcap files around flow packets; and reads pcap files."""
import random
import socket
import struct


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(source, destination, protocol, payload, identification=1):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification & 0xFFFF, 0x4000, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(source, destination, protocol, payload):
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination) + payload


def tcp(source_port, destination_port, flags, payload=b""):
    return struct.pack(">HHIIBBHHH", source_port, destination_port, 1, 1, 0x50, flags, 8192, 0, 0) + payload


def udp(source_port, destination_port, payload=b""):
    return struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def ethernet(packet):
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack(">H", kind) + packet


def write_pcap(path, packets):
    """packets: (time in seconds, Ethernet frame), in order of time."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for time, frame in packets:
            f.write(struct.pack("<IIII", int(time), int(time % 1 * 1e6), len(frame), len(frame)) + frame)


def traffic(start, flows=400, seconds=40, with_ipv6=True, seed=1):
    """Conversations of TCP, UDP and ICMP, both ways: a list for write_pcap. The numbers are whatever the seed gives."""
    rng = random.Random(seed)
    packets = []
    for i in range(flows):
        begin = start + rng.uniform(0, seconds * 0.8)
        six = with_ipv6 and i % 5 == 0
        a, b = (f"2001:db8::{i + 1:x}", "2001:db8:ffff::7") if six else (f"10.{i >> 8}.{i & 255}.9", f"192.0.2.{i % 200 + 1}")
        wrap = ipv6 if six else ipv4
        kind = i % 7
        port, service = 20000 + i, rng.choice([22, 53, 80, 443, 5060])
        for n in range(rng.randint(1, 9)):
            at = begin + n * rng.uniform(0.001, 0.4)
            size = rng.randint(0, 1200)
            forward = n % 2 == 0
            source, destination = (a, b) if forward else (b, a)
            ports = (port, service) if forward else (service, port)
            if kind < 4:
                packet = wrap(source, destination, 6, tcp(*ports, 2 if n == 0 else 0x18, b"x" * size))
            elif kind < 6:
                packet = wrap(source, destination, 17, udp(*ports, b"y" * size))
            elif six:
                packet = wrap(source, destination, 58, struct.pack(">BBHHH", 128 + (not forward), 0, 0, i, n) + b"z" * 40)
            else:
                packet = wrap(source, destination, 1, struct.pack(">BBHHH", 8 if forward else 0, 0, 0, i, n) + b"z" * 40)
            packets.append((at, ethernet(packet)))
    return sorted(packets)


def wrap_datagrams(path, datagrams, port=2055, time=1_795_176_000):
    """A capture of UDP datagrams, one each hundredth of a second. datagrams: (sender's address, sender's port, bytes)."""
    write_pcap(path, [(time + i / 100, ethernet(ipv4(source, "198.51.100.2", 17, udp(source_port, port, d), i)))
                      for i, (source, source_port, d) in enumerate(datagrams)])
