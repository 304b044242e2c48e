/**
 * Runs a step's code in a process of its own, because TensorFlow blocks the event loop of the process it runs in, reads
 * its thread count once when it loads, and may be killed for its memory. The activity only supervises.
 */

import { AsyncResource } from 'node:async_hooks';
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ApplicationFailure } from '@temporalio/common';
import { MissingArtifactError } from '../artifacts/codecs.ts';
import { DamagedObjectError, StoreFullError, StoreUnavailableError } from '../artifacts/store.ts';
import type { Json } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';
import type { ChildFailure, FromChild, StartMessage, ToChild } from './tf-messages.ts';

/** Ctrl-C promises an end within 10 s: the child has most of that for its checkpoint. */
const stopGraceMs = 8_000;
/** Well below the heartbeat timeout, so that a child that computes without a word still counts as alive. */
const aliveEveryMs = 2_000;
const stderrKept = 4_000;

let insideChild = false;

/** Said by the child's entry: from now on steps run here. */
export function enterTfProcess(): void {
  insideChild = true;
}

/** The step as a worker registers it: the same code, run in a child process. */
export function inTfProcess<With, Outputs>(
  kind: string,
  implementation: StepImplementation<With, Outputs>,
): StepImplementation<With, Outputs> {
  return async (context, parameters) =>
    insideChild
      ? implementation(context, parameters)
      : ((await runInChild(kind, context, parameters as Json)) as Outputs);
}

async function runInChild(kind: string, context: StepContext, parameters: Json): Promise<Json> {
  context.signal.throwIfAborted();
  const child = spawnChild(context.environment.threads, context.environment.oneDnn);
  const start: StartMessage = {
    type: 'start',
    kind,
    storeUrl: context.store.url,
    run: context.run,
    path: context.path,
    seed: context.seed,
    fingerprint: context.fingerprint,
    environment: context.environment,
    parameters,
  };
  let latest: { message: string; share?: number } = { message: 'starting TensorFlow' };
  const alive = setInterval(() => context.progress(latest.message, latest.share), aliveEveryMs);
  let graceTimer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    send(child, { type: 'stop' });
    graceTimer = setTimeout(() => child.kill('SIGKILL'), stopGraceMs);
  };
  context.signal.addEventListener('abort', stop, { once: true });
  try {
    return await converse(child, start, {
      // Temporal finds the activity by its asynchronous context, which events from a child need not have.
      progress: AsyncResource.bind((message: string, share?: number) => {
        latest = { message, share };
        context.progress(message, share);
      }),
      resumed: AsyncResource.bind((step: number, exact: boolean) => context.resumed(step, exact)),
      notice: AsyncResource.bind((message: string) => context.notice(message)),
      label: `the TensorFlow process of ${context.path}`,
    });
  } catch (error) {
    // However the child ended: the step was told to stop, and that is the reason.
    context.signal.throwIfAborted();
    throw error;
  } finally {
    context.signal.removeEventListener('abort', stop);
    clearTimeout(graceTimer);
    clearInterval(alive);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}

/** Runs one question without a step around it, for what must be asked of a process with TensorFlow in it. */
export async function askChild(start: StartMessage): Promise<Json> {
  const child = spawnChild(start.environment.threads, start.environment.oneDnn);
  try {
    return await converse(child, start, {
      progress: () => {},
      resumed: () => {},
      notice: async () => {},
      label: `the TensorFlow process for ${start.kind}`,
    });
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}

interface Listener {
  progress(message: string, share?: number): void;
  resumed(step: number, exact: boolean): void;
  notice(message: string): Promise<void>;
  readonly label: string;
}

/** Sends the step and listens until the child has its result, has failed, or has ended. */
function converse(child: ChildProcess, start: StartMessage, listener: Listener): Promise<Json> {
  return new Promise((resolve, reject) => {
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-stderrKept);
    });
    let answer: { outputs: Json } | { failure: ChildFailure } | null = null;
    child.on('message', (raw) => {
      const message = raw as FromChild;
      switch (message.type) {
        case 'progress':
          listener.progress(message.message, message.share);
          break;
        case 'resumed':
          listener.resumed(message.step, message.exact);
          break;
        case 'notice':
          listener.notice(message.message).then(
            () => send(child, { type: 'noticed', id: message.id }),
            (error: unknown) => {
              reject(error);
              child.kill('SIGKILL');
            },
          );
          break;
        case 'done':
          answer = { outputs: message.outputs };
          break;
        case 'failed':
          answer = { failure: message.failure };
          break;
      }
    });
    child.on('error', (cause) => reject(new Error(`Cannot start ${listener.label}: ${cause.message}`, { cause })));
    // 'close' comes after the last message and the last of stderr.
    child.on('close', (code, signal) => {
      if (answer !== null && 'outputs' in answer) resolve(answer.outputs);
      else if (answer !== null) reject(asError(answer.failure));
      else reject(diedError(listener.label, code, signal, stderr));
    });
    send(child, start);
  });
}

function spawnChild(threads: number, oneDnn: boolean): ChildProcess {
  return fork(entryPath(), [], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: {
      ...process.env,
      // Read when TensorFlow loads. Threads within an op change the bits of a result; ops side by side do not, so that is left to
      // TensorFlow, which takes all cores: 1.3 (S at 160 px) to 1.5 times (M at 320) the training speed of one op after another.
      TF_NUM_INTRAOP_THREADS: String(threads),
      TF_ENABLE_ONEDNN_OPTS: oneDnn ? '1' : '0',
      TF_CPP_MIN_LOG_LEVEL: '2',
    },
  });
}

/** The compiled entry, also when this file runs from its source (under the test runner). */
function entryPath(): string {
  const beside = import.meta.url.endsWith('.ts') ? '../dist/activities/tf-main.js' : './tf-main.js';
  return fileURLToPath(new URL(beside, import.meta.url));
}

function send(child: ChildProcess, message: ToChild): void {
  // The channel may close at any time; what the child's end means is told by its 'close' event.
  if (child.connected) child.send(message, () => {});
}

function diedError(label: string, code: number | null, signal: NodeJS.Signals | null, stderr: string): Error {
  const how =
    signal === 'SIGKILL'
      ? 'was killed by SIGKILL, as happens when memory runs out'
      : signal !== null
        ? `was ended by ${signal}`
        : `ended with code ${code} before it had a result`;
  const tail = stderr.trim();
  const said = tail === '' ? '' : `\nIts last words:\n${tail}`;
  return ApplicationFailure.retryable(
    `${label[0]!.toUpperCase()}${label.slice(1)} ${how}. The next attempt goes on from the last checkpoint.${said}`,
    'TensorFlowProcessDied',
  );
}

/** The error that the child threw, as nearly as callers can tell. */
function asError(failure: ChildFailure): Error {
  const { name, message, digest = '', place = '', transient = false } = failure;
  const error = (() => {
    if (name === 'DamagedObjectError') return new DamagedObjectError(digest, place, '');
    if (name === 'MissingArtifactError') return new MissingArtifactError('artifact', digest, place);
    if (name === 'StoreFullError') return new StoreFullError(message);
    if (name === 'StoreUnavailableError') return new StoreUnavailableError(message, transient);
    if (failure.nonRetryable) return ApplicationFailure.nonRetryable(message, failure.type ?? name);
    return ApplicationFailure.retryable(message, failure.type ?? name);
  })();
  error.message = message;
  if (!(error instanceof ApplicationFailure)) error.name = name;
  if (failure.stack !== undefined) error.stack = failure.stack;
  return error;
}
