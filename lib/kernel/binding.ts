/** Finds and loads the native addon, and explains why when it cannot. The only place that does. */
import { createRequire } from 'node:module';
import { ProxierError } from '../errors.ts';

/** A dump in progress. */
export interface NativeDump {
  /** Fills the buffer with whole records: the bytes written, 0 at the end, or a negative {@link DumpCode} or errno. */
  next(buffer: Uint8Array): number;
  close(): void;
}

/** The addon's session: native/addon/addon.cc. Throws only for arguments of the wrong type. */
export interface NativeSession {
  /**
   * Runs `records[0..length)`, one result each (see native/wire.h). `stats`: messages, round trips, microseconds. Returns the kernel's
   * own texts on failures as `[index, text, index, text, …]`.
   */
  run(
    records: Uint8Array,
    length: number,
    results: Int32Array,
    stats: Int32Array,
  ): readonly (number | string)[] | undefined;
  /** Starts a dump, in `idle` if it is given: one that has ended or was closed. */
  dump(kind: number, argument: Uint8Array, length: number, idle: NativeDump | undefined): NativeDump | number;
  close(): void;
}

export interface NativeAddon {
  readonly Session: new (timeoutMs: number) => NativeSession;
  /** Moves the calling thread into the namespace for good: 0, an errno, or a {@link NetnsCode}. */
  enterNetns(path: string): number;
}

/** Results of operations that are no errno. */
export const RunCode = { unknown: -1, absent: -2 } as const;
/** Results of dumps that are no errno: native/addon/addon.cc. */
export const DumpCode = { unknown: -1_000_001, absent: -1_000_002, interrupted: -1_000_003 } as const;
export const DumpKind = {
  services: 1,
  destinations: 2,
  sets: 3,
  entries: 4,
  links: 5,
  addresses: 6,
  servicesWithStatistics: 10,
  destinationsWithStatistics: 11,
  service: 12,
  serviceWithStatistics: 13,
  timeouts: 14,
  info: 15,
  table: 16,
  tableByNetlink: 17,
  tableWithStatistics: 18,
  localRoutes: 30,
  changes: 31,
  connections: 40,
} as const;

/** Results of `enterNetns` that are no errno: native/addon/netns.h. */
export const NetnsCode = { mainThread: -1, notNamespace: -2 } as const;

/** From dist/lib/kernel and from lib/kernel alike the package's root is the first of these that has the addon. */
const PLACES: readonly string[] = ['../../..', '../..'].flatMap((root) => [
  `${root}/build/Release/ipvs_proxier.node`,
  `${root}/build/Debug/ipvs_proxier.node`,
]);

/** @throws ProxierError ERR_ADDON, naming the machine, what was tried, and how to build. */
export function loadAddon(): NativeAddon {
  const machine = `${process.platform} ${process.arch}, Node ${process.versions.node}`;
  if (process.platform !== 'linux') {
    throw new ProxierError(
      'ERR_ADDON',
      `the kernel's tables are only reachable on Linux, and this is ${machine}; planning and the fake kernel of ipvs-proxier/testing work everywhere`,
    );
  }
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const place of PLACES) {
    try {
      const loaded: unknown = require(place);
      if (isAddon(loaded)) return loaded;
      failures.push(`${place}: is not the addon of ipvs-proxier`);
    } catch (error) {
      if (isMissing(error)) continue;
      failures.push(`${place}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const tried = failures.length === 0 ? 'it was not built' : failures.join('; ');
  throw new ProxierError(
    'ERR_ADDON',
    `the native addon cannot be loaded (${machine}): ${tried}. Build it in the package's directory with "npm run build:native"; that needs a C++20 compiler, make, python3, pkg-config and libnl-3 with its development files`,
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND';
}

function isAddon(value: unknown): value is NativeAddon {
  return typeof value === 'object' && value !== null && 'Session' in value && typeof value.Session === 'function';
}
