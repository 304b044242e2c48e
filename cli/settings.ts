/** Where things are: flags, then environment, then `hardcase.config.yaml`, then defaults. */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { CommandError, didYouMean, exitCodes } from './output.ts';

/** Loaded where there is a configuration file: every command imports this module, and few folders have one. */
const yamlLibrary = () => createRequire(import.meta.url)('yaml') as typeof import('yaml');

/** As the flags of a command give them. */
export interface ConnectionFlags {
  readonly store?: string;
  readonly address?: string;
  readonly namespace?: string;
  readonly queue?: string;
}

export interface Settings {
  /** The working directory's `.hardcase`: engine, default store, reports. */
  readonly folder: string;
  /** A folder (absolute) or `s3://bucket/prefix`. */
  readonly store: string;
  /** First part of the names of the task queues. */
  readonly queue: string;
  /** From flag or file; the environment's are read by `@temporalio/envconfig`. */
  readonly address?: string;
  readonly namespace?: string;
}

export const configFile = 'hardcase.config.yaml';
const configKeys = ['store', 'queue', 'address', 'namespace'] as const;
type Config = { readonly [key in (typeof configKeys)[number]]?: string };

export function loadSettings(
  flags: ConnectionFlags,
  environment: NodeJS.ProcessEnv = process.env,
  directory: string = process.cwd(),
): Settings {
  const config = readConfig(join(directory, configFile));
  const folder = join(directory, '.hardcase');
  const store = flags.store ?? nonEmpty(environment.HARDCASE_STORE) ?? config.store ?? join('.hardcase', 'store');
  // The environment's address stands above the file's, so the file's is kept back where the environment has one.
  const address = flags.address ?? (nonEmpty(environment.TEMPORAL_ADDRESS) ? undefined : config.address);
  const namespace = flags.namespace ?? (nonEmpty(environment.TEMPORAL_NAMESPACE) ? undefined : config.namespace);
  return {
    folder,
    store: /^[a-z0-9+]+:\/\//i.test(store) ? store : resolve(directory, store),
    queue: flags.queue ?? nonEmpty(environment.HARDCASE_QUEUE) ?? config.queue ?? 'hardcase',
    ...(address === undefined ? {} : { address }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

function readConfig(path: string): Config {
  if (!existsSync(path)) return {};
  let value: unknown;
  try {
    value = yamlLibrary().parse(readFileSync(path, 'utf8')) ?? {};
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}`, exitCodes.usage, error);
  }
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new CommandError(
      `${path} should hold settings such as "store: s3://bucket/prefix", and holds none.`,
      exitCodes.usage,
    );
  }
  const config: { [key: string]: string } = {};
  for (const [key, setting] of Object.entries(value as object)) {
    if (!(configKeys as readonly string[]).includes(key)) {
      const near = didYouMean(key, configKeys);
      throw new CommandError(
        `${path}: unknown setting "${key}".${near ? ` Did you mean "${near}"?` : ''} Settings here: ${configKeys.join(', ')}.`,
        exitCodes.usage,
      );
    }
    if (typeof setting !== 'string' || setting === '') {
      throw new CommandError(`${path}: "${key}" should be text, and is ${JSON.stringify(setting)}.`, exitCodes.usage);
    }
    config[key] = setting;
  }
  return config;
}

const nonEmpty = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
