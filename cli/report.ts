/** `hardcase report RUN`: writes the run's report from the store, and says its first sentences. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { loadJson, readBytes } from '../artifacts/codecs.ts';
import type { Store } from '../artifacts/store.ts';
import { type ArtifactRef, isArtifactRef } from '../plan/types.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { CommandError, type ExitCode, exitCodes, ownCommand, print, printJson } from './output.ts';
import { isFinal, type RunView, readRunView } from './run-view.ts';
import type { Settings } from './settings.ts';

export interface WrittenReport {
  readonly html: string;
  readonly markdown: string;
  /** What came out, a sentence a line. */
  readonly summary: string;
}

/** Null where the run has no report (yet). `out` names the HTML file; the Markdown goes beside it. */
export async function writeReport(
  store: Store,
  view: RunView,
  folder: string,
  out: string = join(folder, 'runs', view.header.run, 'report.html'),
): Promise<WrittenReport | null> {
  const ref = reportOf(view);
  if (ref === null) return null;
  const pages = await loadJson(store, 'report', ref);
  const [html, markdown] = await Promise.all([
    readBytes(store, 'report', pages.html),
    readBytes(store, 'report', pages.markdown),
  ]);
  const markdownFile = `${out.slice(0, out.length - extname(out).length)}.md`;
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, html);
  if (markdownFile !== out) await writeFile(markdownFile, markdown);
  return { html: out, markdown: markdownFile, summary: summaryOf(markdown.toString('utf8')) };
}

/** The last one, where a pipeline makes several. */
function reportOf(view: RunView): ArtifactRef | null {
  const refs = view.steps
    .filter((step) => step.state === 'done')
    .flatMap((step) => Object.values(step.outputs ?? {}))
    .filter((value) => isArtifactRef(value) && value.artifact === 'report');
  return (refs.at(-1) as ArtifactRef | undefined) ?? null;
}

/** Title and subtitle come first, then the summary's sentences, then the sections. */
function summaryOf(markdown: string): string {
  const head = markdown.split(/^## /m)[0] ?? '';
  const paragraphs = head.split(/\n\s*\n/).map((paragraph) => paragraph.trim());
  return paragraphs
    .slice(2)
    .filter((paragraph) => paragraph !== '')
    .join('\n');
}

export async function runReport(
  settings: Settings,
  name: string,
  options: { readonly out?: string; readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header } = await findRun(store, name);
  const view = (await readRunView(store, header.run))!;
  const report = await writeReport(store, view, settings.folder, options.out);
  if (report === null) {
    const remedy = isFinal(view.state)
      ? `Its pipeline made none: add a step with "uses: report". What it did: ${ownCommand('status', header.run)}`
      : `It is ${view.state}; the report comes with its last step. Until then: ${ownCommand('status', header.run)}`;
    throw new CommandError(`Run ${header.run} has no report. ${remedy}`, exitCodes.input);
  }
  if (options.json) printJson({ run: header.run, ...report });
  else print(`${report.summary}\n\nReport: ${report.html}\n        ${report.markdown}`);
  return exitCodes.done;
}
