/** Who reads what a command prints may go away (`| head`, a closed terminal): the command goes on without it. */

type Output = Pick<NodeJS.WriteStream, 'on'>;

/** A pipe, a terminal and a socket whose other end is closed, and what was written after that. */
const goneCodes: readonly (string | undefined)[] = ['EPIPE', 'EIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED'];

interface Reader {
  readonly gone: AbortController;
  /** Why something did not get out although somebody may read it, such as a full disk. */
  failure: NodeJS.ErrnoException | null;
}

const readers = new Map<Output, Reader>();

/** From now on what cannot be written to the stream ends no process. */
export function outliveReader(stream: Output): void {
  readerOf(stream);
}

/** Aborted once a write has shown that nobody reads the stream any longer. */
export const readerGone = (stream: Output): AbortSignal => readerOf(stream).gone.signal;

/** The first failure of a write for which no reader is to blame. */
export const writeFailure = (stream: Output): NodeJS.ErrnoException | null => readerOf(stream).failure;

function readerOf(stream: Output): Reader {
  const known = readers.get(stream);
  if (known !== undefined) return known;
  const reader: Reader = { gone: new AbortController(), failure: null };
  readers.set(stream, reader);
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (!goneCodes.includes(error.code)) reader.failure ??= error;
    else if (reader.failure === null) reader.gone.abort();
  });
  return reader;
}
