#ifndef IPVS_PROXIER_NETLINK_FAMILY_H_
#define IPVS_PROXIER_NETLINK_FAMILY_H_

#include <cstdint>

#include "native/netlink/transport.h"

namespace proxier::netlink {

struct Family {
  // 0: `id` is the generic netlink family's number now (it changes when the module is loaded anew).
  // kAbsent: the kernel has no such family, and could not load the module for it. Otherwise an
  // errno or kUnknown.
  int32_t error = 0;
  uint16_t id = 0;
};

// One question, answered within the send: a family that is not there is an answer too, never a
// wait.
Family ResolveFamily(Transport& transport, const char* name);

}  // namespace proxier::netlink

#endif  // IPVS_PROXIER_NETLINK_FAMILY_H_
