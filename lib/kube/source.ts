/**
 * Where Kubernetes objects come from. Three are built in: an API server (`ApiSource`), manifests on disk (`ManifestSource`), and
 * whatever the embedder has (`ObjectSource`, or an own implementation of this interface).
 */
import type { ErrorRecord } from '../errors.ts';

/** The resources a proxier reads. */
export type ResourceKind = 'Service' | 'EndpointSlice' | 'Node';

/** Something a user should know about one object, or about the source itself. Never fatal. */
export interface SourceProblem {
  /** `default/web` or a file name; empty for the source as a whole. */
  readonly object: string;
  readonly kind: ResourceKind | '';
  /** What is wrong and what to do, naming the field and the value. */
  readonly message: string;
  readonly error?: ErrorRecord;
}

/** State of the connection of one resource, for events and health. */
export interface SourceConnection {
  readonly resource: ResourceKind;
  readonly state: 'listing' | 'watching' | 'backoff' | 'stopped';
  /** Failures in a row. */
  readonly attempt: number;
  readonly error?: ErrorRecord;
}

/** What a source calls. All calls are synchronous and cheap, never throw, and are ignored after the source was stopped. */
export interface SourceSink {
  /** A Kubernetes object as JSON gives it, valid or not: the sink validates, projects, and names what it must skip. */
  upsert(kind: ResourceKind, object: unknown): void;
  remove(kind: ResourceKind, namespace: string, name: string): void;
  /** The whole content of one resource: what is not among the objects is gone. Does not by itself mean synced. */
  replace(kind: ResourceKind, objects: Iterable<unknown>): void;
  /** The first complete list of this resource has been delivered. Once per resource; calling again is harmless. */
  synced(kind: ResourceKind): void;
  problem(problem: SourceProblem): void;
  connection(state: SourceConnection): void;
}

export interface Source {
  /** Names the source in records, logs and events; unique within a Proxier. */
  readonly name: string;
  /** Which resources it delivers, and so which `synced` calls the proxier waits for. */
  readonly kinds: readonly ResourceKind[];
  /**
   * Begins delivering and returns. Rejects only for what can never work (no such file, unusable credentials); everything that
   * may heal is retried for ever and told through `problem` and `connection`. Ends when the signal aborts.
   */
  start(sink: SourceSink, signal: AbortSignal): Promise<void>;
  /** Resolves when nothing of it is left running: no socket, no timer, no file handle, and no sink call comes any more. */
  stop(): Promise<void>;
}
