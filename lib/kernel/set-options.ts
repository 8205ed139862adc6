/** What may stand behind an entry of a set: `timeout 60`, `nomatch`, `comment "text"`, as {@link SetEntry} describes it. */
import type { SetEntry } from '../types.ts';
import type { RecordReader } from './record-reader.ts';
import type { RecordWriter } from './record-writer.ts';
import { EntryFlag } from './wire.ts';

/** IPSET_MAX_TIMEOUT of include/linux/netfilter/ipset/ip_set.h: UINT_MAX / 2 milliseconds. */
export const SET_TIMEOUT_MAX_SECONDS = 2_147_483;
/** IPSET_MAX_COMMENT_SIZE of include/uapi/linux/netfilter/ipset/ip_set.h, in bytes. */
const COMMENT_MAX = 255;

/** Options that only some sets have. */
export interface EntryOptions {
  /** 0 = for ever. */
  readonly timeoutSeconds?: number;
  readonly comment?: string;
}

/** An entry taken apart. */
export interface SplitEntry extends EntryOptions {
  /** What names it: what comes before the options. */
  readonly body: string;
  readonly nomatch: boolean;
  /** What is wrong with the options, in words. */
  readonly problem?: string;
  readonly iface?: undefined;
}

const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
/** One option: the word, and the value of one that has a value. */
const OPTION = / +(nomatch|timeout|comment)(?: +(?:([0-9]+)|"([^"]*)"))?(?= |$)/y;
const CONTROL = /\p{Cc}/u;

/** Takes an entry apart; does not look at the part before the options. */
export function splitOptions(entry: SetEntry): SplitEntry {
  const end = entry.indexOf(' ');
  if (end < 0) return { body: entry, nomatch: false };
  const body = entry.slice(0, end);
  const found: { nomatch: boolean; timeoutSeconds?: number; comment?: string } = { nomatch: false };
  const seen = new Set<string>();
  OPTION.lastIndex = end;
  let at = end;
  for (let match = OPTION.exec(entry); match !== null; match = OPTION.exec(entry)) {
    const [, word = '', number, quoted] = match;
    at = OPTION.lastIndex;
    if (seen.has(word)) return { body, nomatch: false, problem: `has the option ${word} twice` };
    seen.add(word);
    const problem = readOption(found, word, number, quoted);
    if (problem !== undefined) return { body, nomatch: false, problem };
  }
  if (at !== entry.length) {
    const problem = `has the option "${entry.slice(at).trim()}", which is none of: timeout SECONDS, nomatch, comment "TEXT" (in double quotes)`;
    return { body, nomatch: false, problem };
  }
  return { body, ...found };
}

function readOption(
  found: { nomatch: boolean; timeoutSeconds?: number; comment?: string },
  word: string,
  number: string | undefined,
  quoted: string | undefined,
): string | undefined {
  if (word === 'nomatch') {
    found.nomatch = true;
    return number === undefined && quoted === undefined ? undefined : 'has a value after nomatch, which has none';
  }
  if (word === 'timeout') {
    const seconds = number === undefined || number.length > 10 ? Number.NaN : Number(number);
    if (!(seconds <= SET_TIMEOUT_MAX_SECONDS)) return `needs a timeout of 0 to ${SET_TIMEOUT_MAX_SECONDS} seconds`;
    found.timeoutSeconds = seconds;
    return undefined;
  }
  if (quoted === undefined) return 'needs its comment in double quotes';
  if (CONTROL.test(quoted)) return 'has a control character in its comment';
  const bytes = encoder.encode(quoted).length;
  if (bytes > COMMENT_MAX) return `has a comment of ${bytes} bytes, at most ${COMMENT_MAX} are possible`;
  // The kernel takes an empty comment for none.
  if (quoted !== '') found.comment = quoted;
  return undefined;
}

/** The entry put together again, in canonical order. */
export function joinOptions(body: string, nomatch: boolean, { timeoutSeconds, comment }: EntryOptions): SetEntry {
  let text = body;
  if (timeoutSeconds !== undefined) text += ` timeout ${timeoutSeconds}`;
  if (nomatch) text += ' nomatch';
  if (comment !== undefined) text += ` comment "${comment}"`;
  return text;
}

/** The entry without the options that its set has no room for. */
export function withoutOptions(
  entry: SetEntry,
  set: { readonly timeouts: boolean; readonly comments: boolean },
): SetEntry {
  if (!entry.includes(' ')) return entry;
  const { body, nomatch, timeoutSeconds, comment } = splitOptions(entry);
  return joinOptions(body, nomatch, {
    ...(set.timeouts && timeoutSeconds !== undefined ? { timeoutSeconds } : {}),
    ...(set.comments && comment !== undefined ? { comment } : {}),
  });
}

/** Writes the options at the end of an entry's record, and says so in its flags. */
export function writeOptions(writer: RecordWriter, { timeoutSeconds, comment }: EntryOptions): void {
  if (timeoutSeconds !== undefined) {
    writer.addFlags(EntryFlag.timeout);
    writer.u32(timeoutSeconds);
  }
  if (comment !== undefined) {
    writer.addFlags(EntryFlag.comment);
    writer.byteString(encoder.encode(comment));
  }
}

const NONE: EntryOptions = {};

export function readOptions(reader: RecordReader): EntryOptions {
  const { flags } = reader;
  if ((flags & (EntryFlag.timeout | EntryFlag.comment)) === 0) return NONE;
  return {
    ...((flags & EntryFlag.timeout) === 0 ? {} : { timeoutSeconds: reader.u32() }),
    ...((flags & EntryFlag.comment) === 0 ? {} : { comment: printable(reader.byteString()) }),
  };
}

/** Comments that a program put there which checks less than the tools do: the kernel takes any bytes. */
function printable(bytes: Uint8Array): string {
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch {
    // One byte for one: the comment must not outgrow its limit.
    text = lenient.decode(bytes).replaceAll('\ufffd', '?');
  }
  return text.replaceAll('"', "'").replace(/\p{Cc}/gu, ' ');
}
