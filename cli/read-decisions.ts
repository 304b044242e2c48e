/** What a reviewer writes, on the command line or in a file, to decisions; every problem is reported, not the first. */

import type { Box, Decision, Verdict } from '../detection/types.ts';
import { CommandError, didYouMean, exitCodes } from './output.ts';

/** A decision as written: ids may be abbreviated, and a category is a name or an id. */
export interface WrittenDecision {
  /** Of a label that is added: `image:NAME`. */
  readonly candidate: string;
  /** Of a label that is added: the file name or id of its image. */
  readonly image?: string;
  readonly verdict: Verdict;
  readonly box?: Box;
  readonly category?: string;
  readonly reason?: string;
  /** For messages: `argument 2`, `decisions.csv:7`. */
  readonly place: string;
}

const verdicts: readonly Verdict[] = ['accept', 'reject', 'edit', 'ignore', 'add'];
const imagePrefix = 'image:';

/**
 * `CANDIDATE=accept`, `CANDIDATE=edit:x1,y1,x2,y2` or `CANDIDATE=edit:x1,y1,x2,y2:category`; a label that nobody asked about is
 * `image:FILE=add:x1,y1,x2,y2:category`.
 */
export function readDecisionWords(words: readonly string[]): WrittenDecision[] {
  const problems: string[] = [];
  const decisions = words.map((word, index) => {
    const place = `argument ${index + 1} ("${word}")`;
    // A file name may hold the sign too.
    const equals = word.startsWith(imagePrefix) ? word.lastIndexOf('=') : word.indexOf('=');
    if (equals < 1) {
      problems.push(`${place}: expected CANDIDATE=VERDICT, for example 3f2a=accept.`);
      return null;
    }
    const [verdict = '', box, ...category] = word.slice(equals + 1).split(':');
    const name = word.slice(0, equals);
    return check(
      {
        candidate: name,
        image: name.startsWith(imagePrefix) ? name.slice(imagePrefix.length) : undefined,
        verdict,
        box: box === undefined ? undefined : box.split(',').map((part) => (part.trim() === '' ? Number.NaN : +part)),
        category: category.length > 0 ? category.join(':') : undefined,
      },
      place,
      problems,
    );
  });
  return finish(decisions, problems);
}

/**
 * A JSON list of `{candidate, verdict, box?, category?, reason?}`, or CSV with the columns
 * `candidate,verdict,x1,y1,x2,y2,category,reason,image` (the first line names them; the last seven may be missing). A label that
 * nobody asked about has the verdict `add`, and an `image` in place of a candidate.
 */
export function readDecisionFile(name: string, text: string): WrittenDecision[] {
  return /\.csv$/i.test(name) ? readCsv(name, text) : readJson(name, text);
}

export function isVerdict(word: string): word is Verdict {
  return (verdicts as readonly string[]).includes(word);
}

/** Why a word is no verdict, and which one may be meant. */
export function notAVerdict(word: string): string {
  const near = didYouMean(word, verdicts);
  return `"${word}" is no verdict. ${near ? `Did you mean "${near}"? ` : ''}Verdicts: ${verdicts.join(', ')}.`;
}

function readJson(name: string, text: string): WrittenDecision[] {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new CommandError(
      `${name} is no JSON: ${(error as Error).message}. Expected a list such as [{"candidate": "3f2a…", "verdict": "accept"}].`,
      exitCodes.input,
    );
  }
  if (!Array.isArray(value)) {
    throw new CommandError(
      `${name} should hold a list such as [{"candidate": "3f2a…", "verdict": "accept"}].`,
      exitCodes.input,
    );
  }
  const problems: string[] = [];
  const decisions = value.map((item: unknown, index) => {
    const place = `${name}[${index}]`;
    if (typeof item !== 'object' || item === null) {
      problems.push(`${place}: expected an object with "candidate" and "verdict".`);
      return null;
    }
    const entry = item as { [key: string]: unknown };
    return check(
      {
        // `candidateId` and `categoryId` are how decisions are spelled in the run's messages.
        candidate: entry.candidate ?? entry.candidateId,
        image: entry.image ?? entry.imageId,
        verdict: entry.verdict,
        box: entry.box,
        category: entry.category ?? entry.categoryId,
        reason: entry.reason,
      },
      place,
      problems,
    );
  });
  return finish(decisions, problems);
}

const csvColumns = ['candidate', 'verdict', 'x1', 'y1', 'x2', 'y2', 'category', 'reason', 'image'];

function readCsv(name: string, text: string): WrittenDecision[] {
  const rows = splitCsv(text.replace(/^\uFEFF/, ''));
  const head = rows[0]?.cells.map((cell) => cell.trim()) ?? [];
  const unknown = head.filter((column) => !csvColumns.includes(column));
  if (!head.includes('candidate') || !head.includes('verdict') || unknown.length > 0) {
    throw new CommandError(
      `${name}:1: ${unknown.length > 0 ? `unknown column "${unknown[0]}"` : 'the columns "candidate" and "verdict" are missing'}. Expected a first line with names out of ${csvColumns.join(',')}.`,
      exitCodes.input,
    );
  }
  const problems: string[] = [];
  const decisions = rows.slice(1).map(({ cells, line }) => {
    const cell = (column: string) => {
      const value = cells[head.indexOf(column)]?.trim();
      return value === '' ? undefined : value;
    };
    const corners = ['x1', 'y1', 'x2', 'y2'].map(cell);
    return check(
      {
        candidate: cell('candidate'),
        image: cell('image'),
        verdict: cell('verdict'),
        box: corners.every((corner) => corner === undefined)
          ? undefined
          : corners.map((corner) => (corner === undefined ? Number.NaN : +corner)),
        category: cell('category'),
        reason: cell('reason'),
      },
      `${name}:${line}`,
      problems,
    );
  });
  return finish(decisions, problems);
}

/** Cells in quotes may hold commas, line ends and doubled quotes (RFC 4180). */
function splitCsv(text: string): { cells: string[]; line: number }[] {
  const rows: { cells: string[]; line: number }[] = [];
  let cells: string[] = [];
  let cell = '';
  let quoted = false;
  let line = 1;
  let rowLine = 1;
  const endRow = () => {
    cells.push(cell);
    if (cells.some((content) => content.trim() !== '')) rows.push({ cells, line: rowLine });
    cells = [];
    cell = '';
    rowLine = line;
  };
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '\n') line++;
    if (quoted) {
      if (character === '"' && text[i + 1] === '"') {
        cell += '"';
        i++;
      } else if (character === '"') quoted = false;
      else cell += character;
    } else if (character === '"' && cell === '') quoted = true;
    else if (character === ',') {
      cells.push(cell);
      cell = '';
    } else if (character === '\n') endRow();
    else if (character !== '\r') cell += character;
  }
  endRow();
  return rows;
}

function check(
  written: {
    candidate?: unknown;
    image?: unknown;
    verdict?: unknown;
    box?: unknown;
    category?: unknown;
    reason?: unknown;
  },
  place: string,
  problems: string[],
): WrittenDecision | null {
  const { candidate, verdict, box, category, reason } = written;
  const before = problems.length;
  const adds = verdict === 'add';
  const image = written.image === undefined ? undefined : String(written.image);
  if (adds && !image) {
    problems.push(
      `${place}: "add" is about an image, as in image:photo.png=add:10,12,44,40:cherry; a file has "image".`,
    );
  }
  if (!adds && image !== undefined) problems.push(`${place}: only "add" takes an image.`);
  if (!adds && (typeof candidate !== 'string' || candidate === '')) {
    problems.push(`${place}: the candidate's id is missing.`);
  }
  if (typeof verdict !== 'string' || !isVerdict(verdict))
    problems.push(`${place}: ${notAVerdict(String(verdict ?? ''))}`);
  if ((verdict === 'edit' || adds) && !isBox(box)) {
    problems.push(
      `${place}: "${verdict}" takes a box x1,y1,x2,y2 in pixels with x2 > x1 and y2 > y1${box === undefined ? ', and has none' : ` (is ${JSON.stringify(box)})`}.`,
    );
  }
  if (verdict !== 'edit' && !adds && box !== undefined) problems.push(`${place}: only "edit" and "add" take a box.`);
  if (reason !== undefined && typeof reason !== 'string') problems.push(`${place}: the reason should be text.`);
  if (problems.length > before) return null;
  return {
    candidate: adds ? `${imagePrefix}${image}` : (candidate as string),
    ...(adds ? { image } : {}),
    verdict: verdict as Verdict,
    ...(isBox(box) ? { box } : {}),
    ...(category === undefined ? {} : { category: String(category) }),
    ...(reason === undefined ? {} : { reason: reason as string }),
    place,
  };
}

function isBox(value: unknown): value is Box {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [x1, y1, x2, y2] = value as number[];
  return value.every((corner) => Number.isFinite(corner)) && x2! > x1! && y2! > y1!;
}

function finish(decisions: readonly (WrittenDecision | null)[], problems: readonly string[]): WrittenDecision[] {
  if (problems.length > 0) throw new CommandError(`No decision was sent:\n${bullets(problems)}`, exitCodes.input);
  return decisions.filter((decision) => decision !== null);
}

/** At most twenty, so that a wrong column does not fill the screen. */
export function bullets(problems: readonly string[]): string {
  const shown = problems.slice(0, 20).map((problem) => `  ${problem}`);
  if (problems.length > 20) shown.push(`  and ${problems.length - 20} more`);
  return shown.join('\n');
}

/** What goes into the message; the category's name is resolved by the caller. */
export function toDecision(written: WrittenDecision, candidateId: string, categoryId: number | undefined): Decision {
  return {
    candidateId,
    verdict: written.verdict,
    ...(written.box === undefined ? {} : { box: written.box }),
    ...(categoryId === undefined ? {} : { categoryId }),
    ...(written.reason === undefined ? {} : { reason: written.reason }),
  };
}
