/** A batch that did not go through whole, as an error to reject with. */
import { type ErrorCode, type NetlinkErrorDetails, ProxierError } from '../errors.ts';
import type { BatchResult, OperationFailure } from './session.ts';

export type FailureCode = Extract<
  ErrorCode,
  'ERR_NETLINK' | 'ERR_NETLINK_LOST' | 'ERR_PERMISSION' | 'ERR_KERNEL_UNSUPPORTED' | 'ERR_SCHEDULER_UNKNOWN'
>;

/**
 * Some operations of a batch failed or have no answer. All others were applied: there is no rollback. The code is the one that all failures
 * have in common ({@link failureCode}), and ERR_NETLINK when they have none.
 */
export class BatchError extends ProxierError {
  readonly result: BatchResult;
  constructor(result: BatchResult) {
    const [first] = result.failures;
    const others = result.failures.length - 1;
    const code = first === undefined ? 'ERR_NETLINK' : failureCode(first);
    super(
      result.failures.every((failure) => failureCode(failure) === code) ? code : 'ERR_NETLINK',
      `${first?.operation ?? 'batch'}: ${describe(first?.error)}${others > 0 ? ` (and ${others} more failed)` : ''}`,
    );
    this.result = result;
  }
}

/** What one failure is, as a code to branch on. */
export function failureCode({ outcome, error }: OperationFailure): FailureCode {
  if (outcome === 'unknown') return 'ERR_NETLINK_LOST';
  switch (error.errnoName) {
    case 'EPERM':
      return 'ERR_PERMISSION';
    case 'EOPNOTSUPP':
    case 'IPSET_ERR_FIND_TYPE':
      return 'ERR_KERNEL_UNSUPPORTED';
    case 'ENOENT':
      return SERVICE_WRITES.has(error.command) ? 'ERR_SCHEDULER_UNKNOWN' : 'ERR_NETLINK';
    default:
      return 'ERR_NETLINK';
  }
}

/** Their ENOENT is about the scheduler or the persistence engine: a service that is not there is ESRCH. */
const SERVICE_WRITES: ReadonlySet<string> = new Set(['IPVS_CMD_NEW_SERVICE', 'IPVS_CMD_SET_SERVICE']);

function describe(error: NetlinkErrorDetails | undefined): string {
  return error === undefined ? 'failed' : `${error.errnoName} (${error.reason})`;
}
