/** Narrowing of foreign JSON values, and their safe printing in messages. */

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value when it is an object, else an empty one: for optional parts whose absence means defaults. */
export function objectOrEmpty(value: unknown): JsonObject {
  return isObject(value) ? value : EMPTY;
}

const EMPTY: JsonObject = Object.freeze({});

/** An array of unknowns; anything else is undefined. */
export function asArray(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

export function stringOrEmpty(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Absent in the sense of the Kubernetes API: not there or null. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

const SHOWN_LENGTH = 120;

/** A foreign value as one printable line: JSON with control characters escaped, cut when long. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string' && value.length > SHOWN_LENGTH) {
    return `${escapeUnprintable(JSON.stringify(value.slice(0, SHOWN_LENGTH)))}… (${value.length} characters)`;
  }
  let text: string;
  try {
    text = JSON.stringify(value) ?? typeof value;
  } catch {
    text = typeof value;
  }
  const shown = escapeUnprintable(text.slice(0, SHOWN_LENGTH));
  return text.length > SHOWN_LENGTH ? `${shown}…` : shown;
}

/** A foreign name as it is when it is plain, quoted and escaped when it is not. */
export function printable(name: string): string {
  return /^[\w./:@+-]{0,600}$/.test(name) ? name : show(name);
}

/** What foreign code threw, as one printable line. */
export function reasonOf(error: unknown): string {
  try {
    return printable(String(error));
  } catch {
    return 'something that cannot be shown';
  }
}

/** JSON.stringify leaves DEL, C1 controls, bidirectional marks and line separators as they are; terminals and logs obey some of them. */
function escapeUnprintable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}
