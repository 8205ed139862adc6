/** How the fake kernel says no: the errno numbers and names of the real one (netlink.md sections 1 to 3). */
import type { NetlinkErrorDetails } from '../errors.ts';
import { NetlinkError } from '../errors.ts';

const errnos = {
  EPERM: [1, 'needs CAP_NET_ADMIN'],
  ENOENT: [2, 'does not exist'],
  ESRCH: [3, 'no such virtual service'],
  ENOMEM: [12, 'out of memory'],
  EEXIST: [17, 'exists already'],
  ENODEV: [19, 'no such device'],
  EINVAL: [22, 'invalid argument'],
  EMFILE: [24, 'too many open files'],
  ERANGE: [34, 'out of range'],
  EOPNOTSUPP: [95, 'not supported by this kernel'],
  ENOBUFS: [105, 'the answer was lost'],
  IPSET_ERR_PROTOCOL: [4097, 'the message does not fit the set'],
  IPSET_ERR_FIND_TYPE: [4098, 'unknown set type'],
  IPSET_ERR_BUSY: [4100, 'the set is in use'],
  IPSET_ERR_EXIST_SETNAME2: [4101, 'the second set does not exist'],
  IPSET_ERR_TYPE_MISMATCH: [4102, 'the sets are of different types'],
  IPSET_ERR_HASH_FULL: [4352, 'the set is full'],
} as const;

export type ErrnoName = keyof typeof errnos;

export function fakeError(
  name: ErrnoName,
  command: string,
  object: string,
  reason: string = errnos[name][1],
): NetlinkErrorDetails {
  return { errno: errnos[name][0], errnoName: name, command, object, reason };
}

/** As a session throws it for a call that fails as a whole. */
export function fakeFailure(details: NetlinkErrorDetails): NetlinkError {
  const code =
    details.errnoName === 'EPERM'
      ? 'ERR_PERMISSION'
      : details.errnoName === 'EOPNOTSUPP'
        ? 'ERR_KERNEL_UNSUPPORTED'
        : 'ERR_NETLINK';
  return new NetlinkError(code, details);
}
