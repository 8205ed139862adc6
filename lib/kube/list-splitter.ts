/**
 * A Kubernetes list (`{"metadata":…,"items":[…]}`) read from chunks of bytes, one item at a time: a list of 36 MB is never in
 * memory as a whole, and no single step takes long. Only brackets, strings and escapes are tracked here; everything else about the
 * syntax is left to JSON.parse, which sees every byte: each item by itself, and the envelope with the items taken out.
 */
import { asArray, isObject } from './json.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Longest item, and longest envelope, in bytes. etcd holds 1.5 MB an object, so more is not a Kubernetes list. */
const LIMIT = 16 * 1024 * 1024;
/** Longest key of the envelope that is looked at. */
const KEY_LIMIT = 64;

export class ListSplitter {
  readonly #onItem: (item: unknown) => void;
  #envelope: Buffer[] = [];
  #envelopeLength = 0;
  #item: Buffer[] = [];
  #itemLength = 0;
  #items = 0;
  #inItems = false;
  #itemsSeen = false;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** The last string at depth 1, raw, which is the key when `[` follows. */
  #key = '';

  constructor(onItem: (item: unknown) => void) {
    this.#onItem = onItem;
  }

  /** Throws SyntaxError on what is not JSON, as soon as it is seen; what `onItem` throws goes through. */
  push(chunk: Buffer): void {
    let start = 0;
    let inString = this.#inString;
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index];
      if (inString) {
        if (this.#depth === 1 && byte !== QUOTE) this.#addToKey(byte ?? 0);
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) inString = false;
        continue;
      }
      switch (byte) {
        case QUOTE:
          inString = true;
          if (this.#depth === 1) this.#key = '';
          break;
        case OPEN_BRACE:
          this.#depth++;
          break;
        case OPEN_BRACKET:
          this.#depth++;
          if (this.#depth === 2 && !this.#inItems && this.#key === 'items') {
            if (this.#itemsSeen) throw new SyntaxError('the list has two "items"');
            this.#itemsSeen = true;
            this.#inItems = true;
            this.#keep(chunk.subarray(start, index + 1));
            start = index + 1;
          }
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.#depth--;
          if (this.#inItems && this.#depth === 1) {
            this.#endItem(chunk.subarray(start, index), true);
            this.#inItems = false;
            start = index;
          }
          break;
        case COMMA:
          if (this.#inItems && this.#depth === 2) {
            this.#endItem(chunk.subarray(start, index), false);
            start = index + 1;
          }
          break;
      }
    }
    this.#inString = inString;
    this.#keep(chunk.subarray(start), this.#inItems);
  }

  /** Everything but the items. Throws SyntaxError when the text is not one whole JSON value. */
  end(): unknown {
    if (this.#inItems) throw new SyntaxError('the list ends within its items');
    const envelope: unknown = JSON.parse(Buffer.concat(this.#envelope).toString());
    // A key written with escapes is "items" all the same, only not worth streaming.
    if (!this.#itemsSeen && isObject(envelope)) for (const item of asArray(envelope['items']) ?? []) this.#onItem(item);
    return envelope;
  }

  #addToKey(byte: number): void {
    if (this.#key.length < KEY_LIMIT) this.#key += String.fromCharCode(byte);
  }

  #keep(part: Buffer, ofItem = false): void {
    if (part.length === 0) return;
    if (ofItem) {
      this.#item.push(part);
      this.#itemLength += part.length;
    } else {
      this.#envelope.push(part);
      this.#envelopeLength += part.length;
    }
    if (this.#itemLength > LIMIT || this.#envelopeLength > LIMIT) {
      throw new RangeError(`one object of the list is longer than ${LIMIT} bytes`);
    }
  }

  #endItem(rest: Buffer, last: boolean): void {
    const bytes = this.#item.length === 0 ? rest : Buffer.concat([...this.#item, rest]);
    this.#item = [];
    this.#itemLength = 0;
    const text = bytes.toString();
    // `[]` is the one place where nothing may stand between the brackets.
    if (last && this.#items === 0 && /^[ \t\r\n]*$/.test(text)) return;
    this.#items++;
    this.#onItem(JSON.parse(text));
  }
}
