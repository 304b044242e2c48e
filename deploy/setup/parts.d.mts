export interface FoundBinary {
  path: string;
  /** `cache`, `PATH`, or the environment variable that named it. */
  from: string;
}

export const TEMPORAL: { version: string; serverLine: string; module: string; minimumGo: string };
export const MINIO: { version: string; module: string; minimumGo: string };
export const TEST_SERVER: { artifact: string; version: string; mavenPlugin: string; jarsSha256: string };
export const JAVA_RUNTIME: { requirement: string; wheelSha256: string };
export const CHROMIUM: { package: string; version: string; sha512: string };
export const TENSORFLOW: { version: string; requirement: string; wheelSha256: string; libraryBytes: number };

export function cacheFolder(): string;
export function libtensorflowFolder(): string;
export function cachedTemporal(): string;
export function chromiumFolder(): string;
export function cachedMinio(): string;
export function testServerFolder(): string;
export function onPath(command: string): string | null;
export function isExecutable(path: string): boolean;
export function findTemporal(options?: { anyVersion?: boolean }): (FoundBinary & { version: string }) | null;
export function findMinio(): FoundBinary | null;
export function findTestServer(): FoundBinary | null;
/** `libraries`: a folder for LD_LIBRARY_PATH. */
export function findChromium(): (FoundBinary & { args: string[]; libraries: string | null }) | null;
