/** How values are written on a command line and in a KubeProxyConfiguration. */
import * as v from 'valibot';
import { parseDuration } from '../../duration.ts';

export interface ValueKind<T> {
  /** What is allowed, to go on after "is not": `a duration such as 30s`. */
  readonly allowed: string;
  /** Of a flag; undefined = not allowed. */
  parse(text: string): T | undefined;
  /** Of a field. */
  readonly schema: v.GenericSchema<unknown, T>;
}

export const text: ValueKind<string> = {
  allowed: 'a text',
  parse: (given) => given,
  schema: v.string(),
};

/** By the spellings of Go's strconv.ParseBool. */
export const bool: ValueKind<boolean> = {
  allowed: 'true or false',
  parse(given) {
    if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(given)) return true;
    return ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(given) ? false : undefined;
  },
  schema: v.boolean(),
};

export function whole(min: number, max: number): ValueKind<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    parse(given) {
      if (!/^[+-]?\d+$/.test(given)) return undefined;
      const value = Number(given);
      return value < min || value > max ? undefined : value;
    },
    schema: v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max)),
  };
}

/** Go's time.Duration on a command line, metav1.Duration in a file: both the same text. In milliseconds. */
export const duration: ValueKind<number> = {
  allowed: 'a duration such as 30s, 500ms, 1m30s or 1h',
  parse: parseDuration,
  schema: durationSchema(parseDuration),
};

/** As {@link duration}, for what the kernel counts in seconds. */
export const seconds: ValueKind<number> = {
  allowed: 'a duration of whole seconds such as 30s, 1m30s or 1h',
  parse: parseSeconds,
  schema: durationSchema(parseSeconds),
};

function parseSeconds(given: string): number | undefined {
  const ms = parseDuration(given);
  return ms === undefined || ms % 1000 !== 0 ? undefined : ms / 1000;
}

function durationSchema(parse: (given: string) => number | undefined): v.GenericSchema<unknown, number> {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== undefined) return value;
      addIssue({ message: 'no duration' });
      return NEVER;
    }),
  );
}

/** Comma separated on a command line, where the flag may also be repeated; a list in a file. */
export const list: ValueKind<readonly string[]> = {
  allowed: 'a list',
  parse: splitList,
  schema: v.array(v.string()),
};

export function splitList(given: string): string[] {
  return given === '' ? [] : given.split(',').map((item) => item.trim());
}

/** An empty text among the choices stands for the default, as in Go. */
export function choice<const T extends string>(...choices: readonly T[]): ValueKind<T> {
  const all = choices.filter((each) => each !== '').join(', ');
  return {
    allowed: `one of ${all}`,
    parse: (given) => choices.find((each) => each === given),
    schema: v.pipe(
      v.string(),
      v.rawTransform(({ dataset, addIssue, NEVER }) => {
        const value = choices.find((each) => each === dataset.value);
        if (value !== undefined) return value;
        addIssue({ message: all });
        return NEVER;
      }),
    ),
  };
}

/** What is looked at by nobody here, and may be anything. */
export const anything: ValueKind<unknown> = {
  allowed: 'anything',
  parse: (given) => given,
  schema: v.unknown(),
};

/** Go's zero values, written down: the same as leaving it out. A `"0"` is how kubeadm writes a quantity. */
export function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (value === '' || value === 0 || value === '0') return true;
  if (typeof value === 'string') return parseDuration(value) === 0;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.values(value).every(isZero);
}
