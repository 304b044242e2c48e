/**
 * Gives the embedded server an end when its command is killed: a shell waits for the pipe to the command to close, and
 * some time later lets `end-abandoned.ts` look whether anybody has taken the server over.
 */

import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Looks `lingerS` seconds after the death of this process, SIGKILL included, for a server in the folder that nobody
 * uses, and ends it. The answer takes that back, for a process that has left the server properly.
 */
export function endWithCommand(folder: string, lingerS: number): () => void {
  const script = 'read -r _; sleep "$1"; exec "$2" "$3" "$4"';
  const words = [`${lingerS}`, process.execPath, endAbandonedProgram(), resolve(folder)];
  const watch = spawn('/bin/sh', ['-c', script, 'sh', ...words], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // A Ctrl-C in the terminal, and the end of the session, are not for it.
    detached: true,
    // Neither a folder that somebody wants to unmount nor what secrets the command was given.
    cwd: '/',
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin' },
  });
  // Where there is no shell, a server whose command was killed waits for the next command.
  watch.on('error', () => {});
  watch.unref();
  const pipe = watch.stdin as Socket | null;
  pipe?.on('error', () => {});
  pipe?.unref();
  return () => void watch.kill('SIGKILL');
}

/** Plain JavaScript: the shell starts it without us. */
function endAbandonedProgram(): string {
  const beside = import.meta.url.endsWith('.ts') ? '../dist/deploy/end-abandoned.js' : './end-abandoned.js';
  return fileURLToPath(new URL(beside, import.meta.url));
}
