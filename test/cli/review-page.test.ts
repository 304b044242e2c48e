/** Who may open the review page, and where it may listen: what flags, environment and files say. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { sha256Hex } from '../../artifacts/digest.ts';
import { readAccess } from '../../cli/review-page.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-access-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const settings = () => ({ folder: join(folder, '.hardcase'), store: join(folder, 'store'), queue: 'hardcase' });
const access = (options: Partial<Parameters<typeof readAccess>[1]> = {}) =>
  readAccess(settings(), { open: false, ...options });
const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const token = 'a-token-of-24-characters';

describe('access', () => {
  test('is one person with a token of its own, a new one for each folder', async () => {
    const [first, second] = [await access({ by: 'ada' }), await access()];
    expect(first.reviewers).toEqual([{ name: 'ada', role: 'lead', tokenSha256: sha256Hex(first.token!) }]);
    expect(first.token).toMatch(/^[\w-]{32}$/);
    expect(second.token).not.toBe(first.token);
  });

  test('takes the token from where the page was before, unless it is damaged', async () => {
    const before = file('review.json', JSON.stringify({ token, port: 5000 }));
    const place = { ...settings(), folder };
    expect(await readAccess(place, { open: false })).toMatchObject({ token, place: { port: 5000 } });
    writeFileSync(before, '{"token":');
    expect((await readAccess(place, { open: false })).token).not.toBe(token);
  });

  test('is the token of the environment, which is then in no link', async () => {
    vi.stubEnv('HARDCASE_REVIEW_TOKEN', token);
    expect(await access({ by: 'ada' })).toMatchObject({
      token: null,
      reviewers: [{ name: 'ada', tokenSha256: sha256Hex(token) }],
    });
    vi.stubEnv('HARDCASE_REVIEW_TOKEN', 'short');
    await expect(access()).rejects.toThrow('HARDCASE_REVIEW_TOKEN has 5 characters; expected at least 24');
  });

  test('is a list of reviewers, and a wrong list is an error with its place', async () => {
    const people = file(
      'people.yaml',
      `- { name: ada, role: lead, token: ${token} }\n- { name: ben, role: viewer, tokenSha256: ${'ab'.repeat(32)} }`,
    );
    expect(await access({ reviewers: people })).toMatchObject({
      token: null,
      reviewers: [{ name: 'ada' }, { name: 'ben', role: 'viewer' }],
    });
    await expect(
      access({ reviewers: file('boss.yaml', `- { name: ada, role: boss, token: ${token} }`) }),
    ).rejects.toThrow(/boss\.yaml: reviewer 1: "role" of ada is one of viewer, reviewer, lead\./);
    await expect(access({ reviewers: file('broken.yaml', '- {') })).rejects.toThrow(/broken\.yaml cannot be read/);
    await expect(access({ reviewers: join(folder, 'none.yaml') })).rejects.toThrow(
      /--reviewers: .*none\.yaml cannot be read/,
    );
  });

  test('beyond this machine wants tokens and TLS, and says which is missing', async () => {
    await expect(access({ host: '0.0.0.0' })).rejects.toThrow(
      '--host 0.0.0.0 can be reached by others, so it also needs --tls-cert FILE and --tls-key FILE, and --reviewers FILE (or HARDCASE_REVIEW_TOKEN).',
    );
    const pem = file('x.pem', 'PEM');
    await expect(access({ host: '10.0.0.1', tlsCert: pem, tlsKey: pem })).rejects.toThrow(
      /so it also needs --reviewers FILE/,
    );
    await expect(access({ tlsCert: pem })).rejects.toThrow('--tls-cert and --tls-key go together.');
    vi.stubEnv('HARDCASE_REVIEW_TOKEN', token);
    expect((await access({ host: '10.0.0.1', tlsCert: pem, tlsKey: pem })).tls?.key.toString()).toBe('PEM');
    await expect(access({ host: '0.0.0.0' })).rejects.toThrow(/needs --tls-cert FILE and --tls-key FILE\./);
  });
});
