"""A client of HTTP/2 on python3-h2: concurrent uploads and downloads on one connection.

Usage: client.py HOST PORT. Every response must be the body of its request.
"""
import hashlib
import socket
import sys

import h2.config
import h2.connection
import h2.events

STREAMS, SIZE = 20, 300_000

sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
conn.initiate_connection()
bodies, sent, got, status, trailers = {}, {}, {}, {}, {}
for n in range(STREAMS):
    stream = conn.get_next_available_stream_id()
    conn.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":path", "/echo"), (":authority", "a.test"), ("x-number", str(n))])
    bodies[stream] = hashlib.sha256(str(n).encode()).digest() * (SIZE // 32)
    sent[stream], got[stream] = 0, b""
ended = set()
while len(ended) < STREAMS:
    for stream, body in bodies.items():
        while sent[stream] < len(body):
            size = min(conn.local_flow_control_window(stream), conn.max_outbound_frame_size, len(body) - sent[stream])
            if size <= 0:
                break
            conn.send_data(stream, body[sent[stream]:sent[stream] + size])
            sent[stream] += size
            if sent[stream] == len(body):
                conn.end_stream(stream)
    sock.sendall(conn.data_to_send())
    data = sock.recv(65536)
    if not data:
        sys.exit("the connection ended")
    for event in conn.receive_data(data):
        if isinstance(event, h2.events.ResponseReceived):
            status[event.stream_id] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.DataReceived):
            got[event.stream_id] += event.data
            conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            ended.add(event.stream_id)
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            sys.exit(f"{event}")
for stream, body in bodies.items():
    if status[stream] != "200" or got[stream] != body:
        sys.exit(f"stream {stream}: {status[stream]}, {len(got[stream])} bytes")
conn.close_connection()
sock.sendall(conn.data_to_send())
print("ok")
