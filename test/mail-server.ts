/** A mail server on this machine for tests: keeps what it is sent, and wants the password that it was made with. */

import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

export interface ReceivedMail {
  readonly to: readonly string[];
  /** Headers and text as they came. */
  readonly source: string;
}

export interface MailServer {
  readonly received: readonly ReceivedMail[];
  /** `smtp://user:password@127.0.0.1:port` */
  readonly url: string;
  close(): Promise<void>;
}

export async function openMailServer(user: string, password: string): Promise<MailServer> {
  const received: ReceivedMail[] = [];
  const server = new SMTPServer({
    // On loopback nothing is encrypted.
    disabledCommands: ['STARTTLS'],
    authMethods: ['PLAIN', 'LOGIN'],
    onAuth: ({ username, password: given }, _session, callback) => {
      if (username === user && given === password) callback(null, { user });
      else callback(new Error(`Wrong password "${given}" of ${username}`));
    },
    onRcptTo: ({ address }, _session, callback) => {
      callback(address.startsWith('nobody@') ? new Error('No such mailbox') : null);
    },
    onData: (stream, session, callback) => {
      let source = '';
      stream.on('data', (part: Buffer) => {
        source += part.toString();
      });
      stream.on('end', () => {
        received.push({ to: session.envelope.rcptTo.map(({ address }) => address), source });
        callback();
      });
    },
  });
  // Clients that are turned away are part of the tests.
  server.on('error', () => {});
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.server.address() as AddressInfo;
  const url = `smtp://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${port}`;
  return { received, url, close: () => new Promise((closed) => server.close(closed)) };
}
