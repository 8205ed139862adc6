/** A sink that writes down what it is told, and lets a test wait for a condition on it. */
import type { ResourceKind, SourceConnection, SourceProblem, SourceSink } from '../../../lib/kube/source.ts';
import { Conditions } from '../../../lib/testing/conditions.ts';

export class RecordingSink implements SourceSink {
  readonly objects: Map<string, unknown> = new Map<string, unknown>();
  readonly calls: string[] = [];
  readonly problems: SourceProblem[] = [];
  readonly connections: SourceConnection[] = [];
  readonly #conditions = new Conditions('the sink', () => `; it was told:\n${this.calls.join('\n')}`);

  upsert(kind: ResourceKind, object: unknown): void {
    const key = `${kind} ${nameOf(object)}`;
    this.objects.set(key, object);
    this.#note(`upsert ${key}`);
  }

  remove(kind: ResourceKind, namespace: string, name: string): void {
    const key = `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`;
    this.objects.delete(key);
    this.#note(`remove ${key}`);
  }

  replace(kind: ResourceKind, objects: Iterable<unknown>): void {
    for (const object of objects) this.upsert(kind, object);
    this.#note(`replace ${kind}`);
  }

  synced(kind: ResourceKind): void {
    this.#note(`synced ${kind}`);
  }

  problem(problem: SourceProblem): void {
    this.problems.push(problem);
    this.#note(`problem ${problem.kind} ${problem.object}`);
  }

  connection(state: SourceConnection): void {
    this.connections.push(state);
    this.#note(`${state.state} ${state.resource}`);
  }

  has(call: string): boolean {
    return this.calls.includes(call);
  }

  get keys(): string[] {
    return [...this.objects.keys()].sort();
  }

  /** Resolves as soon as the condition holds, looked at after every call; rejects after the deadline. */
  until(condition: () => boolean, what: string, deadlineMs: number = 10_000): Promise<void> {
    return this.#conditions.until(condition, what, deadlineMs);
  }

  #note(call: string): void {
    this.calls.push(call);
    this.#conditions.changed();
  }
}

function nameOf(object: unknown): string {
  if (typeof object !== 'object' || object === null || !('metadata' in object)) return '?';
  const { metadata } = object;
  if (typeof metadata !== 'object' || metadata === null || !('name' in metadata)) return '?';
  return 'namespace' in metadata ? `${metadata.namespace}/${metadata.name}` : String(metadata.name);
}
