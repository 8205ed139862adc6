/** What is wrong with the objects of one source, each told once. */
import type { ObjectKey, ObjectRecord } from '../records.ts';
import { printable } from './json.ts';
import type { ResourceKind, SourceProblem } from './source.ts';
import type { StoreEntry } from './store-entry.ts';

/** More problems of one object than this are counted, not told. */
const TOLD_PROBLEMS = 20;

/** Objects that do not say who they are have no key to remember them by; this many different complaints are. */
const REMEMBERED_NAMELESS = 200;

const NONE: readonly never[] = [];

export class ObjectProblems {
  readonly #tell: (problem: SourceProblem) => void;
  readonly #nameless = new Set<string>();

  constructor(tell: (problem: SourceProblem) => void) {
    this.#tell = tell;
  }

  /**
   * A problem is told when it appears, and again when it comes back after having been mended.
   *
   * @param more Beside those of the entry itself.
   */
  update(
    kind: ResourceKind,
    key: ObjectKey,
    entry: StoreEntry<ObjectRecord>,
    more: readonly string[],
    hookProblem: string,
  ): void {
    entry.hookProblem = hookProblem === '' || entry.hookProblem === '' ? hookProblem : entry.hookProblem;
    const problems = [...entry.problems, ...more, ...(entry.hookProblem === '' ? NONE : [entry.hookProblem])];
    const joined = problems.join('\n');
    if (joined === entry.told) return;
    const before = new Set(entry.told.split('\n').map(withoutPlaces));
    entry.told = joined;
    const fresh = problems.filter((message) => !before.has(withoutPlaces(message)));
    for (const message of fresh.slice(0, TOLD_PROBLEMS)) this.#tell({ object: printable(key), kind, message });
    if (fresh.length > TOLD_PROBLEMS) {
      const message = `${fresh.length - TOLD_PROBLEMS} more problems of this object`;
      this.#tell({ object: printable(key), kind, message });
    }
  }

  /** Of an object that does not say who it is. */
  tellNameless(kind: ResourceKind, problems: readonly string[]): void {
    for (const message of problems) {
      const remembered = `${kind} ${message}`;
      if (this.#nameless.has(remembered)) continue;
      if (this.#nameless.size >= REMEMBERED_NAMELESS) this.#nameless.clear();
      this.#nameless.add(remembered);
      this.#tell({ object: '', kind, message });
    }
  }
}

/** `endpoints[3].addresses[0]: …` is what `endpoints[2].addresses[0]: …` was before its neighbour went. */
function withoutPlaces(message: string): string {
  return message.replace(/\[\d+\]/g, '[]');
}
