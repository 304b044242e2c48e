/** A port in front of an S3 server that now and then answers as a server in trouble does. */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';

export type HttpFault = '500' | '503' | 'slow' | 'short' | 'lost-answer';

export interface HttpProxy {
  readonly port: number;
  /** From now on a share of the requests meets the fault, until `mend`. `random` (0..1) decides which. */
  break(fault: HttpFault, random: () => number): void;
  mend(): void;
  close(): Promise<void>;
}

/** Of the requests, while the server is in trouble: enough to meet every kind of request, few enough for retries to succeed. */
const faultyShare = 0.4;
const slowMs = 1_500;

export async function openHttpProxy(target: number): Promise<HttpProxy> {
  let fault: HttpFault | null = null;
  let random = (): number => 0;
  const server = createServer((incoming, outgoing) => {
    const met = fault !== null && random() < faultyShare ? fault : null;
    incoming.on('error', () => outgoing.destroy());
    if (met === '500' || met === '503') {
      incoming.resume();
      const code = met === '500' ? 'InternalError' : 'SlowDown';
      const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>chaos</Message></Error>`;
      incoming.on('end', () => outgoing.writeHead(Number(met), { 'content-type': 'application/xml' }).end(body));
      return;
    }
    if (met === 'slow') setTimeout(() => forward(target, incoming, outgoing, null), slowMs);
    else forward(target, incoming, outgoing, met);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    break(kind, chance) {
      fault = kind;
      random = chance;
    },
    mend() {
      fault = null;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The headers go on as they are: the host that was asked is part of the signature. */
function forward(target: number, incoming: IncomingMessage, outgoing: ServerResponse, fault: HttpFault | null): void {
  const { method, url, headers } = incoming;
  const upstream = request(
    { host: '127.0.0.1', port: target, method, path: url, headers, setHost: false },
    (answer) => {
      // The server has done what was asked, and nobody hears of it.
      if (fault === 'lost-answer') {
        answer.resume();
        outgoing.destroy();
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      if (fault !== 'short') {
        answer.pipe(outgoing);
        return;
      }
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const body = Buffer.concat(chunks);
        outgoing.write(body.subarray(0, body.length >> 1), () => outgoing.destroy());
      });
    },
  );
  upstream.on('error', () => outgoing.destroy());
  outgoing.on('close', () => upstream.destroy());
  incoming.pipe(upstream);
}
