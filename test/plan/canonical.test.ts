import { createContext, runInContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../plan/canonical.ts';

describe('Canonical JSON', () => {
  it('sorts keys at every depth and keeps the order of lists', () => {
    expect(canonicalJson({ b: [2, { d: 1, c: null }], a: 'ü"', 10: true, 9: 0.1 })).toBe(
      '{"10":true,"9":0.1,"a":"ü\\"","b":[2,{"c":null,"d":1}]}',
    );
  });

  it('leaves out keys without a value, as if they were not there', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe(canonicalJson({ b: 1 }));
  });

  it('writes numbers that are equal alike', () => {
    expect(canonicalJson([-0, 1.0, 1e21, 5e-324])).toBe('[0,1,1e+21,5e-324]');
  });

  it('takes plain objects of another realm, such as the sandbox of workflows', () => {
    expect(canonicalJson(runInContext('({ b: [1], a: {} })', createContext()))).toBe('{"a":{},"b":[1]}');
  });

  it.each([
    ['$.a is NaN', { a: Number.NaN }],
    ['$[1] is Infinity', [0, Number.POSITIVE_INFINITY]],
    ['$[0] is undefined', [undefined]],
    ['$[0] is undefined', new Array(1)],
    ['$ is undefined', undefined],
    ['$.when is an object of class Date', { when: new Date(0) }],
    ['$.a is an object of class Map', { a: new Map() }],
    ['$.a is an object of class Float32Array', { a: new Float32Array(1) }],
    ['$.big is a bigint', { big: 1n }],
    ['$.f is a function', { f: () => 1 }],
  ])('refuses what JSON would lose: %s', (message, value) => {
    expect(() => canonicalJson(value)).toThrow(message);
  });
});
