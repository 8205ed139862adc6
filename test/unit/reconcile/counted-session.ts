/** A session of the fake kernel that counts what is asked of it, and knows which lists are open. */
import assert from 'node:assert/strict';
import type { Cursor, KernelSession } from '../../../lib/kernel/session.ts';

export class SessionCalls {
  readonly #counts = new Map<string, number>();
  readonly #openSets = new Set<object>();
  /** What lists have given, in all. */
  records = 0;

  /** Since the last {@link reset}. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort());
  }

  count(name: keyof KernelSession): number {
    return this.#counts.get(name) ?? 0;
  }

  reset(): void {
    this.#counts.clear();
  }

  /** The kernel does not let a set grow, that is swap, while it is listed: none may be open when something is written. */
  wrap(session: KernelSession): KernelSession {
    return new Proxy(session, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...words: unknown[]): unknown => {
          const call = String(name);
          if (call === 'run') assert.equal(this.#openSets.size, 0, 'a set is held open while something is written');
          this.#counts.set(call, (this.#counts.get(call) ?? 0) + 1);
          if (call === 'entries') return this.#opened(this.#counted(target.entries(String(words[0]))));
          const answer: unknown = Reflect.apply(member, target, words);
          return isCursor(answer) ? this.#counted(answer) : answer;
        };
      },
    });
  }

  #counted<T>(cursor: Cursor<T>): Cursor<T> {
    return {
      close: () => cursor.close(),
      next: () => {
        const slice = cursor.next();
        this.records += slice?.length ?? 0;
        return slice;
      },
    };
  }

  #opened<T>(cursor: Cursor<T>): Cursor<T> {
    this.#openSets.add(cursor);
    const close = (): void => {
      this.#openSets.delete(cursor);
      cursor.close();
    };
    return {
      close,
      next: () => {
        const slice = cursor.next();
        if (slice === undefined) close();
        return slice;
      },
    };
  }
}

function isCursor(answer: unknown): answer is Cursor<unknown> {
  return typeof answer === 'object' && answer !== null && 'next' in answer && 'close' in answer;
}
