// A WebSocket server: node server.js PORT. It says how each connection ended.
'use strict';
const http = require('http');
const { WebSocketServer } = require('ws');

const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
});

sockets.on('connection', (ws, request) => {
  ws.on('message', (data, binary) => ws.send(data, { binary }));
  ws.on('close', (code, reason) => console.log('closed', code, reason.toString()));
  ws.on('error', () => {}); // its close says it too
  if (request.url === '/close') ws.close(4001, 'done');
  if (request.url === '/ping') {
    ws.on('pong', () => ws.send('ponged'));
    ws.ping('are you there');
  }
});

const server = http.createServer((_, response) => response.end('a page'));
server.on('upgrade', (request, socket, head) => {
  if (request.url === '/refuse') {
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nno entry\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit('connection', ws, request));
});
server.listen(Number(process.argv[2]), '127.0.0.1');
