/** Checks of single values on their way into a record. Each throws InvalidArgumentError with the field, the value and what is allowed. */
import { InvalidArgumentError } from '../errors.ts';
import type { ChangeGroup, IpFamily, SetSpec } from '../types.ts';
import { writeAddress } from './address-bytes.ts';
import type { RecordWriter } from './record-writer.ts';
import { isLinkName } from './set-entry.ts';
import { SET_TYPE_NUMBER } from './wire.ts';

export function checkedAddress(writer: RecordWriter, field: string, text: string): IpFamily {
  const written = typeof text === 'string' ? writeAddress(writer.bytes, writer.at, text) : 0;
  if (written === 0)
    throw new InvalidArgumentError(
      field,
      `${quote(text)} is not an IPv4 or IPv6 address: write it as parseAddress does, 10.96.0.10 or fd00::10`,
    );
  writer.at += 16;
  return written === 4 ? 'IPv4' : 'IPv6';
}

export function checkedInteger(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(field, `is ${quote(value)}, must be an integer from ${least} to ${most}`);
}

/** Null is what JSON has where something is missing. */
export function checkObject(field: string, value: object): void {
  if (typeof value === 'object' && value !== null) return;
  throw new InvalidArgumentError(field, `is ${quote(value)}, must be an object`);
}

export function checkedBoolean(field: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value;
  throw new InvalidArgumentError(field, `is ${quote(value)}, must be true or false`);
}

/** Undefined for a name that is not in the table; `constructor`, which every object has, is none. */
export function numberOf<K extends string>(table: Readonly<Record<K, number>>, name: K): number | undefined {
  const number = typeof name === 'string' ? table[name] : undefined;
  return typeof number === 'number' ? number : undefined;
}

export function checkedFamily(field: string, family: IpFamily): IpFamily {
  if (family === 'IPv4' || family === 'IPv6') return family;
  throw new InvalidArgumentError(field, `${quote(family)} is neither IPv4 nor IPv6`);
}

export function checkedType(type: SetSpec['type']): SetSpec['type'] {
  if (typeof type === 'string' && Object.hasOwn(SET_TYPE_NUMBER, type)) return type;
  throw new InvalidArgumentError('set.type', `${quote(type)} is none of ${Object.keys(SET_TYPE_NUMBER).join(' ')}`);
}

/** Names in the kernel are bytes; printable ASCII is what every tool shows alike. */
export function checkedName(field: string, name: string, most: number): string {
  if (typeof name === 'string' && name.length > 0 && name.length <= most && /^[\x21-\x7e]+$/.test(name)) return name;
  throw new InvalidArgumentError(
    field,
    `${quote(name)} must be 1 to ${most} printable ASCII characters without blanks`,
  );
}

export function checkedLink(field: string, name: string): string {
  if (typeof name === 'string' && isLinkName(name)) return name;
  throw new InvalidArgumentError(
    field,
    `${quote(name)} is not an interface name (1 to 15 characters, no / : or blank)`,
  );
}

export function quote(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`;
  try {
    return String(value);
  } catch {
    return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
  }
}

const GROUPS: readonly ChangeGroup[] = ['link', 'address'];

export function checkedGroups(field: string, groups: readonly ChangeGroup[]): ReadonlySet<ChangeGroup> {
  if (Array.isArray(groups) && groups.length > 0 && groups.every((group) => GROUPS.includes(group)))
    return new Set(groups);
  throw new InvalidArgumentError(field, `is [${quote(groups)}], must have one or both of ${GROUPS.join(', ')}`);
}
