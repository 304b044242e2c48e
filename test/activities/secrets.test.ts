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

const places = ['/token', '/list/0/key', '/header'];

test('are found where the plan says that they stand, and nothing that looks like one elsewhere', () => {
  expect(secretNames(inputs, places)).toEqual(['HUB', 'OTHER', 'OTHER', 'HUB']);
  expect(secretNames(inputs, ['/token', '/plain', '/none', '/list/1'])).toEqual(['HUB']);
});

test('data that looks like one goes through as it is', () => {
  const data = { token: { $secret: 'HUB' }, 'a/b': { $secret: 'OTHER' }, text: { $text: ['x', { $secret: 'HUB' }] } };
  const environment = { HARDCASE_SECRET_OTHER: 'value' };
  expect(withSecrets(data, ['/a~1b'], environment)).toEqual({ ...data, 'a/b': 'value' });
  expect(withSecrets(data, [], {})).toEqual(data);
});

test('come from the environment first, then from the file', () => {
  const environment = { HARDCASE_SECRET_OTHER: 'from environment', HARDCASE_SECRETS_FILE: file };
  expect(withSecrets(inputs, places, environment)).toEqual({
    token: 'from=file',
    list: [{ key: 'from environment' }, 3],
    plain: { $secret: 'HUB', more: 1 },
    header: 'Basic from environment:from=file',
  });
  expect(withSecrets({ a: 1 }, [], {})).toEqual({ a: 1 });
});

test('that are missing are one clear error', () => {
  expect(() => withSecrets(inputs, places, {})).toThrow(
    'This worker has no value for the secrets HUB, OTHER. Set HARDCASE_SECRET_HUB, or put the line HUB=VALUE in a file that HARDCASE_SECRETS_FILE names, where the worker is started.',
  );
  expect(() => withSecrets({ a: { $secret: 'NONE' } }, ['/a'], { HARDCASE_SECRETS_FILE: file })).toThrow(
    `This worker has no value for the secret NONE. Set HARDCASE_SECRET_NONE, or put the line NONE=VALUE in ${file}`,
  );
  expect(() => withSecrets(inputs, places, { HARDCASE_SECRETS_FILE: join(folder, 'none') })).toThrow('cannot be read');
});

test('a file that others may read is refused', () => {
  chmodSync(file, 0o640);
  expect(() => withSecrets(inputs, places, { HARDCASE_SECRETS_FILE: file })).toThrow(
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
