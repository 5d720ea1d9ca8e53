// SPDX-License-Identifier: GPL-2.0-or-later
// A server on a unix socket, a child process as its client, and a worker thread: service.js REQUESTS
'use strict';
const { fork } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const { Worker, isMainThread, parentPort } = require('node:worker_threads');

function digest(rounds) {
	let text = 'start';
	for (let i = 0; i < rounds; i++)
		text = createHash('sha256').update(text).digest('hex');
	return text;
}

function client(count) {
	const socket = net.connect('service.sock');
	let sent = 0;
	let buffer = '';
	const send = () => socket.write(`${++sent}\n`);
	socket.on('connect', send);
	socket.on('data', (data) => {
		buffer += data;
		for (let end; (end = buffer.indexOf('\n')) >= 0; buffer = buffer.slice(end + 1)) {
			if (Number(buffer.slice(0, end)) !== sent * 2)
				process.exit(3);
			if (sent === count)
				process.exit(0);
			setTimeout(send, 20);
		}
	});
}

function server(count) {
	const worker = new Worker(__filename);
	let fromWorker;
	let requests = 0;
	worker.on('message', (text) => { fromWorker = text; });
	const listener = net.createServer((socket) => {
		socket.on('data', (data) => {
			for (const line of data.toString().trim().split('\n')) {
				requests++;
				fs.appendFileSync('progress', `${requests}\n`);
				socket.write(`${Number(line) * 2}\n`);
			}
		});
	});
	listener.listen('service.sock', () => {
		fork(__filename, [String(count), 'client'], { stdio: 'inherit' }).on('exit', (status) => {
			const finish = () => {
				if (fromWorker === undefined)
					return setTimeout(finish, 10);
				fs.writeFileSync('result', JSON.stringify({ requests, status, worker: fromWorker, here: digest(200000) }));
				process.exit(status);
			};
			finish();
		});
	});
}

if (!isMainThread)
	parentPort.postMessage(digest(200000));
else if (process.argv[3] === 'client')
	client(Number(process.argv[2]));
else
	server(Number(process.argv[2]));
