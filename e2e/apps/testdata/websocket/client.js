// What a page does with WebSockets. Both functions are handed the address, without a path.

// converse does everything that a page can do, once, and returns what went wrong.
async function converse(base) {
  const event = (ws, kind) => new Promise((done) => ws.addEventListener(kind, done, { once: true }));
  const open = async (path, protocols) => {
    const ws = new WebSocket(base + path, protocols);
    ws.binaryType = 'arraybuffer';
    await event(ws, 'open');
    return ws;
  };
  const wrong = [];
  const expect = (what, got, want) => {
    if (got !== want) wrong.push(`${what}: ${String(got).slice(0, 80)}, want ${String(want).slice(0, 80)}`);
  };
  const echo = async (ws, message) => {
    const reply = event(ws, 'message');
    ws.send(message);
    return (await reply).data;
  };

  const ws = await open('/', ['other', 'chat']);
  expect('subprotocol', ws.protocol, 'chat');
  for (const text of ['héllo', '', 'x'.repeat(1 << 20)]) expect('text', await echo(ws, text), text);
  const noise = new Uint8Array(1 << 20).map((_, i) => (i * 7919) >> 5);
  expect('binary', String(new Uint8Array(await echo(ws, noise))), String(noise));
  let closed = event(ws, 'close');
  ws.close(4002, 'bye');
  expect('own close', (await closed).code, 4002);

  const pinged = new WebSocket(base + '/ping');
  expect('ping', (await event(pinged, 'message')).data, 'ponged');
  pinged.close();

  closed = await event(new WebSocket(base + '/close'), 'close');
  expect('close', `${closed.code} ${closed.reason} ${closed.wasClean}`, '4001 done true');

  closed = await event(new WebSocket(base + '/refuse'), 'close');
  expect('refused', closed.code, 1006);
  return wrong.join('; ');
}

// follow sends until the connection ends; echoes and ended say how far it came.
function follow(base) {
  window.echoes = window.ended = 0;
  const ws = new WebSocket(base + '/');
  ws.onopen = () => ws.send('1');
  ws.onclose = (event) => { window.ended = event.code; };
  ws.onmessage = (event) => {
    window.echoes = Number(event.data);
    setTimeout(() => ws.send(String(window.echoes + 1)), 50);
  };
}
