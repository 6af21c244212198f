// LINE's SDK for JavaScript, as it is, against "lineoauth serve". The variable
// LINEOAUTH names the binary.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {after, before, test} from 'node:test';

import {channelAccessToken, messagingApi} from '@line/bot-sdk';
import {SignJWT, importPKCS8} from 'jose';

const grant = 'client_credentials';
const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const unknownJWS = 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln';

let server, line, api, key;

before(async () => {
  server = spawn(process.env.LINEOAUTH ?? 'lineoauth', ['serve'], {stdio: ['ignore', 'pipe', 'inherit']});
  const [ready] = await once(createInterface({input: server.stdout}), 'line');
  line = JSON.parse(ready);
  api = new channelAccessToken.ChannelAccessTokenClient({baseURL: line.url});
  key = await importPKCS8(await readFile(line.private_key_file, 'utf8'), 'RS256');
});

after(async () => {
  server.kill('SIGTERM');
  const [code] = await once(server, 'exit');
  assert.equal(code, 0);
});

async function emulator(method, path, body) {
  const response = await fetch(`${line.url}/_emulator/${path}`, {
    method, headers: {'Content-Type': 'application/json'}, body: body && JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return response.json();
}

async function assertion({kid = line.key_id, iss = line.channel_id, exp = 600} = {}) {
  const {now} = await emulator('GET', 'state');
  return new SignJWT({token_exp: 3600})
    .setProtectedHeader({alg: 'RS256', typ: 'JWT', kid})
    .setIssuer(iss).setSubject(iss).setAudience('https://api.line.me/')
    .setExpirationTime(Math.floor(Date.parse(now) / 1000) + exp)
    .sign(key);
}

// refuses expects a status and the fields of LINE's body.
async function refuses(call, status, body) {
  await assert.rejects(call, error => {
    assert.equal(error.status, status);
    const got = JSON.parse(error.body);
    for (const [name, value] of Object.entries(body)) assert.equal(got[name], value);
    return true;
  });
}

const push = token => new messagingApi.MessagingApiClient({baseURL: line.url, channelAccessToken: token})
  .pushMessage({to: 'U4af4980629', messages: [{type: 'text', text: 'hello'}]});

const v21 = async () => (await api.issueChannelTokenByJWT(grant, assertionType, await assertion()));

test('all operations', async () => {
  const stateless = [
    await api.issueStatelessChannelTokenByJWTAssertion(await assertion()),
    await api.issueStatelessChannelTokenByClientSecret(line.channel_id, line.channel_secret),
  ];
  for (const token of stateless) assert.equal(token.expires_in, 900);
  const token = await v21();
  assert.equal(token.expires_in, 3600);
  assert.equal(token.token_type, 'Bearer');
  const short = await api.issueChannelToken(grant, line.channel_id, line.channel_secret);
  assert.equal(short.expires_in, 2592000);

  for (const {access_token} of [token, ...stateless]) {
    assert.equal((await api.verifyChannelTokenByJWT(access_token)).client_id, line.channel_id);
  }
  assert.equal((await api.verifyChannelToken(short.access_token)).client_id, line.channel_id);
  assert.deepEqual((await api.getsAllValidChannelAccessTokenKeyIds(assertionType, await assertion())).kids, [token.key_id]);

  for (const {access_token} of [token, short, ...stateless]) {
    assert.equal((await push(access_token)).sentMessages.length, 1);
  }
  for (let i = 0; i < 2; i++) {
    await api.revokeChannelTokenByJWT(line.channel_id, line.channel_secret, token.access_token);
    await api.revokeChannelToken(short.access_token);
  }
  assert.deepEqual((await api.getsAllValidChannelAccessTokenKeyIds(assertionType, await assertion())).kids, []);
  for (const {access_token} of [token, short]) {
    await refuses(push(access_token), 401,
      {message: 'Authentication failed. Confirm that the access token in the authorization header is valid.'});
  }
});

test('all refusals', async () => {
  const missing = {error: 'invalid_request', error_description: 'some parameters missed or invalid'};
  const noKey = {message: 'Cannot find channel key that satisfies the conditions'};
  const each = async (options, status, body) => {
    await refuses(api.issueChannelTokenByJWT(grant, assertionType, await assertion(options)), status, body);
    await refuses(api.issueStatelessChannelTokenByJWTAssertion(await assertion(options)), status, body);
    await refuses(api.getsAllValidChannelAccessTokenKeyIds(assertionType, await assertion(options)), status, body);
  };
  await each({iss: '1'}, 400, {error: 'invalid_client', error_description: 'iss and clientId of key do not match'});
  await each({exp: -60}, 400, {error: 'invalid_client', error_description: 'Invalid exp'});
  await each({exp: 1860}, 400, {error: 'invalid_client', error_description: 'Invalid exp'});
  await each({kid: 'x'}, 404, noKey);
  await refuses(api.issueChannelTokenByJWT(grant, assertionType, 'x.y.z'), 400, {error: 'invalid_client'});
  await refuses(api.issueStatelessChannelTokenByClientSecret(line.channel_id, 'x'), 400,
    {error: 'invalid_request', error_description: "Invalid 'client_credentials'."});
  await refuses(api.issueChannelToken(grant, '1', 'x'), 400, {error: 'invalid_client', error_description: 'invalid client_id'});
  await refuses(api.issueChannelToken(grant, line.channel_id, 'x'), 400,
    {error: 'invalid_client', error_description: 'invalid client_secret'});
  await refuses(api.issueChannelToken(grant, '', ''), 400, missing);
  await refuses(api.verifyChannelTokenByJWT(''), 400, missing);

  const expiring = (await v21()).access_token;
  const revoked = (await v21()).access_token;
  await api.revokeChannelTokenByJWT(line.channel_id, line.channel_secret, revoked);
  await refuses(api.verifyChannelTokenByJWT(revoked), 400, {error: 'invalid_request'});
  await emulator('POST', 'clock', {advance: '1h'});
  await refuses(api.verifyChannelTokenByJWT(expiring), 400,
    {error: 'invalid_request', error_description: 'The access token expired'});
  await api.revokeChannelTokenByJWT(line.channel_id, line.channel_secret, expiring);
  await refuses(api.verifyChannelTokenByJWT('AAAA'), 400,
    {error: 'invalid_request', error_description: 'The access token not JWS'});
  await refuses(api.revokeChannelTokenByJWT(line.channel_id, line.channel_secret, 'A'.repeat(171) + '='), 400,
    {error: 'invalid_request', error_description: 'The access token not JWS'});
  await refuses(api.revokeChannelTokenByJWT(line.channel_id, line.channel_secret, 'a.b.c'), 400,
    {error: 'invalid_request', error_description: 'The access token malformed'});
  await refuses(api.revokeChannelTokenByJWT(line.channel_id, 'x', unknownJWS), 400,
    {error: 'invalid_client', error_description: 'invalid client_secret'});
  await api.revokeChannelTokenByJWT(line.channel_id, line.channel_secret, unknownJWS);
  await refuses(api.verifyChannelToken('AAAA'), 400,
    {error: 'invalid_request', error_description: 'access_token invalid'});
  await refuses(api.verifyChannelToken(unknownJWS), 400,
    {error: 'invalid_request', error_description: 'access_token in invalid format'});
  await api.revokeChannelToken('AAAA');
  await refuses(api.revokeChannelToken('a b'), 400, {error: 'invalid_request'});

  for (let i = 0; i < 30; i++) await v21();
  await refuses(v21(), 400, {message: 'The maximum number of access tokens has already been issued'});
});

test('faults on demand', async () => {
  await emulator('POST', 'faults', {fault: 'rate-limited', operation: 'issueChannelToken', retry_after: '7'});
  await assert.rejects(api.issueChannelToken(grant, line.channel_id, line.channel_secret), error => {
    assert.equal(error.status, 429);
    assert.equal(error.headers.get('retry-after'), '7');
    return true;
  });
  await emulator('POST', 'faults', {fault: 'reset-after', operation: 'issueChannelToken'});
  const before = (await emulator('GET', 'state')).tokens.length;
  await assert.rejects(api.issueChannelToken(grant, line.channel_id, line.channel_secret), TypeError);
  assert.equal((await emulator('GET', 'state')).tokens.length, before + 1);
});
