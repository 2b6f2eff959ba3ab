// A clock that shows which replica responded.
//
//     node server.js
//     NAME=clock-2 PORT=5001 node server.js
'use strict';

const http = require('node:http');

const name = process.env.NAME || 'clock';
const host = process.env.HOST || '127.0.0.1';
const port = Number(process.env.PORT || 5000);

function home() {
  const now = new Date().toTimeString().slice(0, 8);
  return `<!doctype html>
<title>clock</title>
<img src="/images/clock.svg" alt="a clock" width="200" height="200">
<h1>${now}</h1>
<p>served by ${name}</p>
`;
}

function reading() {
  const now = new Date();
  return JSON.stringify({ time: now.toISOString(), unix: Math.floor(now / 1000), replica: name });
}

const pages = new Map([
  ['/', ['text/html; charset=utf-8', home]],
  ['/api/time', ['application/json', reading]],
  ['/healthz', ['text/plain; charset=utf-8', () => 'ok']],
]);

const server = http.createServer((request, response) => {
  const page = pages.get(request.url.split('?')[0]);
  if (!page) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found\n');
    return;
  }
  const [type, body] = page;
  response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body());
});

server.listen(port, host, () => console.log(`${name} serves http://${host}:${port}`));

// Complete the requests in flight, then exit.
process.on('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
});
