/**
 * Every error this package throws on purpose. Branch on `code`, never on the message or the class: codes are stable, and hold across
 * copies of the package in one process.
 * Errors cross threads as {@link ErrorRecord}s, because structured clone strips class, name and code.
 */

export type ErrorCode =
  /** A kernel operation was refused: see {@link NetlinkError}. */
  | 'ERR_NETLINK'
  /** No answer was seen for operations that were sent: their outcome is unknown. */
  | 'ERR_NETLINK_LOST'
  | 'ERR_PERMISSION'
  /** The kernel has no IPVS, no ip_set, no set of that type, or no dummy device. */
  | 'ERR_KERNEL_UNSUPPORTED'
  /** The scheduler, or the persistence engine, is not known to the kernel. */
  | 'ERR_SCHEDULER_UNKNOWN'
  /** The native addon is not there: not Linux, or not built. */
  | 'ERR_ADDON'
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_CLOSED'
  | 'ERR_IPTABLES'
  /** Both iptables backends hold KUBE chains. */
  | 'ERR_IPTABLES_CONFLICT'
  | 'ERR_SYSCTL'
  | 'ERR_KUBE_CONFIG'
  | 'ERR_KUBE_API'
  | 'ERR_MANIFEST'
  /** A file is no recording that this version can replay, or cannot be read. */
  | 'ERR_RECORDING'
  /** The worker died or was replaced while it had the request. */
  | 'ERR_WORKER'
  /** Another service proxy works on the same tables. */
  | 'ERR_OTHER_PROXIER'
  /** The admin socket cannot be made, or nobody answers there. */
  | 'ERR_ADMIN_SOCKET'
  | 'ERR_TIMEOUT';

export class ProxierError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

export interface NetlinkErrorDetails {
  /** Positive errno; ipset's own codes start at 4096. */
  readonly errno: number;
  /** `ENOENT`, `IPSET_ERR_HASH_FULL`, … */
  readonly errnoName: string;
  /** The kernel command, e.g. `IPVS_CMD_NEW_DEST`. */
  readonly command: string;
  /** The object, as users write it: `tcp 10.96.0.10:80 -> 10.244.1.5:8080`. */
  readonly object: string;
  /** What the errno means for this command, in words. */
  readonly reason: string;
  /** The field of the operation that it is about, where only one can be meant: `service.scheduler`. */
  readonly field?: string;
}

/** The kernel answered an operation with an error. The message names command, object, errno and reason. */
export class NetlinkError extends ProxierError implements NetlinkErrorDetails {
  readonly errno: number;
  readonly errnoName: string;
  readonly command: string;
  readonly object: string;
  readonly reason: string;
  readonly field?: string;
  constructor(
    code: 'ERR_NETLINK' | 'ERR_PERMISSION' | 'ERR_KERNEL_UNSUPPORTED' | 'ERR_SCHEDULER_UNKNOWN' | 'ERR_NETLINK_LOST',
    details: NetlinkErrorDetails,
  ) {
    super(code, `${details.command} ${details.object}: ${details.errnoName} (${details.reason})`);
    this.errno = details.errno;
    this.errnoName = details.errnoName;
    this.command = details.command;
    this.object = details.object;
    this.reason = details.reason;
    if (details.field !== undefined) this.field = details.field;
  }
}

/** A bad value from the caller: names the field, the value and what is allowed. */
export class InvalidArgumentError extends ProxierError {
  readonly field: string;
  constructor(field: string, message: string) {
    super('ERR_INVALID_ARGUMENT', `${field}: ${message}`);
    this.field = field;
  }
}

/** An error as plain data, for messages between threads, events and reports. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly netlink?: NetlinkErrorDetails;
  readonly field?: string;
  readonly stack?: string;
}

/** The error as plain data. One that is not of this package gets the code `fallback`. */
export function toErrorRecord(error: unknown, fallback: ErrorCode = 'ERR_WORKER'): ErrorRecord {
  if (error instanceof NetlinkError) {
    const { code, message, errno, errnoName, command, object, reason, field } = error;
    const about = field === undefined ? {} : { field };
    return { code, message, netlink: { errno, errnoName, command, object, reason, ...about } };
  }
  if (error instanceof InvalidArgumentError) return { code: error.code, message: error.message, field: error.field };
  if (error instanceof ProxierError) return { code: error.code, message: error.message };
  if (error instanceof Error) {
    return { code: fallback, message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
  }
  return { code: fallback, message: String(error) };
}

/** The error again, with its class and code. */
export function fromErrorRecord(record: ErrorRecord): ProxierError {
  if (record.netlink !== undefined) {
    switch (record.code) {
      case 'ERR_NETLINK':
      case 'ERR_PERMISSION':
      case 'ERR_KERNEL_UNSUPPORTED':
      case 'ERR_SCHEDULER_UNKNOWN':
      case 'ERR_NETLINK_LOST':
        return new NetlinkError(record.code, record.netlink);
    }
  }
  if (record.field !== undefined) {
    return new InvalidArgumentError(record.field, record.message.slice(record.field.length + 2));
  }
  const error = new ProxierError(record.code, record.message);
  if (record.stack !== undefined) error.stack = record.stack;
  return error;
}
