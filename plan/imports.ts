/** Files that a pipeline names with `pipeline:`, read once each, with where they were looked for. */

import { isRecord, type PlainValue } from '../spec/types.ts';

/** The text of a file, or why there is none. What reads it is handed in, because the compiler touches no file. */
export type ReadFile = (file: string) => { readonly text: string } | { readonly why: string };

/** `../parts/fit.yaml` in `pipelines/main.yaml` is `parts/fit.yaml`. */
export function resolveImport(from: string, path: string): string {
  const forward = path.replaceAll('\\', '/');
  if (/^(\/|[A-Za-z]:\/)/.test(forward)) return forward;
  const parts = from.replaceAll('\\', '/').split('/').slice(0, -1);
  for (const part of forward.split('/')) {
    if (part === '.' || part === '') continue;
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..' && parts.at(-1) !== '') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

/** As written in a file, of every step, also in rounds and legs and in `finally`. */
export function importsIn(file: PlainValue): string[] {
  return isRecord(file) ? [...importsOf(file.steps), ...importsOf(file.finally)] : [];
}

function importsOf(steps: PlainValue | undefined): string[] {
  if (!isRecord(steps)) return [];
  return Object.values(steps).flatMap((step) => {
    if (!isRecord(step)) return [];
    if (isRecord(step.steps)) return importsOf(step.steps);
    return typeof step.pipeline === 'string' ? [step.pipeline] : [];
  });
}
