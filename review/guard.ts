/** What stands before every request: the server's own name and origin, tokens, limits, and the headers of each answer. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { findReviewer, isLoopback, type Reviewer, refusalOf } from './access.ts';
import type { Role } from './api.ts';
import { PictureError } from './pictures.ts';
import { createRateLimit } from './rate-limit.ts';

/**
 * Nothing but our own files, no inline script or style, no frames. `blob:` is for pictures that the page fetched with
 * its token and shows.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

const securityHeaders = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

/** What the header `Host` may say. Another name that leads here is another site that had its name point to us. */
export function namesOf(host: string, port: number, publicName: string | undefined): ReadonlySet<string> {
  const hosts = isLoopback(host)
    ? ['127.0.0.1', 'localhost', '[::1]', host]
    : [host.includes(':') ? `[${host}]` : host];
  if (publicName !== undefined) hosts.push(publicName);
  return new Set(
    hosts.flatMap((name) => [`${name}:${port}`.toLowerCase(), ...(publicName === name ? [name.toLowerCase()] : [])]),
  );
}

const decorated = Symbol('reviewer');
type KnownRequest = FastifyRequest & { [decorated]?: Reviewer };

export function guard(
  server: FastifyInstance,
  reviewers: readonly Reviewer[],
  scheme: string,
  names: () => ReadonlySet<string>,
): void {
  // A page that is worked on quickly asks some ten times a second.
  const ofReviewers = createRateLimit(600, 100);
  const ofStrangers = createRateLimit(40, 2);
  server.removeContentTypeParser('text/plain');
  server.addHook('onRequest', async (request: KnownRequest, reply) => {
    reply.headers(securityHeaders);
    const { host, origin, authorization } = request.headers;
    if (!names().has(String(host).toLowerCase())) {
      return refuse(reply, 421, `This server is not "${host}". Use the address that "hardcase review" printed.`);
    }
    if (origin !== undefined && !isOwn(origin, scheme, names())) {
      return refuse(reply, 403, `A page of ${origin} may not talk to this server.`);
    }
    const site = request.headers['sec-fetch-site'];
    const isApi = request.url.startsWith('/api/');
    if (isApi && site !== undefined && site !== 'same-origin' && site !== 'none') {
      return refuse(reply, 403, 'A page of another site may not talk to this server.');
    }
    if (!isApi) return;
    reply.header('cache-control', 'no-store');
    const reviewer = findReviewer(reviewers, authorization);
    if (!(reviewer === null ? ofStrangers.allow(request.ip) : ofReviewers.allow(reviewer.name))) {
      return refuse(reply.header('retry-after', '2'), 429, 'Too many requests. Wait a moment.');
    }
    if (reviewer === null) {
      return refuse(
        reply.header('www-authenticate', 'Bearer'),
        401,
        'The token is missing or not known. Open the page with the link that "hardcase review" prints, or send "Authorization: Bearer TOKEN".',
      );
    }
    request[decorated] = reviewer;
  });
  server.setNotFoundHandler((request, reply) =>
    refuse(reply, 404, `There is nothing at ${request.url.slice(0, 200)}.`),
  );
  server.setErrorHandler((error: Error & { statusCode?: number; validation?: unknown }, _, reply) => {
    if (error instanceof HttpError) return refuse(reply, error.status, error.message);
    if (error instanceof PictureError) return refuse(reply, error.status, error.message);
    const status = error.statusCode ?? 500;
    // What went wrong inside is for the one who runs the server, not for whoever asks.
    if (status < 500) return refuse(reply, status, error.message);
    process.stderr.write(`review server: ${error.stack ?? error.message}\n`);
    return refuse(reply, status, 'Internal error: see the output of the command that serves this page.');
  });
}

function isOwn(origin: string, scheme: string, names: ReadonlySet<string>): boolean {
  const [protocol, host] = origin.toLowerCase().split('://');
  return protocol === scheme && host !== undefined && names.has(host);
}

export class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function refuse(reply: FastifyReply, status: number, error: string): FastifyReply {
  return reply.code(status).type('application/json; charset=utf-8').send({ error });
}

export function reviewerOf(request: FastifyRequest, needed: Role): Reviewer {
  const reviewer = (request as KnownRequest)[decorated];
  if (reviewer === undefined) throw new Error('a request without a reviewer passed the guard');
  const refusal = refusalOf(reviewer, needed);
  if (refusal !== null) throw new HttpError(403, refusal);
  return reviewer;
}
