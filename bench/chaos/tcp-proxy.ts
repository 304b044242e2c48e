/** A TCP port that stands for another one, and can be cut or slowed down: the network between two processes. */

import { createConnection, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Breaks all connections and takes no new ones, until `mend`. */
  cut(): void;
  /** Every packet takes so many milliseconds longer, until `mend`. */
  slow(ms: number): void;
  mend(): void;
  close(): Promise<void>;
}

export async function openTcpProxy(target: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  let delayMs = 0;

  const pipe = (from: Socket, to: Socket): void => {
    from.on('data', (bytes) => {
      from.pause();
      const pass = () => {
        if (!to.destroyed) to.write(bytes);
        from.resume();
      };
      if (delayMs > 0) setTimeout(pass, delayMs);
      else pass();
    });
    from.on('close', () => {
      sockets.delete(from);
      // What was read before the end is still on its way.
      setTimeout(() => to.destroy(), delayMs);
    });
    from.on('error', () => from.destroy());
  };

  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = createConnection({ port: target, host: '127.0.0.1' });
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
    }
    pipe(client, upstream);
    pipe(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    slow(ms) {
      delayMs = ms;
    },
    mend() {
      isCut = false;
      delayMs = 0;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
