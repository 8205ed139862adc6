/** What a running proxier answers to whoever asks, in this process or through the admin socket. Changes nothing. */
import { type ErrorRecord, InvalidArgumentError, ProxierError, toErrorRecord } from '../errors.ts';
import type { ExplainAnswer, StatusAnswer } from '../reconcile/answers.ts';
import type { ReconcileReply, ReconcileRequest } from '../reconcile/protocol.ts';
import type { Clock } from './clock.ts';
import type { ProxierHealth } from './health.ts';
import type { ReconcileHost } from './pump.ts';
import type { ProxierStatistics } from './statistics.ts';

export interface StatusOptions {
  /** Kernel objects that are not applied and are listed, at most. Default 100, 0 to 10,000. */
  readonly limit?: number;
}

export interface ProxierStatus {
  readonly pid: number;
  /** Name of the Node that it serves. */
  readonly nodeName: string;
  readonly started: Date;
  readonly health: ProxierHealth;
  /** How fast changes get to the kernel. Absent before the first request to the reconciler. */
  readonly statistics?: ProxierStatistics;
  /** What the reconciler says. Absent while it is not there: before it is opened, and between two workers. */
  readonly reconciler?: StatusAnswer;
  /** Why it is absent. */
  readonly error?: Pick<ErrorRecord, 'code' | 'message'>;
}

/** What `explain` says. */
export type Explanation = ExplainAnswer;

export interface InquiryParts {
  readonly clock: Clock;
  readonly nodeName: string;
  /** Undefined before it is opened, and after the end. */
  host(): ReconcileHost | undefined;
  health(): ProxierHealth;
  /** Undefined before there is anything to count. */
  statistics(): ProxierStatistics | undefined;
}

/** A Service, with the longest names and the words around them. */
const MAX_KEY_LENGTH = 512;
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;
/** A pass over a large cluster takes its time. */
const ANSWER_MS = 20_000;

export class Inquiry {
  readonly #parts: InquiryParts;
  readonly #started: Date;

  constructor(parts: InquiryParts) {
    this.#parts = parts;
    this.#started = parts.clock.date();
  }

  health(): ProxierHealth {
    return this.#parts.health();
  }

  /** @throws ProxierError ERR_CLOSED before the start. */
  statistics(): ProxierStatistics {
    const statistics = this.#parts.statistics();
    if (statistics === undefined) throw notAtWork();
    return statistics;
  }

  /** Answers at any time: what is wrong is in it. */
  async status({ limit = DEFAULT_LIMIT }: StatusOptions = {}): Promise<ProxierStatus> {
    if (!Number.isInteger(limit) || limit < 0 || limit > MAX_LIMIT) {
      throw new InvalidArgumentError('limit', `${String(limit)} is not a whole number from 0 to ${MAX_LIMIT}`);
    }
    const { clock, nodeName } = this.#parts;
    const told = { pid: process.pid, nodeName, started: this.#started };
    const base = (): Omit<ProxierStatus, 'reconciler' | 'error'> => {
      const statistics = this.#parts.statistics();
      return { ...told, health: this.health(), ...(statistics === undefined ? {} : { statistics }) };
    };
    try {
      const { status } = await this.#ask({ kind: 'status', nowMs: clock.nowMs(), date: clock.date(), limit });
      if (status === undefined) throw new ProxierError('ERR_WORKER', 'status was answered without a status');
      return { ...base(), reconciler: status };
    } catch (error) {
      const { code, message } = toErrorRecord(error);
      return { ...base(), error: { code, message } };
    }
  }

  /**
   * @throws InvalidArgumentError; ProxierError ERR_CLOSED before the start and after the end, ERR_WORKER between two workers, ERR_TIMEOUT when the
   * worker is too busy.
   */
  async explain(key: string): Promise<Explanation> {
    if (typeof key !== 'string' || key.trim() === '' || key.length > MAX_KEY_LENGTH) {
      throw new InvalidArgumentError('key', `a text of 1 to ${MAX_KEY_LENGTH} characters is needed`);
    }
    const { clock } = this.#parts;
    const reply = await this.#ask({ kind: 'explain', nowMs: clock.nowMs(), date: clock.date(), key });
    if (reply.explanation === undefined) {
      throw new ProxierError('ERR_WORKER', 'explain was answered without an explanation');
    }
    return reply.explanation;
  }

  async #ask(request: ReconcileRequest): Promise<ReconcileReply> {
    const host = this.#parts.host();
    if (host === undefined) throw notAtWork();
    let cancel = (): void => {};
    const late = new Promise<never>((_resolve, reject) => {
      const error = new ProxierError('ERR_TIMEOUT', `the worker did not answer within ${ANSWER_MS} ms: it is at work`);
      cancel = this.#parts.clock.after(ANSWER_MS, () => reject(error));
    });
    try {
      return await Promise.race([host.call(request), late]);
    } finally {
      cancel();
    }
  }
}

function notAtWork(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the proxier has not begun to work, or is stopped');
}
