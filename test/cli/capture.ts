/** Holds back what a command prints, until it is asked for. */

import { vi } from 'vitest';

/** Call the answer once: it gives what was printed, and lets later output through again. */
export function captureOutput(): () => { out: string; err: string } {
  let out = '';
  let err = '';
  const outSpy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const errSpy = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
  return () => {
    outSpy.mockRestore();
    errSpy.mockRestore();
    return { out, err };
  };
}
