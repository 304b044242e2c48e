/** Values of secrets: from the environment or a file of one's own, and out of everything that leaves an activity. */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redactor, secretNames, withSecrets } from '../../activities/secrets.ts';

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-secrets-'));
  file = join(folder, 'secrets');
  writeFileSync(file, '# of the hub\nHUB=from=file\nOTHER = spaced\n\n', { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inputs = {
  token: { $secret: 'HUB' },
  list: [{ key: { $secret: 'OTHER' } }, 3],
  plain: { $secret: 'HUB', more: 1 },
  header: { $text: ['Basic ', { $secret: 'OTHER' }, ':', { $secret: 'HUB' }] },
};

test('are found at any depth, and nothing else is taken for one', () => {
  expect(secretNames(inputs)).toEqual(['HUB', 'OTHER', 'OTHER', 'HUB']);
});

test('come from the environment first, then from the file', () => {
  const environment = { HARDCASE_SECRET_OTHER: 'from environment', HARDCASE_SECRETS_FILE: file };
  expect(withSecrets(inputs, environment)).toEqual({
    token: 'from=file',
    list: [{ key: 'from environment' }, 3],
    plain: { $secret: 'HUB', more: 1 },
    header: 'Basic from environment:from=file',
  });
  expect(withSecrets({ a: 1 }, {})).toEqual({ a: 1 });
});

test('that are missing are one clear error', () => {
  expect(() => withSecrets(inputs, {})).toThrow(
    'This worker has no value for the secrets HUB, OTHER. Set HARDCASE_SECRET_HUB, or put the line HUB=VALUE in a file that HARDCASE_SECRETS_FILE names, where the worker is started.',
  );
  expect(() => withSecrets({ a: { $secret: 'NONE' } }, { HARDCASE_SECRETS_FILE: file })).toThrow(
    `This worker has no value for the secret NONE. Set HARDCASE_SECRET_NONE, or put the line NONE=VALUE in ${file}`,
  );
  expect(() => withSecrets(inputs, { HARDCASE_SECRETS_FILE: join(folder, 'none') })).toThrow('cannot be read');
});

test('a file that others may read is refused', () => {
  chmodSync(file, 0o640);
  expect(() => withSecrets(inputs, { HARDCASE_SECRETS_FILE: file })).toThrow(
    `The secrets file ${file} may be read by others (mode 640). Make it yours alone: chmod 600 ${file}`,
  );
  chmodSync(file, 0o600);
});

test('are taken out of messages, stacks and causes', () => {
  const hide = redactor(['s3cret', 's3cret-long', 'quoted "text"']);
  expect(hide.text('the s3cret of x')).toBe('the *** of x');
  expect(hide.text('Bearer s3cret-long')).toBe('Bearer ***');
  expect(hide.text(JSON.stringify({ given: 'a quoted "text"' }))).toBe('{"given":"a ***"}');
  const error = new Error('outer s3cret', { cause: new Error('inner s3cret') });
  const hidden = hide.error(error) as Error & { cause: Error };
  expect([hidden.message, hidden.cause.message]).toEqual(['outer ***', 'inner ***']);
  expect(`${hidden.stack}${hidden.cause.stack}`).not.toContain('s3cret');
});
