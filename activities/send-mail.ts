/**
 * E-mail by SMTP, for reminders. The server and its password are a secret of the worker, `SMTP_URL` (activities/secrets.ts), such
 * as `smtps://user:password@mail.example.org`: no pipeline, history, record or notice has it.
 */

import { withSecrets } from './secrets.ts';

export interface Mail {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  /** Of the same message sent again: mail programs show it once. */
  readonly messageId: string;
}

const timeoutMs = 10_000;

/** Why it was not sent, or null. */
export async function sendMail(mail: Mail, environment: NodeJS.ProcessEnv): Promise<string | null> {
  let given: string;
  try {
    given = String(withSecrets({ $secret: 'SMTP_URL' }, [''], environment));
  } catch (error) {
    return (error as Error).message.replace(/\.$/, '');
  }
  const server = URL.canParse(given) ? new URL(given) : null;
  if (server === null || !['smtp:', 'smtps:'].includes(server.protocol) || server.hostname === '') {
    return 'the secret SMTP_URL is no address such as smtps://user:password@mail.example.org';
  }
  const user = decodeURIComponent(server.username);
  const from = environment.HARDCASE_MAIL_FROM || (user.includes('@') ? user : '');
  if (from === '') return 'HARDCASE_MAIL_FROM does not say who sends it';
  const isSecure = server.protocol === 'smtps:';
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(server.hostname);
  // Only here, because every command that starts a worker would load it.
  const { createTransport } = await import('nodemailer');
  const transport = createTransport({
    host: server.hostname.replace(/^\[|\]$/g, ''),
    port: Number(server.port) || (isSecure ? 465 : 587),
    secure: isSecure,
    // A password goes over no network in the clear.
    requireTLS: !isSecure && !isHere,
    ...(user === '' ? {} : { auth: { user, pass: decodeURIComponent(server.password) } }),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
  });
  try {
    const { rejected } = await transport.sendMail({
      from,
      to: [...mail.to],
      subject: mail.subject,
      text: mail.text,
      messageId: mail.messageId,
      // Nobody is meant to answer a program, and programs are not to answer it.
      headers: { 'Auto-Submitted': 'auto-generated' },
    });
    return rejected.length === 0 ? null : `the server refused ${rejected.map(String).join(', ')}`;
  } catch (error) {
    return withoutSecrets((error as Error).message, [server.password, decodeURIComponent(server.password), given]);
  } finally {
    transport.close();
  }
}

/** A server may repeat what it was sent. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  const kept = secrets.filter((secret) => secret !== '').reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
  return kept.replaceAll(/\s+/g, ' ').slice(0, 300);
}
