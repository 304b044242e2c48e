/** `hardcase review [RUN]`: serves the review page until Ctrl-C. */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import colours from 'picocolors';
import { parse } from 'yaml';
import { sha256Hex } from '../artifacts/digest.ts';
import type { Store } from '../artifacts/store.ts';
import { isLoopback, type Reviewer, readReviewers, tokenLengthMin } from '../review/access.ts';
import type { AnswerSender } from '../review/approvals.ts';
import type { ReviewServer } from '../review/server.ts';
import type { DecisionSender } from '../review/take-decisions.ts';
import { openExistingStore, type TemporalConnection } from './connect.ts';
import { findRun } from './find-run.ts';
import { listenForInterruption } from './interruption.ts';
import { CommandError, type ExitCode, exitCodes, note, print } from './output.ts';
import type { Settings } from './settings.ts';

export interface ReviewPageOptions {
  readonly host?: string;
  readonly port?: number;
  readonly publicName?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** YAML or JSON file of names, roles and tokens. */
  readonly reviewers?: string;
  readonly by?: string;
  /** False with `--no-open`. */
  readonly open: boolean;
  readonly json?: boolean;
}

/** Where the page was last, so that the link in a browser still works after a restart. */
interface Place {
  readonly token: string;
  readonly port: number;
}

const usualPort = 4860;

export async function runReviewPage(
  settings: Settings,
  runName: string | undefined,
  options: ReviewPageOptions,
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const run = runName === undefined ? undefined : (await findRun(store, runName)).header.run;
  const { openDecisionSender } = await import('./decision-sender.ts');
  const access = await readAccess(settings, options);
  const sender = await openDecisionSender(settings, store);
  const interruption = listenForInterruption(
    () => sender.leaveNow(),
    () => 'Closing the review page; what was decided is kept.',
  );
  try {
    const { server, link } = await servePage(settings, store, sender, access, options, run);
    try {
      if (options.json) print(JSON.stringify({ url: server.url, link, run: run ?? null }));
      else {
        print(
          link === null
            ? `Review page: ${colours.bold(server.url)} (with the tokens of ${options.reviewers ?? 'HARDCASE_REVIEW_TOKEN'})`
            : `Review page: ${colours.bold(link)}`,
        );
        print('Ctrl-C closes it; decisions are kept as they are made.');
        if (options.open && process.stdout.isTTY && link !== null) openBrowser(link);
      }
      await new Promise<void>((resolve) => {
        if (interruption.signal.aborted) resolve();
        interruption.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } finally {
      await server.close();
    }
  } finally {
    await sender.close();
    interruption.restore();
  }
  return exitCodes.interrupted;
}

export interface PageAccess {
  readonly reviewers: readonly Reviewer[];
  /** Part of the link, where the token is one that we made; null where people have theirs. */
  readonly token: string | null;
  readonly tls?: { readonly certificate: Buffer; readonly key: Buffer };
  readonly place: Place;
}

/** Tokens and TLS as flags, environment and files give them; every problem before anything is started. */
export async function readAccess(settings: Settings, options: ReviewPageOptions): Promise<PageAccess> {
  const place = readPlace(settings) ?? { token: randomBytes(24).toString('base64url'), port: usualPort };
  const given = process.env.HARDCASE_REVIEW_TOKEN || undefined;
  if (given !== undefined && given.length < tokenLengthMin) {
    throw new CommandError(
      `HARDCASE_REVIEW_TOKEN has ${given.length} characters; expected at least ${tokenLengthMin}, chosen at random.`,
      exitCodes.usage,
    );
  }
  if ((options.tlsCert === undefined) !== (options.tlsKey === undefined)) {
    throw new CommandError('--tls-cert and --tls-key go together.', exitCodes.usage);
  }
  const host = options.host ?? '127.0.0.1';
  if (!isLoopback(host)) {
    const missing = [
      ...(options.tlsCert === undefined ? ['--tls-cert FILE and --tls-key FILE'] : []),
      ...(options.reviewers === undefined && given === undefined
        ? ['--reviewers FILE (or HARDCASE_REVIEW_TOKEN)']
        : []),
    ];
    if (missing.length > 0) {
      throw new CommandError(
        `--host ${host} can be reached by others, so it also needs ${missing.join(', and ')}.`,
        exitCodes.usage,
      );
    }
  }
  const tls =
    options.tlsCert === undefined || options.tlsKey === undefined
      ? undefined
      : {
          certificate: await readInput('--tls-cert', options.tlsCert),
          key: await readInput('--tls-key', options.tlsKey),
        };
  if (options.reviewers !== undefined) {
    const text = (await readInput('--reviewers', options.reviewers)).toString();
    let value: unknown;
    try {
      value = parse(text);
    } catch (error) {
      throw new CommandError(
        `${options.reviewers} cannot be read: ${(error as Error).message}`,
        exitCodes.input,
        error,
      );
    }
    const reviewers = readReviewers(value);
    if (typeof reviewers === 'string') throw new CommandError(`${options.reviewers}: ${reviewers}.`, exitCodes.input);
    return { reviewers, token: null, tls, place };
  }
  const token = given ?? place.token;
  const name = options.by ?? userInfo().username;
  return {
    reviewers: [{ name, role: 'lead', tokenSha256: sha256Hex(token) }],
    token: given === undefined ? token : null,
    tls,
    place,
  };
}

async function readInput(flag: string, file: string): Promise<Buffer> {
  return await readFile(file).catch((error: unknown) => {
    throw new CommandError(`${flag}: ${file} cannot be read: ${(error as Error).message}`, exitCodes.usage, error);
  });
}

/** The page beside a worker of this process, on this machine alone; for `run --review` and `worker --review`. */
export async function servePageBeside(
  settings: Settings,
  store: Store,
  temporal: TemporalConnection,
  run?: string,
): Promise<{ readonly link: string; close(): Promise<void> }> {
  const { openDecisionSender } = await import('./decision-sender.ts');
  const options = { open: false };
  const access = await readAccess(settings, options);
  const sender = await openDecisionSender(settings, store, temporal);
  const { server, link } = await servePage(settings, store, sender, access, options, run);
  return {
    link: link ?? `${server.url} (with the token of HARDCASE_REVIEW_TOKEN)`,
    close: async () => {
      await server.close();
      await sender.close();
    },
  };
}

/** Starts the server where it was before, or on a free port, and remembers where. */
export async function servePage(
  settings: Settings,
  store: Store,
  sender: DecisionSender & AnswerSender,
  { reviewers, token, tls, place }: PageAccess,
  options: ReviewPageOptions,
  run: string | undefined,
): Promise<{ readonly server: ReviewServer; readonly link: string | null }> {
  const { startReviewServer } = await import('../review/server.ts');
  const start = (port: number) =>
    startReviewServer({
      store,
      sender,
      reviewers,
      // dist/review-page, beside dist/cli.
      pageFolder: fileURLToPath(new URL('../review-page', import.meta.url)),
      host: options.host,
      port,
      publicName: options.publicName,
      tls,
      run,
    });
  const server = await start(options.port ?? place.port).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw portTrouble(error, options);
    if (options.port !== undefined) {
      throw new CommandError(
        `--port ${options.port} is taken by another program. Leave --port out to get a free one.`,
        exitCodes.usage,
        error,
      );
    }
    return start(0);
  });
  if (token !== null) writePlace(settings, { token, port: server.port });
  return { server, link: token === null ? null : `${server.url}/#token=${token}` };
}

function portTrouble(error: NodeJS.ErrnoException, { host, port }: ReviewPageOptions): Error {
  if (!['EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND'].includes(error.code ?? '')) return error;
  return new CommandError(
    `The review page cannot listen on ${host ?? '127.0.0.1'}${port === undefined ? '' : ` port ${port}`}: ${error.message}.`,
    exitCodes.usage,
    error,
  );
}

function placeFile(settings: Settings): string {
  return join(settings.folder, 'review.json');
}

function readPlace(settings: Settings): Place | null {
  const file = placeFile(settings);
  if (!existsSync(file)) return null;
  try {
    const { token, port } = JSON.parse(readFileSync(file, 'utf8')) as { readonly [name: string]: unknown };
    if (typeof token === 'string' && token.length >= tokenLengthMin && Number.isInteger(port)) {
      return { token, port: port as number };
    }
  } catch {
    // Damaged: a new token takes its place, and links of before ask for the new one.
  }
  return null;
}

function writePlace(settings: Settings, place: Place): void {
  mkdirSync(settings.folder, { recursive: true });
  // The token is a password: for this user alone.
  writeFileSync(placeFile(settings), `${JSON.stringify(place)}\n`, { mode: 0o600 });
}

function openBrowser(link: string): void {
  const [program, ...words] =
    process.platform === 'darwin'
      ? ['open', link]
      : process.platform === 'win32'
        ? ['cmd', '/c', 'start', '', link]
        : ['xdg-open', link];
  if (process.platform === 'linux' && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) return;
  const child = spawn(program!, words, { stdio: 'ignore', detached: true });
  child.on('error', () => note(`Open the link in a browser; ${program} could not.`));
  child.unref();
}
