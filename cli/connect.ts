/** Settings to an open store and a Temporal client: of the given server, or of the embedded engine. */

import type { Client, Connection, TLSConfig } from '@temporalio/client';
import type { Store } from '../artifacts/store.ts';
import type { AttachedEngine } from '../deploy/embedded.ts';
import { CommandError, exitCodes, note, ownCommand } from './output.ts';
import type { Settings } from './settings.ts';

export interface TemporalTarget {
  /** As `@temporalio/envconfig` puts them together; clients and workers take them alike. */
  readonly options: {
    readonly address: string;
    readonly tls?: TLSConfig | boolean | null;
    readonly apiKey?: string;
    readonly metadata?: Record<string, string>;
  };
  readonly namespace: string;
}

export interface TemporalConnection {
  readonly client: Client;
  readonly connection: Connection;
  readonly target: TemporalTarget;
  /** Null where the server is not ours. */
  readonly engine: AttachedEngine | null;
  /** Closes the connection, and leaves the embedded engine. */
  close(): Promise<void>;
}

/** Long enough for a server across the world, short enough for a person who mistyped an address. */
const connectTimeoutMs = 5_000;

export async function openSettingsStore(settings: Settings): Promise<Store> {
  const { openStore } = await import('../artifacts/open-store.ts');
  return await openStore(settings.store);
}

/** For commands about runs that exist: a mistyped folder is not made, and holds no runs. */
export async function openExistingStore(settings: Settings): Promise<Store> {
  const { openStore } = await import('../artifacts/open-store.ts');
  return await openStore(settings.store, { create: false });
}

/** The Temporal server that flags, environment and files name, or null: then the embedded engine is used. */
export async function temporalTarget(settings: Settings): Promise<TemporalTarget | null> {
  const { loadClientConnectConfig } = await import('@temporalio/envconfig');
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) if (value) environment[name] = value;
  if (settings.address !== undefined) environment.TEMPORAL_ADDRESS = settings.address;
  if (settings.namespace !== undefined) environment.TEMPORAL_NAMESPACE = settings.namespace;
  let config: ReturnType<typeof loadClientConnectConfig>;
  try {
    config = loadClientConnectConfig({ overrideEnvVars: environment });
  } catch (error) {
    throw new CommandError(
      `The Temporal settings cannot be read: ${(error as Error).message}. Look at the TEMPORAL_ variables and at the file that TEMPORAL_CONFIG_FILE names.`,
      exitCodes.usage,
      error,
    );
  }
  const { address, tls, apiKey, metadata } = config.connectionOptions;
  if (address === undefined) return null;
  return {
    options: {
      address,
      ...(tls === undefined ? {} : { tls }),
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(metadata === undefined ? {} : { metadata: metadata as Record<string, string> }),
    },
    namespace: config.namespace ?? 'default',
  };
}

/** Connects to the server that the settings name, else attaches to the embedded engine (and starts it). */
export async function connectTemporal(settings: Settings): Promise<TemporalConnection> {
  const target = await temporalTarget(settings);
  if (target !== null) return await connectTo(target, null);
  const { attachEngine, engineLingerS } = await import('../deploy/embedded.ts');
  const engine = await attachEngine(settings.folder, lingerS(process.env) ?? engineLingerS);
  if (engine.setAside !== null) note(setAsideWords(engine.setAside));
  try {
    return await connectTo({ options: { address: engine.address }, namespace: 'default' }, engine);
  } catch (error) {
    await engine.leave();
    throw error;
  }
}

const setAsideWords = (path: string): string =>
  `The database of the embedded engine was damaged. It is set aside as ${path}, and a new one takes its place: open runs go on from their records when they are run again ("${ownCommand('runs')}" names them).`;

/** How long an embedded server outlives its last command when that is killed, in seconds; null: as ever. */
export function lingerS(environment: NodeJS.ProcessEnv): number | null {
  const text = environment.HARDCASE_ENGINE_LINGER ?? '';
  if (text === '') return null;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new CommandError(
    `HARDCASE_ENGINE_LINGER is ${JSON.stringify(text)}. Expected whole seconds, as in HARDCASE_ENGINE_LINGER=120: so long the embedded engine outlives a command that was killed.`,
    exitCodes.usage,
  );
}

async function connectTo(target: TemporalTarget, engine: AttachedEngine | null): Promise<TemporalConnection> {
  const { Client, Connection } = await import('@temporalio/client');
  const { address } = target.options;
  const connection = await Connection.connect({ ...target.options, connectTimeout: connectTimeoutMs }).catch(
    (error: unknown) => {
      throw new CommandError(
        `No Temporal server answers at ${address}. Expected one there, because TEMPORAL_ADDRESS, --address or a configuration file names it. ` +
          'Start it, correct the address, or leave the address out to use the embedded engine.',
        exitCodes.engine,
        error,
      );
    },
  );
  try {
    await connection.withDeadline(Date.now() + connectTimeoutMs, () =>
      connection.workflowService.describeNamespace({ namespace: target.namespace }),
    );
  } catch (error) {
    await connection.close();
    throw new CommandError(
      `The Temporal server at ${address} does not offer the namespace "${target.namespace}": ${messageOf(error)}. ` +
        'Create the namespace there, or name another with TEMPORAL_NAMESPACE or --namespace.',
      exitCodes.engine,
      error,
    );
  }
  return {
    client: new Client({ connection, namespace: target.namespace }),
    connection,
    target,
    engine,
    close: async () => {
      await connection.close();
      await engine?.leave();
    },
  };
}

function messageOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'details' in error && typeof error.details === 'string') {
    return error.details.replace(/\.$/, '');
  }
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}
