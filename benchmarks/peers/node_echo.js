// Node's net, tls and dgram: echo, or lines. node node_echo.js [--port N] [--framing raw|lines] [--cert FILE --key FILE] [--udp]
'use strict';
const fs = require('fs');
const net = require('net');
const tls = require('tls');
const dgram = require('dgram');

const option = (name) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1] || '';
};
const port = Number(option('port') || 0);
const announce = (address) => console.log(`ready 127.0.0.1:${address.port}`);

function echo(socket) {
  socket.setNoDelay(true);
  socket.on('data', (data) => {
    if (!socket.write(data)) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
  socket.on('error', () => socket.destroy());
}

// Lines are found in the buffer, handled one by one, and what a chunk brought leaves as one write.
function lines(socket) {
  let tail = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('data', (data) => {
    if (tail.length) data = Buffer.concat([tail, data]);
    const replies = [];
    let at = 0;
    for (let end; (end = data.indexOf(10, at)) >= 0; at = end + 1) replies.push(data.subarray(at, end + 1));
    tail = data.subarray(at);
    if (tail.length > 65536) socket.destroy();
    else if (replies.length && !socket.write(Buffer.concat(replies))) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
  socket.on('error', () => socket.destroy());
}

if (process.argv.includes('--udp')) {
  const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  socket.on('message', (data, peer) => socket.send(data, peer.port, peer.address));
  socket.bind(port, '127.0.0.1', () => announce(socket.address()));
} else {
  const handler = option('framing') === 'lines' ? lines : echo;
  const server = option('cert')
    ? tls.createServer({ cert: fs.readFileSync(option('cert')), key: fs.readFileSync(option('key')) }, handler)
    : net.createServer({ noDelay: true }, handler);
  server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => announce(server.address()));
}
