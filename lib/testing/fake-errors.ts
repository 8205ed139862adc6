/** How the fake kernel says no: the error numbers of the real one, by name. */
import { NetlinkError } from '../errors.ts';
import { absentError, callError, Errno } from '../kernel/errno.ts';

/** include/uapi/linux/netfilter/ipset/ip_set.h, as far as the fake kernel gives them or a test may want them. */
const ipset = {
  IPSET_ERR_PROTOCOL: 4097,
  IPSET_ERR_FIND_TYPE: 4098,
  IPSET_ERR_MAX_SETS: 4099,
  IPSET_ERR_BUSY: 4100,
  IPSET_ERR_EXIST_SETNAME2: 4101,
  IPSET_ERR_TYPE_MISMATCH: 4102,
  IPSET_ERR_EXIST: 4103,
  IPSET_ERR_INVALID_CIDR: 4104,
  IPSET_ERR_TIMEOUT: 4107,
  IPSET_ERR_REFERENCED: 4108,
  IPSET_ERR_COMMENT: 4112,
  IPSET_ERR_HASH_FULL: 4352,
  IPSET_ERR_HASH_ELEM: 4353,
  IPSET_ERR_MISSING_PROTO: 4355,
  IPSET_ERR_HASH_RANGE_UNSUPPORTED: 4356,
} as const;

export type ErrnoName = keyof typeof Errno | keyof typeof ipset;

const numbers: Readonly<Record<ErrnoName, number>> = { ...Errno, ...ipset };

export function errnoOf(name: ErrnoName): number {
  return numbers[name];
}

/** As a session throws it for a call that fails as a whole. `absent`: the kernel does not have that subsystem. */
export function fakeFailure(name: ErrnoName | 'absent', command: string, object: string): NetlinkError {
  if (name === 'absent') return new NetlinkError('ERR_KERNEL_UNSUPPORTED', absentError(command, object));
  return callError(command, object, errnoOf(name));
}
