/** Who may do what: reviewers by their tokens, and where the server may listen. */

import { timingSafeEqual } from 'node:crypto';
import { sha256Hex } from '../artifacts/digest.ts';
import type { Role } from './api.ts';

export const roles: readonly Role[] = ['viewer', 'reviewer', 'lead'];

export interface Reviewer {
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the token, hex: a leaked file of reviewers lets nobody in. */
  readonly tokenSha256: string;
}

/** Shorter ones can be guessed. */
export const tokenLengthMin = 24;

/** The reviewer whose token stands in the header `Authorization: Bearer TOKEN`, or null. */
export function findReviewer(reviewers: readonly Reviewer[], authorization: string | undefined): Reviewer | null {
  const token = /^Bearer ([\x21-\x7e]{1,200})$/.exec(authorization ?? '')?.[1];
  if (token === undefined) return null;
  const digest = Buffer.from(sha256Hex(token), 'hex');
  // Digests of one length, each compared to its end: the time taken tells nothing about a token.
  let found: Reviewer | null = null;
  for (const reviewer of reviewers) {
    if (timingSafeEqual(digest, Buffer.from(reviewer.tokenSha256, 'hex'))) found = reviewer;
  }
  return found;
}

const atLeast = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed);

/** Why the reviewer may not do what needs this role, or null. */
export function refusalOf({ name, role }: Reviewer, needed: Role): string | null {
  if (atLeast(role, needed)) return null;
  return `${name} is a ${role} here; this needs a ${needed}.`;
}

export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host);

/** The first problem of a parsed file of reviewers, or the reviewers. */
export function readReviewers(value: unknown): readonly Reviewer[] | string {
  if (!Array.isArray(value) || value.length === 0) {
    return 'expected a list of reviewers, each with "name", "role" and "token" (or "tokenSha256")';
  }
  const reviewers: Reviewer[] = [];
  for (const [index, item] of value.entries()) {
    const problem = (what: string) => `reviewer ${index + 1}: ${what}`;
    if (typeof item !== 'object' || item === null) return problem('expected "name", "role" and "token"');
    const { name, role, token, tokenSha256 } = item as { readonly [key: string]: unknown };
    if (typeof name !== 'string' || name.trim() === '') return problem('"name" is missing');
    if (!roles.includes(role as Role)) return problem(`"role" of ${name} is one of ${roles.join(', ')}`);
    if ((token === undefined) === (tokenSha256 === undefined)) {
      return problem(`${name} needs either "token" or "tokenSha256"`);
    }
    if (token !== undefined && (typeof token !== 'string' || token.length < tokenLengthMin)) {
      return problem(`"token" of ${name} needs at least ${tokenLengthMin} characters`);
    }
    if (tokenSha256 !== undefined && !/^[0-9a-f]{64}$/.test(String(tokenSha256))) {
      return problem(`"tokenSha256" of ${name} is no digest (64 hex digits)`);
    }
    const digest = typeof token === 'string' ? sha256Hex(token) : String(tokenSha256);
    const twin = reviewers.find((other) => other.name === name || other.tokenSha256 === digest);
    if (twin !== undefined) return problem(`${name} has the name or the token of ${twin.name}`);
    reviewers.push({ name, role: role as Role, tokenSha256: digest });
  }
  return reviewers;
}
