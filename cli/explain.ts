/** `hardcase explain CODE`: what a diagnostic means, with a wrong and a mended example, as docs/diagnostics.md has it. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import colours from 'picocolors';
import { type DiagnosticCode, diagnosticCodes } from '../spec/diagnostic.ts';
import { CommandError, didYouMean, type ExitCode, exitCodes, print, printJson, table } from './output.ts';

/** Without a code: all of them, a line each. */
export async function runExplain(code: string | undefined, options: { readonly json: boolean }): Promise<ExitCode> {
  if (code === undefined) {
    if (options.json) printJson(diagnosticCodes);
    else print(table(Object.entries(diagnosticCodes)));
    return exitCodes.done;
  }
  const wanted = code.toUpperCase().replaceAll('-', '_');
  if (!Object.hasOwn(diagnosticCodes, wanted)) {
    const nearest = didYouMean(wanted, Object.keys(diagnosticCodes));
    const question = nearest === undefined ? '' : ` Did you mean ${nearest}?`;
    const message = `There is no diagnostic "${code}".${question} Without a code, "explain" lists them all.`;
    throw new CommandError(message, exitCodes.usage);
  }
  const section = await sectionOf(wanted as DiagnosticCode);
  if (options.json) printJson({ code: wanted, summary: diagnosticCodes[wanted as DiagnosticCode], page: section });
  else print(forTerminal(wanted, section));
  return exitCodes.done;
}

/** The section of docs/diagnostics.md, without its heading. */
async function sectionOf(code: DiagnosticCode): Promise<string> {
  const page = await readFile(pagePath(), 'utf8');
  const section = page.split(/^## /m).find((part) => part.startsWith(`${code}\n`));
  if (section === undefined) throw new Error(`Internal error: docs/diagnostics.md has no section ${code}.`);
  return section.slice(code.length).trim();
}

/** Beside this file's folder, whether it runs compiled or as written. */
function pagePath(): string {
  const places = ['..', '../..'].map((up) => join(import.meta.dirname, up, 'docs', 'diagnostics.md'));
  return places.find((path) => existsSync(path)) ?? places[0]!;
}

/** The examples indented under their headings, instead of in fences. */
function forTerminal(code: string, section: string): string {
  const headings = ['Wrong:', 'Printed:', 'Mended:'];
  let block = 0;
  const text = section.replace(/```\w+\n([\s\S]*?)```/g, (_, content: string) => {
    const heading = headings[block++] ?? 'Also:';
    return `${colours.bold(heading)}\n\n${content.trimEnd().replace(/^(?=.)/gm, '    ')}`;
  });
  return `${colours.bold(code)}\n\n${text}`;
}
