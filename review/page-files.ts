/** The built page, served from memory. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';

export interface PageFile {
  readonly content: Buffer;
  readonly type: string;
  readonly immutable: boolean;
}

const types: { readonly [ending: string]: string } = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/** All of it in memory, by address: no request ever becomes a path of the file system. */
export async function readPage(folder: string): Promise<ReadonlyMap<string, PageFile>> {
  const files = new Map<string, PageFile>();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw new Error(
      `The review page is not built: ${folder} is missing. Build it with "node deploy/setup.mjs build".`,
      {
        cause: error,
      },
    );
  });
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const name = path.slice(folder.length).replaceAll('\\', '/').replace(/^\/*/, '/');
    const type = types[name.split('.').at(-1) ?? ''];
    if (type === undefined) continue;
    files.set(name, { content: await readFile(path), type, immutable: name.startsWith('/assets/') });
  }
  const index = files.get('/index.html');
  if (index === undefined) throw new Error(`The review page in ${folder} has no index.html. Build it again.`);
  return files.set('/', index);
}

export function servePage(server: FastifyInstance, files: ReadonlyMap<string, PageFile>): void {
  for (const [name, { content, type, immutable }] of files) {
    server.get(name, (_, reply) =>
      reply
        .type(type)
        .header('cache-control', immutable ? 'public, max-age=31536000, immutable' : 'no-cache')
        .send(content),
    );
  }
}
