/** Candidates as CVAT's XML for images, version 1.1. */

import { XMLParser, XMLValidator } from 'fast-xml-parser';
import type { Box, Category } from '../types.ts';
import { rounded, type ToolFile, type ToolImage } from './boxes.ts';
import { type Fields, FileError, listOf, numberOf, objectOf, textOf } from './values.ts';

/** Decimals of a pixel, as CVAT writes them. */
const DIGITS = 2;

export function writeCvatBoxes(images: readonly ToolImage[], categories: readonly Category[]): string {
  const labels = categories.flatMap(({ name }) => [
    '        <label>',
    `          <name>${xmlText(name)}</name>`,
    '          <attributes>',
    '            <attribute><name>candidate</name><mutable>False</mutable><input_type>text</input_type><default_value></default_value><values></values></attribute>',
    '          </attributes>',
    '        </label>',
  ]);
  const shown = images.flatMap(({ fileName, width, height, boxes }, id) => [
    `  <image id="${id}" name="${xmlText(fileName)}" width="${width}" height="${height}">`,
    ...boxes.flatMap(({ candidate, category, box }) => {
      const [xtl, ytl, xbr, ybr] = box.map((edge) => edge.toFixed(DIGITS));
      return [
        `    <box label="${xmlText(category)}" source="manual" occluded="0" xtl="${xtl}" ytl="${ytl}" xbr="${xbr}" ybr="${ybr}" z_order="0">`,
        `      <attribute name="candidate">${xmlText(candidate ?? '')}</attribute>`,
        '    </box>',
      ];
    }),
    '  </image>',
  ]);
  return [
    '<?xml version="1.0" encoding="utf-8"?>',
    '<annotations>',
    '  <version>1.1</version>',
    '  <meta>',
    '    <task>',
    `      <size>${images.length}</size>`,
    '      <mode>annotation</mode>',
    '      <labels>',
    ...labels,
    '      </labels>',
    '    </task>',
    '  </meta>',
    ...shown,
    '</annotations>',
    '',
  ].join('\n');
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  isArray: (name) => ['image', 'box', 'attribute'].includes(name),
});

export function readCvatBoxes(file: string, text: string): ToolFile {
  if (/<!DOCTYPE/i.test(text)) throw new FileError(`${file} has a DOCTYPE, which is not read.`);
  const valid = XMLValidator.validate(text);
  if (valid !== true) throw new FileError(`${file}:${valid.err.line}: ${valid.err.msg}`);
  const root = objectOf((parser.parse(text) as Fields).annotations, `${file} <annotations>`);
  const images = listOf(root.image ?? [], `${file} <image>`).map((one, i): ToolImage => {
    const image = objectOf(one, `${file} image ${i}`);
    const fileName = plainText(textOf(image['@name'], `${file} image ${i} name`));
    const boxes = listOf(image.box ?? [], `${file} ${fileName}`).map((entry, k) => {
      const place = `box ${k + 1}`;
      const own = objectOf(entry, `${file} ${fileName} ${place}`);
      const edge = (name: string) => rounded(numberOf(own[`@${name}`], `${file} ${fileName} ${place} ${name}`), DIGITS);
      const box: Box = [edge('xtl'), edge('ytl'), edge('xbr'), edge('ybr')];
      const attributes = listOf(own.attribute ?? [], place).filter(
        (value): value is Fields => typeof value === 'object',
      );
      const candidate = attributes.find((attribute) => attribute['@name'] === 'candidate')?.['#text'];
      return {
        candidate: typeof candidate === 'string' ? candidate.trim() : undefined,
        category: plainText(textOf(own['@label'], `${file} ${fileName} ${place} label`)),
        box,
        place,
      };
    });
    const size = (name: string) => numberOf(image[`@${name}`], `${file} ${fileName} ${name}`);
    return { fileName, width: size('width'), height: size('height'), boxes };
  });
  return { images, coercions: [] };
}

const entities: readonly (readonly [string, string])[] = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&apos;'],
];

function xmlText(text: string): string {
  return entities.reduce((escaped, [plain, entity]) => escaped.replaceAll(plain, entity), text);
}

function plainText(text: string): string {
  return entities.toReversed().reduce((plain, [character, entity]) => plain.replaceAll(entity, character), text);
}
