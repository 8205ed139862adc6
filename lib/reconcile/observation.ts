/** Everything that a running reconciler can be asked, in one place: the flight recorder, the state of each object, explanations. */
import { Explainer } from './explain.ts';
import { FlightRecorder } from './flight-recorder.ts';
import { ObjectStatuses, type StatusParts } from './object-status.ts';
import type { ReconcileEvent, ReconcileReply, ReconcileRequest } from './protocol.ts';
import { statusSummary } from './status-summary.ts';

export type Inquiry = Extract<ReconcileRequest, { kind: 'status' | 'explain' }>;

export class Observation {
  readonly recorder: FlightRecorder = new FlightRecorder();
  readonly #parts: StatusParts;

  constructor(parts: StatusParts) {
    this.#parts = parts;
  }

  /** Changes nothing. Has no `wakeInMs`: what the reconciler is waiting for stays as it was said last. */
  answer(
    inquiry: Inquiry,
    standing: { readonly revision: number; readonly complete: boolean },
  ): Pick<ReconcileReply, 'events' | 'revision' | 'status' | 'explanation'> {
    const { nowMs, date } = inquiry;
    const toDate = (ms: number): Date => new Date(date.getTime() - nowMs + ms);
    const statuses = new ObjectStatuses(this.#parts, toDate);
    const reply = { events: [], revision: standing.revision };
    if (inquiry.kind === 'explain') {
      return { ...reply, explanation: new Explainer(statuses, this.recorder).explain(inquiry.key) };
    }
    const { limit } = inquiry;
    return { ...reply, status: statusSummary({ ...standing, statuses, recorder: this.recorder.use(toDate), limit }) };
  }

  /** Of what others do to our objects; of much at once not all is told, see `DriftLog`. */
  told(event: ReconcileEvent, nowMs: number): void {
    if (event.kind === 'drift') this.recorder.note('drift', event.object, event.message, nowMs);
    if (event.kind === 'contested' && event.object !== undefined) {
      this.recorder.note('contested', event.object, event.message, nowMs);
    }
  }
}
