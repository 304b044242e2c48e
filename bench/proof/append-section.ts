/** Adds a measurement to docs/benchmarks.md, at the end of the section it belongs to. */

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/** The document with `text` at the end of the section (`## title`), which is made at the end where it is not there. */
export function withAddition(document: string, title: string, text: string): string {
  const lines = document.trimEnd().split('\n');
  const heading = lines.indexOf(`## ${title}`);
  if (heading < 0) return `${lines.join('\n')}\n\n## ${title}\n\n${text.trim()}\n`;
  const next = lines.findIndex((line, i) => i > heading && line.startsWith('## '));
  const end = next < 0 ? lines.length : next;
  const before = lines.slice(0, end).join('\n').trimEnd();
  const after = lines.slice(end).join('\n');
  return `${before}\n\n${text.trim()}\n${after === '' ? '' : `\n${after}\n`}`;
}

export function appendToFile(path: string, title: string, text: string): void {
  writeFileSync(path, withAddition(readFileSync(path, 'utf8'), title, text));
}

/** Date, processor and versions, as every table of the document names them. */
export function conditions(): string {
  const model = cpus()[0]?.model.trim().replace(/\s+/g, ' ') ?? process.arch;
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${model}), ${memory} GiB, Node ${process.versions.node}`;
}
