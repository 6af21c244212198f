// LINE's SDK for JavaScript, as it is and with a placeholder token, through "lineoauth
// proxy". The variable LINEOAUTH names the binary.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createServer} from 'node:http';
import {createInterface} from 'node:readline';
import {buffer} from 'node:stream/consumers';
import {after, before, test} from 'node:test';

import {messagingApi} from '@line/bot-sdk';

const image = Buffer.alloc(1_000_000, '\x89PNG\0');
const kept = {'/v2/bot/message/1/content': image};
const programs = [];
let line, upstream, bot, blob;

// start runs a command until the tests end, and returns what it prints.
async function start(args, env) {
  const program = spawn(process.env.LINEOAUTH ?? 'lineoauth', args, {stdio: ['ignore', 'pipe', 'inherit'], env: {...process.env, ...env}});
  programs.unshift(program);
  const [ready] = await once(createInterface({input: program.stdout}), 'line');
  return JSON.parse(ready);
}

const info = authorization => fetch(`${line.url}/v2/bot/info`, {headers: {authorization}});

// LINE with contents, for those who have a valid token; all else is the emulator's.
async function answer(request, response) {
  const body = await buffer(request);
  const authorization = request.headers.authorization ?? '';
  if (!request.url.endsWith('/content')) {
    const {host, connection, 'content-length': length, ...headers} = request.headers;
    const theirs = await fetch(line.url + request.url, {method: request.method, headers, body: body.length ? body : undefined});
    response.writeHead(theirs.status, {'content-type': theirs.headers.get('content-type') ?? 'text/plain'});
    response.end(Buffer.from(await theirs.arrayBuffer()));
    return;
  }
  const {status} = await info(authorization);
  if (status === 200 && request.method === 'POST') kept[request.url] = body;
  response.writeHead(status, {'content-type': 'image/png'});
  response.end(request.method === 'GET' ? kept[request.url] : '');
}

before(async () => {
  line = await start(['serve']);
  upstream = createServer(answer).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const {url} = await start(['proxy', '--listen', '0'], {
    LINE_OAUTH_BASE_URL: `http://127.0.0.1:${upstream.address().port}`,
    LINE_CHANNEL_ID: line.channel_id,
    LINE_CHANNEL_SECRET: line.channel_secret,
  });
  bot = new messagingApi.MessagingApiClient({baseURL: url, channelAccessToken: 'placeholder'});
  blob = new messagingApi.MessagingApiBlobClient({baseURL: url, channelAccessToken: 'placeholder'});
});

after(async () => {
  for (const program of programs) {
    program.kill('SIGTERM');
    const [code] = await once(program, 'exit');
    assert.equal(code, 0);
  }
  upstream.close();
  upstream.closeAllConnections();
});

const messages = [{type: 'text', text: 'hello'}];

async function everything() {
  assert.equal((await bot.pushMessage({to: 'U4af4980629', messages})).sentMessages.length, 1);
  assert.equal((await bot.replyMessage({replyToken: 'r', messages})).sentMessages.length, 1);
  await blob.setRichMenuImage('richmenu-1', new Blob([image], {type: 'image/png'}));
  assert.deepEqual(await buffer(await blob.getRichMenuImage('richmenu-1')), image);
  assert.deepEqual(await buffer(await blob.getMessageContent('1')), image);
}

test('a placeholder token will do', async () => {
  assert.equal((await info('Bearer placeholder')).status, 401);
  await everything();
});

test('also once the token has expired', async () => {
  const moved = await fetch(`${line.url}/_emulator/clock`, {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({advance: '16m'}),
  });
  assert.equal(moved.status, 200);
  await everything();
});
