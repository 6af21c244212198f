// A bot's tests with LINE's SDK, as it is.
import assert from 'node:assert/strict';
import {after, before, beforeEach, test} from 'node:test';

import {channelAccessToken, HTTPFetchError, messagingApi} from '@line/bot-sdk';

import {Emulator} from './emulator.js';

const user = 'U' + '0'.repeat(32);
let line: Emulator;

before(async () => { line = await Emulator.start(); });
after(() => line?.stop());
beforeEach(() => line.reset());

// What is tested: in production, the SDK's own base URL takes the place of line.url.
async function issue(): Promise<string> {
  const client = new channelAccessToken.ChannelAccessTokenClient({baseURL: line.url});
  const answer = await client.issueStatelessChannelTokenByClientSecret(line.channelId, line.channelSecret);
  return answer.access_token;
}

async function push(token: string, text: string): Promise<void> {
  const client = new messagingApi.MessagingApiClient({baseURL: line.url, channelAccessToken: token});
  await client.pushMessage({to: user, messages: [{type: 'text', text}]});
}

const refused = (status: number) => (error: unknown) => {
  assert.ok(error instanceof HTTPFetchError);
  assert.equal(error.status, status);
  return true;
};

test('pushes', async () => {
  await push(await issue(), 'hello');
  const {messages} = await line.state();
  assert.equal(messages?.length, 1);
  assert.match(JSON.stringify(messages), /hello/);
});

test('a token expires', async () => {
  const token = await issue();
  await line.advance('15m1s');
  await assert.rejects(push(token, 'too late'), refused(401));
  await push(await issue(), 'with another token');
});

test('LINE is busy', async () => {
  await line.inject({fault: 'rate-limited', retry_after: '7'});
  await assert.rejects(issue(), refused(429));
  await issue();
});

test('restores the initial state', async () => {
  await push(await issue(), 'forgotten');
  await line.reset();
  const {calls, messages} = await line.state();
  assert.ok(!messages?.length);
  assert.ok(Object.values(calls).every(n => n === 0));
});
