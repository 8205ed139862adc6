/** What happens, to the log and to whoever listens. */
import type { SourceConnection, SourceProblem } from '../kube/source.ts';
import type { ReconcileEvent, SyncReport } from '../reconcile/protocol.ts';
import type { Logger } from '../types.ts';
import type { ContestedEvent, ProxierEmitter, WarningEvent } from './events.ts';
import { problemObject } from './intake.ts';

export class Announcer {
  readonly #emitter: ProxierEmitter;
  readonly #log: Logger;

  constructor(emitter: ProxierEmitter, log: Logger) {
    this.#emitter = emitter;
    this.#log = log;
  }

  /** To the log: the event that goes with it says more. */
  report(report: SyncReport): void {
    const { kind, operations, byVerb, rulesWritten, sysctlsWritten, unknown, planMicros, kernelMicros } = report;
    for (const failure of report.failures) {
      const { object, operation, error, attempts, retryInMs } = failure;
      this.#log.warn({ object, operation, code: error.code, attempts, retryInMs }, `${object}: ${error.message}`);
    }
    const written = operations + rulesWritten + sysctlsWritten;
    const details = { kind, operations, byVerb, rulesWritten, sysctlsWritten, unknown, planMicros, kernelMicros };
    this.#log[written > 0 ? 'info' : 'debug'](details, 'synced');
  }

  event(event: ReconcileEvent): void {
    switch (event.kind) {
      case 'warning': {
        const { object, message, error } = event;
        this.warn({ object, message, ...(error === undefined ? {} : { error }) });
        return;
      }
      case 'foreign':
        this.#log.info({ service: event.service }, 'a virtual service that is not ours; it is left alone');
        this.#emitter.emit('foreign', { service: event.service });
        return;
      case 'contested':
        this.#log.warn({ service: event.service }, event.message);
        this.#emitter.emit('contested', contestedEvent(event));
        return;
      case 'drift':
        this.#log.info({ object: event.object }, event.message);
        this.#emitter.emit('drift', { object: event.object, message: event.message });
        return;
      case 'drained': {
        const { service, destination, reason } = event;
        this.#log.info({ service, destination, reason }, 'drained');
        this.#emitter.emit('drained', { service, destination, reason });
      }
    }
  }

  problem(source: string, problem: SourceProblem): void {
    const { message, error } = problem;
    this.warn({ object: problemObject(source, problem), message, ...(error === undefined ? {} : { error }) });
  }

  warn(event: WarningEvent): void {
    const { object, error } = event;
    this.#log.warn({ object, ...(error === undefined ? {} : { code: error.code }) }, event.message);
    this.#emitter.emit('warning', event);
  }

  /** Sources tell troubles as problems, too, so the log has each once. */
  connection(source: string, connection: SourceConnection): void {
    const { resource, state, attempt, error } = connection;
    const code = error === undefined ? {} : { code: error.code };
    this.#log.debug({ source, resource, state, attempt, ...code }, `${resource} ${state}`);
    this.#emitter.emit('connection', { source, ...connection });
  }
}

function contestedEvent({ kind, ...event }: ReconcileEvent & { readonly kind: 'contested' }): ContestedEvent {
  return event;
}
