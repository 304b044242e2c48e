/** Draws a report as one self-contained HTML page, or as Markdown. */

import { escapeText } from './figures.ts';
import type { Block, Cell, Report, Table } from './types.ts';

/** Light and dark by the reader's setting; black on white in print. No script, nothing from the network. */
const style = `
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9dbe0; --back: #ffffff; --panel: #f6f7f9; --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa0a8; --line: #3a3f47; --back: #16181c; --panel: #1e2126; --mark: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; margin: 0 0 4px; line-height: 1.2; }
h2 { font-size: 21px; margin: 48px 0 12px; padding-top: 12px; border-top: 1px solid var(--line); }
.subtitle { color: var(--soft); margin: 0 0 24px; font-size: 14px; }
.summary { background: var(--panel); border-left: 4px solid var(--mark); border-radius: 4px; padding: 14px 20px; }
.summary p { margin: 6px 0; }
.summary p:first-child { font-size: 18px; font-weight: 600; }
nav { margin: 20px 0 0; font-size: 14px; }
nav a { color: var(--mark); margin-right: 16px; text-decoration: none; }
.scroll { overflow-x: auto; margin: 16px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
.caption { color: var(--soft); padding-bottom: 6px; font-size: 14px; max-width: 760px; }
th, td { padding: 5px 12px 5px 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
td.grey { color: var(--soft); }
td.strong { font-weight: 700; }
figure { margin: 20px 0; }
figcaption { color: var(--soft); font-size: 14px; margin-bottom: 4px; }
figure svg { max-width: 100%; height: auto; color: var(--ink); }
pre { background: var(--panel); padding: 14px 16px; border-radius: 4px; overflow-x: auto; font-size: 13px; line-height: 1.45; }
li { overflow-wrap: anywhere; }
@media print { main { max-width: none; padding: 0; } nav { display: none; } th, td { white-space: normal; } figure, table { break-inside: avoid; } }
`;

export function renderHtml(report: Report): string {
  const navigation = report.sections
    .map((section) => `<a href="#${section.id}">${escapeText(section.title)}</a>`)
    .join('');
  const sections = report.sections
    .map(
      (section) =>
        `<section id="${section.id}"><h2>${escapeText(section.title)}</h2>\n${section.blocks.map(blockToHtml).join('\n')}</section>`,
    )
    .join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escapeText(report.title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(report.title)}</h1>
<p class="subtitle">${escapeText(report.subtitle)}</p>
<div class="summary">${report.summary.map((sentence) => `<p>${escapeText(sentence)}</p>`).join('')}</div>
<nav aria-label="Sections">${navigation}</nav>
${sections}
</main>
</body>
</html>
`;
}

function blockToHtml(block: Block): string {
  switch (block.type) {
    case 'text':
      return `<p>${escapeText(block.text)}</p>`;
    case 'list':
      return `<ul>${block.items.map((item) => `<li>${escapeText(item)}</li>`).join('')}</ul>`;
    case 'code':
      return `<pre><code>${escapeText(block.text)}</code></pre>`;
    case 'figure':
      return `<figure><figcaption>${escapeText(block.figure.caption)}</figcaption>${block.figure.svg}</figure>`;
    case 'table':
      return tableToHtml(block.table);
  }
}

function tableToHtml(table: Table): string {
  const head = table.columns.map((column) => `<th scope="col">${escapeText(column)}</th>`).join('');
  const rows = table.rows.map((row) => `<tr>${row.map(cellToHtml).join('')}</tr>`).join('\n');
  return `<div class="scroll"><div class="caption">${escapeText(table.caption)}</div><table aria-label="${escapeText(table.caption)}"><thead><tr>${head}</tr></thead><tbody>\n${rows}\n</tbody></table></div>`;
}

function cellToHtml(cell: Cell): string {
  const classes = [cell.grey ? 'grey' : '', cell.strong ? 'strong' : ''].filter((name) => name !== '').join(' ');
  return `<td${classes === '' ? '' : ` class="${classes}"`}>${escapeText(cell.text)}</td>`;
}

/** Figures are left out: their numbers stand in the tables. */
export function renderMarkdown(report: Report): string {
  const lines = [`# ${report.title}`, '', report.subtitle, '', ...report.summary.flatMap((sentence) => [sentence, ''])];
  for (const section of report.sections) {
    lines.push(`## ${section.title}`, '');
    for (const block of section.blocks) lines.push(...blockToMarkdown(block));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function blockToMarkdown(block: Block): string[] {
  switch (block.type) {
    case 'text':
      return [block.text, ''];
    case 'list':
      return [...block.items.map((item) => `- ${item}`), ''];
    case 'code':
      return ['```yaml', block.text.trimEnd(), '```', ''];
    case 'figure':
      return [];
    case 'table':
      return [
        block.table.caption,
        '',
        `| ${block.table.columns.map(escapePipe).join(' | ')} |`,
        `|${block.table.columns.map(() => '---').join('|')}|`,
        ...block.table.rows.map((row) => `| ${row.map((cell) => escapePipe(cell.text)).join(' | ')} |`),
        '',
      ];
  }
}

const escapePipe = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
