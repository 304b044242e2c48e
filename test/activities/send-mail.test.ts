import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Mail, sendMail } from '../../activities/send-mail.ts';
import { type MailServer, openMailServer } from '../mail-server.ts';

const password = 'p:w/ör@d';
let server: MailServer;

beforeAll(async () => {
  server = await openMailServer('hardcase@example.org', password);
});
afterAll(() => server.close());

const mail: Mail = {
  to: ['ada@example.org'],
  subject: '3 decisions are open',
  text: 'It waits.\n',
  messageId: '<a1@hardcase>',
};
const send = (url: string, more: NodeJS.ProcessEnv = {}, changes: Partial<Mail> = {}) =>
  sendMail({ ...mail, ...changes }, { HARDCASE_SECRET_SMTP_URL: url, ...more });

test('a reminder arrives, from the user of the server', async () => {
  expect(await send(server.url, {}, { to: ['ada@example.org', 'ben@example.org'] })).toBeNull();
  const { to, source } = server.received.at(-1)!;
  expect(to).toEqual(['ada@example.org', 'ben@example.org']);
  expect(source).toMatch(/^From: hardcase@example\.org\r?$/m);
  expect(source).toMatch(/^Subject: 3 decisions are open\r?$/m);
  expect(source).toMatch(/^Message-ID: <a1@hardcase>\r?$/im);
  expect(source).toMatch(/^Auto-Submitted: auto-generated\r?$/m);
  expect(source).toContain('It waits.');
});

test('the server and the password may stand in the file of secrets, and the sender by itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-mail-'));
  try {
    const file = join(folder, 'secrets');
    writeFileSync(file, `SMTP_URL=${server.url}\n`, { mode: 0o600 });
    const environment = { HARDCASE_SECRETS_FILE: file, HARDCASE_MAIL_FROM: 'Review <review@example.org>' };
    expect(await sendMail(mail, environment)).toBeNull();
    expect(server.received.at(-1)!.source).toMatch(/^From: Review <review@example\.org>\r?$/m);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what cannot be sent is told in words, and never with the password', async () => {
  const wrong = await send(server.url.replace(encodeURIComponent(password), 'hunter2222'));
  expect(wrong).toMatch(/Wrong password "\*\*\*" of/);
  expect(await send(server.url, {}, { to: ['nobody@example.org'] })).toMatch(/No such mailbox/);
  expect(await send('smtp://127.0.0.1:9', { HARDCASE_MAIL_FROM: 'a@b' })).toMatch(/ECONNREFUSED/);
  expect(await send('smtp://127.0.0.1:9')).toBe('HARDCASE_MAIL_FROM does not say who sends it');
  expect(await send('mail.example.org')).toBe(
    'the secret SMTP_URL is no address such as smtps://user:password@mail.example.org',
  );
  expect(await sendMail(mail, {})).toMatch(
    /This worker has no value for the secret SMTP_URL\. Set HARDCASE_SECRET_SMTP_URL/,
  );
});

test('nothing of a login goes over a network in the clear', async () => {
  const heard: string[] = [];
  // A server beyond this machine, as far as its name tells, that offers no encryption.
  const plain = createServer((socket) => {
    socket.write('220 here\r\n');
    socket.on('data', (part) => {
      heard.push(part.toString());
      socket.write(/^EHLO/.test(part.toString()) ? '250-here\r\n250 AUTH PLAIN\r\n' : '502 no\r\n');
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((ready) => plain.listen(0, '127.0.0.1', ready));
  const { port } = plain.address() as { port: number };
  // Every address that ends in these digits is this machine's, and is not among the names that count as such.
  const problem = await send(`smtp://hardcase:secret-of-mine@[::ffff:127.0.0.1]:${port}`, {
    HARDCASE_MAIL_FROM: 'a@b',
  });
  expect(problem).toMatch(/TLS/i);
  expect(heard.join('')).not.toMatch(/AUTH|secret-of-mine/);
  await new Promise((closed) => plain.close(closed));
});
