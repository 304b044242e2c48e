/** Errors of the set-up: what went wrong, and what to do about it. */

/** One problem for the user: the message says what is wrong, the remedy what to do. */
export class SetupError extends Error {
  constructor(message, remedy, logFile) {
    super(message);
    this.remedy = remedy;
    this.logFile = logFile;
  }
}

const again = 'then run the same command again: it goes on where it stopped';

// In this order, because a full disk or a broken download often shows a network error after it.
const causes = [
  {
    pattern: /ENOSPC|No space left on device/i,
    message: 'the disk is full',
    remedy: `Free some space (a first set-up needs about 7 GB while it works), ${again}. HARDCASE_CACHE moves the cache to another disk.`,
  },
  {
    pattern: /EINTEGRITY|DO NOT MATCH THE HASHES|checksum mismatch|SECURITY ERROR/,
    message: 'a download does not have the digest written down for it',
    remedy: `Something between here and the registry changed the file, or a download was cut short: try another network or mirror, ${again}.`,
  },
  {
    pattern:
      /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|dial tcp|no such host|TLS handshake timeout|i\/o timeout|Failed to establish a new connection|NewConnectionError|Name or service not known|Temporary failure in name resolution|Connection broken|ProxyError|fetch failed/i,
    message: 'the network or the registry did not answer',
    remedy: `Check the connection, the proxy and the registries in use (npm config get registry, pip config list, go env GOPROXY), ${again}.`,
  },
  {
    pattern: /EACCES|EPERM|Permission denied/i,
    message: 'a file may not be written',
    remedy: `Make the checkout and the cache folder writable for this user, or name another cache folder in HARDCASE_CACHE, ${again}.`,
  },
  {
    pattern: /No matching distribution found|Could not find a version that satisfies/,
    message: 'the Python package registry does not offer the TensorFlow wheel',
    remedy: `Update pip (python3 -m pip install --upgrade pip) or use a registry that mirrors PyPI in full, ${again}.`,
  },
  {
    pattern: /toolchain not available|requires go >=|go\.mod requires/,
    message: 'this Go is too old',
    remedy: `Install a newer Go, ${again}.`,
  },
  {
    pattern: /SIGILL|Illegal instruction/i,
    message: 'this CPU lacks the AVX instructions that TensorFlow is built for',
    remedy: 'Use a machine, or a virtual machine setting, whose CPU offers AVX.',
  },
  {
    pattern: /GLIBC(XX)?_[0-9.]+. not found/,
    message: 'the C library of this system is too old for the TensorFlow build',
    remedy: 'Use a system with glibc 2.17 or newer and the libstdc++ of the compiler that is installed.',
  },
];

/** Names the cause of a tool's failure from what it printed; unknown ones keep their own last lines. */
export function explain(what, output, logFile) {
  const cause = causes.find(({ pattern }) => pattern.test(output));
  if (cause) return new SetupError(`${what}: ${cause.message}.`, cause.remedy, logFile);
  const tail = output.trimEnd().split('\n').slice(-12).join('\n');
  return new SetupError(`${what} failed:\n${tail}`, `Read the whole output in the log, mend it, ${again}.`, logFile);
}

/** One error as it is printed. */
export function renderError(error) {
  if (!(error instanceof SetupError)) return `Internal error: ${error.stack ?? error}`;
  const lines = [`set-up: ${error.message}`, `  What to do: ${error.remedy}`];
  if (error.logFile) lines.push(`  Log: ${error.logFile}`);
  return lines.join('\n');
}
