/** Diagnostics for programs: JSON, SARIF for code hosts, and the commands that GitHub's runners read. */

import { type Diagnostic, diagnosticCodes, type Place } from './diagnostic.ts';

/** What `--format json` prints; others build on exactly these keys. */
export type DiagnosticJson = Omit<Diagnostic, 'related' | 'fix'>;

export function toJson(diagnostics: readonly Diagnostic[]): DiagnosticJson[] {
  return diagnostics.map(({ related: _, fix: __, ...rest }) => rest);
}

/** Where the pages of the codes are; `hardcase explain CODE` prints the same. */
const helpOf = (code: string): string => `Run "hardcase explain ${code}", or see ${code} in docs/diagnostics.md.`;

/** SARIF 2.1.0, https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html: what code hosts show beside the lines. */
export function toSarif(diagnostics: readonly Diagnostic[]): object {
  const used = [...new Set(diagnostics.map((diagnostic) => diagnostic.code))].sort();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'hardcase',
            rules: used.map((code) => ({
              id: code,
              shortDescription: { text: diagnosticCodes[code] },
              help: { text: helpOf(code) },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: diagnostics.map((diagnostic) => ({
          ruleId: diagnostic.code,
          ruleIndex: used.indexOf(diagnostic.code),
          level: diagnostic.severity,
          message: { text: textOf(diagnostic) },
          locations: [physicalLocation(diagnostic)],
          ...(diagnostic.related === undefined
            ? {}
            : {
                relatedLocations: diagnostic.related.map((place, id) => ({
                  id,
                  ...physicalLocation(place),
                  message: { text: place.message },
                })),
              }),
        })),
      },
    ],
  };
}

function physicalLocation(place: Place): object {
  return {
    physicalLocation: {
      artifactLocation: { uri: uriOf(place.file) },
      region: {
        startLine: place.line,
        startColumn: place.column,
        endLine: place.endLine,
        endColumn: place.endColumn,
      },
    },
  };
}

/** A half of a pair that UTF-16 needs for one character has no form in a URI. */
function uriOf(file: string): string {
  return encodeURI(file.replaceAll('\\', '/').replace(/\p{Surrogate}/gu, '\ufffd'));
}

function textOf({ message, hint }: Diagnostic): string {
  return hint === null ? message : `${message} ${hint}`;
}

/**
 * One line a diagnostic, which a GitHub runner turns into a remark beside the line:
 * https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
 */
export function toGitHub(diagnostics: readonly Diagnostic[]): string {
  return diagnostics
    .map((diagnostic) => {
      const { file, line, column, endLine, endColumn, severity, code } = diagnostic;
      const properties = { file, line, col: column, endLine, endColumn, title: code };
      const words = Object.entries(properties).map(([key, value]) => `${key}=${escapeProperty(String(value))}`);
      return `::${severity} ${words.join(',')}::${escapeData(textOf(diagnostic))}`;
    })
    .join('\n');
}

function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
