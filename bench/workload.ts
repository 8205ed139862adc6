/** What every measurement works on: 1,000 virtual services of 10 destinations, as `floor/floor.c` makes them. */
import { setTimeout } from 'node:timers/promises';
import { parseAddress } from '../lib/address.ts';
import { Batch } from '../lib/kernel/batch.ts';
import type { BatchResult } from '../lib/kernel/session.ts';
import type { AddressServiceKey, Destination, IpAddress, VirtualService } from '../lib/types.ts';

/** Numbers of one run of one way, by the field of a {@link Series}. */
export type Sample = Readonly<Record<string, number>>;

export const SERVICES = 1000;
export const DESTINATIONS = 10;

export interface PlainService {
  readonly service: VirtualService<AddressServiceKey>;
  readonly destinations: readonly Destination[];
}

export const nowMicros = (): number => performance.now() * 1000;

function address(base: number, offset: number): IpAddress {
  const number = base + offset;
  const text = [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(text);
  return parsed;
}

export const vip = (i: number): IpAddress => address(0x0a600001, i);
export const pod = (i: number): IpAddress => address(0x0af40001, i % 60_000);

export function plainServices(services: number = SERVICES, destinations: number = DESTINATIONS): PlainService[] {
  return Array.from({ length: services }, (_, i) => ({
    service: { key: { protocol: 'tcp', address: vip(i), port: 80 }, scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
    destinations: Array.from({ length: destinations }, (_unused, d) => ({
      address: pod(i * destinations + d),
      port: 8080,
      weight: 1,
      forward: 'masquerade' as const,
    })),
  }));
}

/** All services have as many destinations as the first. */
export function countOf(table: readonly PlainService[]): number {
  return table.length * (1 + (table[0]?.destinations.length ?? 0));
}

export function addAll(table: readonly PlainService[], batch: Batch = new Batch(countOf(table))): Batch {
  for (const { service, destinations } of table) {
    batch.createService(service);
    for (const destination of destinations) batch.createDestination(service.key, destination);
  }
  return batch;
}

export function editAll(
  table: readonly PlainService[],
  weight: number,
  batch: Batch = new Batch(countOf(table)),
): Batch {
  for (const { service, destinations } of table) {
    for (const { address: host, port, forward } of destinations) {
      batch.updateDestination(service.key, { address: host, port, forward, weight });
    }
  }
  return batch;
}

export function removeAll(table: readonly PlainService[], batch: Batch = new Batch(countOf(table))): Batch {
  for (const { service, destinations } of table) {
    for (const destination of destinations) batch.removeDestination(service.key, destination);
    batch.removeService(service.key);
  }
  return batch;
}

/** A benchmark of refusals would be a fast one. */
export function checked(result: BatchResult): BatchResult {
  if (result.failures.length > 0) throw new Error(`${result.failures.length} failed: ${result.failures[0]?.operation}`);
  return result;
}

const WARM_ROUNDS = 6;
const BUILD_ROUNDS = 20;

/**
 * Shows the compiler the code and the kernel the namespace, with services that have no destinations: deleted destinations would stay in
 * the kernel's trash, and slow what is measured. No garbage is collected afterwards: that throws optimised code away.
 */
export async function warmUp(
  run: (batch: Batch) => BatchResult | Promise<BatchResult>,
  whole: readonly PlainService[],
): Promise<void> {
  const bare = plainServices(SERVICES, 0);
  for (let round = 0; round < WARM_ROUNDS; round++) {
    const batch = addAll(bare);
    for (let again = 0; again < 1.5 * DESTINATIONS; again++)
      for (const { service } of bare) batch.updateService(service);
    checked(await run(batch.append(removeAll(bare))));
  }
  const batch = new Batch(countOf(whole));
  // A young heap grows with what is built, and takes fresh memory from the system at each step.
  for (let round = 0; round < BUILD_ROUNDS; round++) {
    for (const build of [addAll, removeAll]) build(whole, batch.clear());
    editAll(whole, round, batch.clear());
  }
}

/** Lets the garbage of what was done before be collected, and its code be compiled: a uniprocessor would do it while the clock runs. */
export async function quiet(): Promise<void> {
  await setTimeout(200);
}

/** Not before a measurement of time: V8 throws the code away that it had optimised for objects that are gone. */
function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc');
  globalThis.gc();
}

/** In bytes. Buffers of collected objects are freed a little later, in the background. */
export async function memory(): Promise<{ readonly js: number; readonly resident: number }> {
  for (let pass = 0; pass < 3; pass++) {
    collectGarbage();
    await setTimeout(20);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { js: heapUsed + external, resident: rss };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
