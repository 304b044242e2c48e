/** The review server over TLS: a real handshake, with a certificate that is made here. */

import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ReviewServer } from '../../review/server.ts';
import { selfSigned } from './certificate.ts';
import { bearer, type GateRig, openGateRig, tokens } from './gate-rig.ts';

const name = 'review.example.test';
const own = selfSigned(name);
let rig: GateRig;
let server: ReviewServer;

beforeAll(async () => {
  rig = await openGateRig({ candidates: 2 });
  server = await rig.serve({ tls: own, publicName: name });
});
afterAll(async () => {
  await rig?.close();
});

interface Asking {
  /** Certificates that are trusted; absent: those of the system. */
  readonly ca?: Buffer;
  readonly servername?: string;
  readonly headers?: Record<string, string>;
}

const ask = ({ ca, servername = name, headers = {} }: Asking) =>
  new Promise<{ status: number; body: string; authorized: boolean; protocol: string | null }>((resolve, reject) => {
    const host = `${servername}:${server.port}`;
    const options = { port: server.port, host: '127.0.0.1', servername, path: '/api/session', ca, agent: false };
    const sent = request({ ...options, headers: { host, ...bearer(tokens.ada), ...headers } }, (response) => {
      const socket = response.socket as import('node:tls').TLSSocket;
      const { authorized } = socket;
      const protocol = socket.getProtocol();
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, authorized, protocol }));
    });
    sent.on('error', reject);
    sent.end();
  });

test('who trusts the certificate gets an answer under the public name, encrypted', async () => {
  expect(server.url).toBe(`https://${name}:${server.port}`);
  const answer = await ask({ ca: own.certificate });
  expect(answer).toMatchObject({ status: 200, authorized: true });
  expect(answer.protocol).toMatch(/^TLSv1\.[23]$/);
  expect(JSON.parse(answer.body)).toMatchObject({ name: 'ada', role: 'reviewer' });
});

test('who does not trust it, or means another server, ends the handshake', async () => {
  await expect(ask({})).rejects.toThrow(/self-signed certificate/);
  await expect(ask({ ca: selfSigned(name).certificate })).rejects.toThrow(/self-signed certificate|signature failure/);
  await expect(ask({ ca: own.certificate, servername: 'other.example.test' })).rejects.toThrow(/altnames/);
});

test('the token is asked for over TLS too, and other names and origins are refused', async () => {
  expect((await ask({ ca: own.certificate, headers: { authorization: 'Bearer no' } })).status).toBe(401);
  expect((await ask({ ca: own.certificate, headers: { host: `evil.test:${server.port}` } })).status).toBe(421);
  const elsewhere = { origin: `http://${name}:${server.port}` };
  expect((await ask({ ca: own.certificate, headers: elsewhere })).status).toBe(403);
  const here = { origin: `https://${name}:${server.port}` };
  expect((await ask({ ca: own.certificate, headers: here })).status).toBe(200);
});

test('what comes in the clear is not answered', async () => {
  const answered = new Promise((resolve, reject) => {
    const sent = plainRequest({ port: server.port, host: '127.0.0.1', path: '/api/session', agent: false }, resolve);
    sent.on('error', reject);
    sent.end();
  });
  await expect(answered).rejects.toThrow(/socket hang up|ECONNRESET/);
});
