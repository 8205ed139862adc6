/** What the kernel's error numbers are called, and what they mean for the command that got them (netlink.md sections 1 to 3). */
import type { NetlinkErrorDetails } from '../errors.ts';
import { NetlinkError } from '../errors.ts';
import type { Operation } from '../operations.ts';
import { objectText } from './text.ts';

/** The numbers shared by every architecture Linux runs Node on. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  ERANGE: 34,
  EBADMSG: 74,
  EMSGSIZE: 90,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Errno).map(([name, number]) => [number, name]));

/** include/uapi/linux/netfilter/ipset/ip_set.h: not errnos, beyond what strerror knows. */
const IPSET: ReadonlyMap<number, readonly [name: string, reason: string]> = new Map([
  [4097, ['IPSET_ERR_PROTOCOL', 'the message does not fit the set: is it of another type or family?']],
  [4098, ['IPSET_ERR_FIND_TYPE', 'the kernel does not know this set type: modprobe the ip_set module of the type']],
  [4099, ['IPSET_ERR_MAX_SETS', 'there are as many sets as the kernel allows']],
  [4100, ['IPSET_ERR_BUSY', 'the set is in use: an iptables rule or a dump refers to it']],
  [4101, ['IPSET_ERR_EXIST_SETNAME2', 'the second set does not exist']],
  [4102, ['IPSET_ERR_TYPE_MISMATCH', 'the two sets are of different types or families']],
  [4103, ['IPSET_ERR_EXIST', 'the entry is there already, or is not there']],
  [4104, ['IPSET_ERR_INVALID_CIDR', 'the set type does not take this prefix length']],
  [4105, ['IPSET_ERR_INVALID_NETMASK', 'the set does not take this netmask']],
  [4106, ['IPSET_ERR_INVALID_FAMILY', 'the set type does not take this address family']],
  [4107, ['IPSET_ERR_TIMEOUT', 'the set was created without time-outs']],
  [4108, ['IPSET_ERR_REFERENCED', 'the set is referred to and cannot be renamed']],
  [4109, ['IPSET_ERR_IPADDR_IPV4', 'an IPv4 address was expected']],
  [4110, ['IPSET_ERR_IPADDR_IPV6', 'an IPv6 address was expected']],
  [4111, ['IPSET_ERR_COUNTER', 'the set was created without counters']],
  [4112, ['IPSET_ERR_COMMENT', 'the set was created without comments']],
  [4113, ['IPSET_ERR_INVALID_MARKMASK', 'the mark mask is not one']],
  [4114, ['IPSET_ERR_SKBINFO', 'the set was created without skbinfo']],
  [4352, ['IPSET_ERR_HASH_FULL', 'the set is full: its maxElements is reached']],
  [4353, ['IPSET_ERR_HASH_ELEM', 'the set type does not take this element']],
  [4354, ['IPSET_ERR_INVALID_PROTO', 'the set type does not take this protocol']],
  [4355, ['IPSET_ERR_MISSING_PROTO', 'the entry needs a protocol']],
  [4356, ['IPSET_ERR_HASH_RANGE_UNSUPPORTED', 'the set type does not take ranges of this family']],
  [4357, ['IPSET_ERR_HASH_RANGE', 'the range is not one']],
]);

/** Of a test: the entry is not there. */
export const IPSET_ERR_EXIST = 4103;
export const IPSET_ERR_HASH_FULL = 4352;
const IPSET_ERR_FIND_TYPE = 4098;

/** `ENOENT`, `IPSET_ERR_HASH_FULL`; `errno 77` for one that has no name here. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? IPSET.get(errno)?.[0] ?? `errno ${errno}`;
}

const COMMAND: Readonly<Record<Operation['verb'], string>> = {
  'create-service': 'IPVS_CMD_NEW_SERVICE',
  'ensure-service': 'IPVS_CMD_NEW_SERVICE',
  'update-service': 'IPVS_CMD_SET_SERVICE',
  'remove-service': 'IPVS_CMD_DEL_SERVICE',
  'create-destination': 'IPVS_CMD_NEW_DEST',
  'ensure-destination': 'IPVS_CMD_NEW_DEST',
  'update-destination': 'IPVS_CMD_SET_DEST',
  'remove-destination': 'IPVS_CMD_DEL_DEST',
  'zero-service': 'IPVS_CMD_ZERO',
  'zero-services': 'IPVS_CMD_ZERO',
  'flush-services': 'IPVS_CMD_FLUSH',
  'set-timeouts': 'IPVS_CMD_SET_CONFIG',
  'create-set': 'IPSET_CMD_CREATE',
  'ensure-set': 'IPSET_CMD_CREATE',
  'remove-set': 'IPSET_CMD_DESTROY',
  'flush-set': 'IPSET_CMD_FLUSH',
  'swap-sets': 'IPSET_CMD_SWAP',
  'rename-set': 'IPSET_CMD_RENAME',
  'add-entry': 'IPSET_CMD_ADD',
  'remove-entry': 'IPSET_CMD_DEL',
  'ensure-link': 'RTM_NEWLINK',
  'remove-link': 'RTM_DELLINK',
  'add-address': 'RTM_NEWADDR',
  'remove-address': 'RTM_DELADDR',
  'ensure-address': 'RTM_NEWADDR',
  'add-local-route': 'RTM_NEWROUTE',
  'remove-local-route': 'RTM_DELROUTE',
  'remove-connection': 'IPCTNL_MSG_CT_DELETE',
};

type Subsystem = 'IPVS' | 'IPSET' | 'RTM' | 'IPCTNL';

function subsystemOf(command: string): Subsystem {
  if (command.startsWith('IPVS')) return 'IPVS';
  if (command.startsWith('IPSET')) return 'IPSET';
  return command.startsWith('IPCTNL') ? 'IPCTNL' : 'RTM';
}

const ABSENT: Readonly<Record<Subsystem, string>> = {
  IPVS: 'this kernel has no IPVS: modprobe ip_vs, or boot a kernel that has it',
  IPSET: 'this kernel has no ip_set: modprobe ip_set, or boot a kernel that has it',
  RTM: 'this kernel has no rtnetlink',
  IPCTNL: 'this kernel does not show its connections: modprobe nf_conntrack_netlink, or boot a kernel that has it',
};

const PERMISSION: Readonly<Record<Subsystem, string>> = {
  IPVS: 'needs CAP_NET_ADMIN in the initial user namespace: run as root, or give the container NET_ADMIN',
  IPSET: 'needs CAP_NET_ADMIN: run as root, or give the container NET_ADMIN',
  RTM: 'needs CAP_NET_ADMIN: run as root, or give the container NET_ADMIN',
  IPCTNL: 'needs CAP_NET_ADMIN: run as root, or give the container NET_ADMIN',
};

/** hash:ip,port is made by the module ip_set_hash_ipport. */
function moduleOf(type: string): string {
  return `ip_set_${type.replace(':', '_').replaceAll(',', '')}`;
}

/** What an errno means for one command, where that says more than its name. */
function particular(errno: number, operation: Operation): string | undefined {
  switch (operation.verb) {
    case 'create-service':
    case 'ensure-service':
    case 'update-service': {
      const { scheduler, persistenceEngine } = operation.service;
      if (errno === Errno.ENOENT) {
        const engine = persistenceEngine === undefined ? '' : `, or persistence engine ${persistenceEngine}`;
        return `scheduler ${scheduler}${engine} is not known to the kernel: modprobe ip_vs_${scheduler}`;
      }
      if (errno === Errno.EEXIST) return 'the virtual service exists already';
      if (errno === Errno.ESRCH) return 'the virtual service does not exist';
      return undefined;
    }
    case 'remove-service':
    case 'zero-service':
      return errno === Errno.ESRCH ? 'the virtual service does not exist' : undefined;
    case 'create-destination':
    case 'ensure-destination':
    case 'update-destination':
    case 'remove-destination':
      if (errno === Errno.ESRCH) return 'the virtual service does not exist';
      if (errno === Errno.ENOENT) return 'the virtual service has no such destination';
      if (errno === Errno.EEXIST) return 'the destination exists already';
      if (errno === Errno.EINVAL) {
        return 'the kernel does not take this destination: not a unicast address, or lo was never up in this network namespace';
      }
      return undefined;
    case 'create-set':
    case 'ensure-set':
      if (errno === IPSET_ERR_FIND_TYPE) {
        return `this kernel has no set type ${operation.set.type}: modprobe ${moduleOf(operation.set.type)}`;
      }
      if (errno === Errno.EOPNOTSUPP) {
        return `this kernel's ${operation.set.type} is of a revision without comments: leave comment out, or use a newer kernel`;
      }
      if (errno !== Errno.EEXIST) return undefined;
      return operation.verb === 'create-set'
        ? 'the set exists already'
        : 'a set of that name but of other properties exists';
    case 'rename-set':
      if (errno === 4101 || errno === Errno.EEXIST) return 'a set of the new name exists already';
      return errno === Errno.ENOENT ? 'there is no such set' : undefined;
    case 'add-entry':
    case 'remove-entry':
      if (errno === IPSET_ERR_HASH_FULL && operation.set.type === 'bitmap:port')
        return 'the port is not in the range of the set';
      if (errno === 4097 || errno === 4109 || errno === 4110)
        return `the set is not a ${operation.set.type} of ${operation.set.family}, or it lacks what the entry needs`;
      return errno === Errno.ENOENT ? 'there is no such set' : undefined;
    case 'ensure-link':
      if (errno === Errno.EEXIST) return 'a link of that name exists that is not a dummy';
      return errno === Errno.EOPNOTSUPP ? 'this kernel has no dummy links: modprobe dummy' : undefined;
    case 'remove-link':
      return errno === Errno.EINVAL ? 'the link is not a dummy' : undefined;
    case 'add-address':
    case 'ensure-address':
      if (errno === Errno.EACCES) return 'IPv6 is disabled on the link (sysctl disable_ipv6)';
      return errno === Errno.ENODEV ? 'there is no such link' : undefined;
    case 'remove-address':
      return undefined;
    case 'add-local-route':
    case 'remove-local-route':
      if (errno === Errno.ENODEV) return 'there is no such link';
      if (errno === Errno.ENETDOWN) return 'the link is down: set it up first';
      return errno === Errno.EINVAL
        ? 'the kernel does not take this route: is the source an address of this host?'
        : undefined;
    case 'remove-connection':
      return undefined;
    default:
      return errno === Errno.ENOENT ? 'there is no such set' : undefined;
  }
}

function general(errno: number, subsystem: Subsystem): string {
  switch (errno) {
    case Errno.EPERM:
      return PERMISSION[subsystem];
    case Errno.EOPNOTSUPP:
    case Errno.EPROTONOSUPPORT:
      return 'this kernel does not support it';
    case Errno.ENOMEM:
    case Errno.ENOBUFS:
      return 'the kernel has no memory for it';
    case Errno.EMFILE:
    case Errno.ENFILE:
      return 'no more files can be opened: raise the limit (ulimit -n)';
    case Errno.ERANGE:
      return 'a value is out of range';
    case Errno.EINVAL:
      return 'the kernel does not take these values';
    case Errno.EBUSY:
      return 'the object is in use';
    case Errno.EBADMSG:
      return 'the record was malformed and was not sent: please report this';
    default:
      return IPSET.get(errno)?.[1] ?? 'the kernel refused';
  }
}

/** The field of the operation that the errno is about, where there is only one it can be. */
function fieldOf(errno: number, operation: Operation): { readonly field?: string } {
  if (errno !== Errno.ENOENT || !('service' in operation)) return {};
  return operation.service.persistenceEngine === undefined ? { field: 'service.scheduler' } : {};
}

/** The details of one operation's failure. `kernelText`: the extended acknowledgement, if there was one. */
export function operationError(operation: Operation, errno: number, kernelText?: string): NetlinkErrorDetails {
  const command = COMMAND[operation.verb];
  const reason = particular(errno, operation) ?? general(errno, subsystemOf(command));
  return {
    errno,
    errnoName: errnoName(errno),
    command,
    object: objectText(operation),
    reason: kernelText === undefined ? reason : `${reason}; the kernel says: ${kernelText}`,
    ...fieldOf(errno, operation),
  };
}

/** No answer was seen: the receive buffer overflowed. */
export function lostError(operation: Operation): NetlinkErrorDetails {
  const reason = 'the answer was lost, the outcome is unknown';
  return {
    errno: Errno.ENOBUFS,
    errnoName: 'ENOBUFS',
    command: COMMAND[operation.verb],
    object: objectText(operation),
    reason,
  };
}

/** The subsystem is not there. EOPNOTSUPP, so that it is not taken for an object that is missing. */
export function absentError(command: string, object: string): NetlinkErrorDetails {
  return {
    errno: Errno.EOPNOTSUPP,
    errnoName: 'EOPNOTSUPP',
    command,
    object,
    reason: ABSENT[subsystemOf(command)],
  };
}

export function absentOperationError(operation: Operation): NetlinkErrorDetails {
  return absentError(COMMAND[operation.verb], objectText(operation));
}

/** A call that failed as a whole, as an error to throw. */
export function callError(command: string, object: string, errno: number): NetlinkError {
  const subsystem = subsystemOf(command);
  const reason = subsystem === 'IPSET' && errno === Errno.ENOENT ? 'there is no such set' : general(errno, subsystem);
  const code = errno === Errno.EPERM ? 'ERR_PERMISSION' : 'ERR_NETLINK';
  return new NetlinkError(code, { errno, errnoName: errnoName(errno), command, object, reason });
}
