/** One setting: its flag, its field of KubeProxyConfiguration, and the option of the library that both stand for. */
import * as v from 'valibot';
import type { Draft } from './draft.ts';
import { isZero, type ValueKind } from './kind.ts';

export type SettingGroup = 'source' | 'kube-proxy' | 'own' | 'command' | 'no effect';

export interface SettingNames {
  /** Without the dashes; absent = only in a file. */
  readonly flag?: string;
  /** Shorter flags of ours for the same. */
  readonly aliases?: readonly string[];
  /** One letter. */
  readonly short?: string;
  /** `<cidrs>`; absent = a flag that is true or false. */
  readonly argument?: string;
  /** Dotted path in a KubeProxyConfiguration; absent = only as a flag, and a file does not stand in its way. */
  readonly field?: string;
  /** Name of the option of the library that it sets. */
  readonly option?: string;
  /** What holds without it, in words or as it is written. */
  readonly standard?: string;
  readonly help: string;
  readonly group: SettingGroup;
  /** The field is a pointer in Go: a zero is a value, and only null is none. */
  readonly pointer?: true;
  /** The flag counts although a file is given, as with kube-proxy. */
  readonly beatsFile?: true;
  /** It may be repeated, and what is given adds up. */
  readonly repeats?: true;
}

/** Puts a value into the draft; where it came from is for what has to be said about it. */
export type Take = (draft: Draft, origin: string) => void;

export interface Setting extends SettingNames {
  readonly allowed: string;
  /** Undefined = not allowed. */
  fromFlag(text: string): Take | undefined;
  /** Undefined = not allowed. */
  fromField(value: unknown): Take | undefined;
}

const nothing: Take = () => {};

export function setting<T>(
  names: SettingNames,
  kind: ValueKind<T>,
  take: (draft: Draft, value: T, origin: string) => void,
): Setting {
  return {
    ...names,
    allowed: kind.allowed,
    fromFlag(text) {
      const value = kind.parse(text);
      return value === undefined ? undefined : (draft, origin) => take(draft, value, origin);
    },
    fromField(given) {
      const isAbsent = names.pointer === true ? given === null || given === undefined : isZero(given);
      const result = v.safeParse(kind.schema, given);
      if (given === null || given === undefined) return nothing;
      if (!result.success) return undefined;
      return isAbsent ? nothing : (draft, origin) => take(draft, result.output, origin);
    },
  };
}

/** Accepted, and named with the reason why nothing comes of it. */
export function withoutEffect(names: Omit<SettingNames, 'group'>, kind: ValueKind<unknown>, why: string): Setting {
  return setting({ ...names, group: 'no effect', help: names.help }, kind, (draft, value, origin) => {
    draft.notices.push({ origin, message: `${origin} ${shown(value)}: ${why}` });
  });
}

export function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** `--cluster-cidr`, or the field for what is in files only. */
export function nameOf({ flag, field }: SettingNames): string {
  return flag === undefined ? (field ?? '') : `--${flag}`;
}
