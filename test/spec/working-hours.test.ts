import { describe, expect, it } from 'vitest';
import { afterWorkingTime, problemOfHours, type WorkingHours } from '../../spec/working-hours.ts';

const hour = 3_600_000;
const office: WorkingHours = { from: '09:00', to: '17:00' };
const momentAfter = (start: string, hours: number, how = office) =>
  new Date(afterWorkingTime(Date.parse(start), hours * hour, how)).toISOString().slice(0, 16);

describe('working time', () => {
  it('passes on weekdays between the hours alone', () => {
    // 2026-11-25 is a Wednesday
    expect(momentAfter('2026-11-25T10:00Z', 4)).toBe('2026-11-25T14:00');
    expect(momentAfter('2026-11-25T15:00Z', 4)).toBe('2026-11-26T11:00');
    expect(momentAfter('2026-11-25T03:00Z', 1)).toBe('2026-11-25T10:00');
    expect(momentAfter('2026-11-25T22:00Z', 1)).toBe('2026-11-26T10:00');
    // over the weekend
    expect(momentAfter('2026-11-27T16:00Z', 2)).toBe('2026-11-30T10:00');
    expect(momentAfter('2026-11-28T12:00Z', 0)).toBe('2026-11-30T09:00');
    expect(momentAfter('2026-11-25T09:00Z', 40)).toBe('2026-12-01T17:00');
  });

  it('is local time, also across a change of the clocks', () => {
    const berlin: WorkingHours = { ...office, zone: 'Europe/Berlin' };
    expect(momentAfter('2026-11-25T07:00Z', 1, berlin)).toBe('2026-11-25T09:00');
    expect(momentAfter('2026-07-01T06:00Z', 1, berlin)).toBe('2026-07-01T08:00');
    // on Sunday, 29 March 2026 the clocks go forward: Friday 17:00 is 16:00 UTC, Monday 09:00 is 07:00 UTC
    expect(momentAfter('2026-03-27T15:00Z', 2, berlin)).toBe('2026-03-30T08:00');
    expect(momentAfter('2026-11-25T22:00Z', 1, { ...office, zone: 'America/New_York' })).toBe('2026-11-26T15:00');
  });

  it('knows days and a day to its end', () => {
    const sundays: WorkingHours = { days: ['sun'], from: '00:00', to: '24:00' };
    expect(momentAfter('2026-11-25T10:00Z', 30, sundays)).toBe('2026-12-06T06:00');
  });

  it('says what is wrong with hours', () => {
    expect(problemOfHours(office)).toBeNull();
    expect(problemOfHours({ from: '9:00', to: '17:00' })).toContain('"from" is "9:00"');
    expect(problemOfHours({ from: '09:00', to: '25:00' })).toContain('"to" is "25:00"');
    expect(problemOfHours({ from: '17:00', to: '09:00' })).toContain('not after "from"');
    expect(problemOfHours({ ...office, days: [] })).toContain('"days" is empty');
    expect(problemOfHours({ ...office, zone: 'Mars/Base' })).toContain('"zone" is "Mars/Base"');
  });
});
