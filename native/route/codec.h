// Link and address records to rtnetlink messages and back (rtnetlink(7), net/core/rtnetlink.c,
// net/ipv4/devinet.c).
#ifndef IPVS_PROXIER_ROUTE_CODEC_H_
#define IPVS_PROXIER_ROUTE_CODEC_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "native/netlink/attributes.h"
#include "native/netlink/transport.h"
#include "native/wire.h"

namespace proxier::route {

struct Link {
  // 0, ENODEV when there is none of that name, another errno, or kUnknown.
  int32_t error = 0;
  uint32_t index = 0;
  // IFLA_INFO_KIND: `dummy`, `veth`; empty for a physical device and lo.
  std::string kind;
};
// Asks the kernel of the transport's own network namespace (if_nametoindex would ask the thread's).
Link FindLink(netlink::Transport& transport, std::string_view name);

// Creates a dummy link, down. EEXIST when the name is taken.
int32_t CreateDummy(netlink::Transport& transport, std::string_view name, std::string* text);
int32_t RemoveLink(netlink::Transport& transport, uint32_t index, std::string* text);

// The interface an address record is about; empty when the record is not a whole one.
std::string_view AddressLink(std::span<const uint8_t> record);
// nlmsg_type and nlmsg_flags of an address operation.
uint16_t MessageType(Opcode opcode);
uint16_t MessageFlags(Opcode opcode);
// Writes the body of an address operation. False when the record is not a whole one.
bool EncodeAddress(Opcode opcode, std::span<const uint8_t> record, uint32_t index,
                   netlink::MessageWriter& writer);

void EncodeLinksRequest(netlink::MessageWriter& writer);
void EncodeAddressesRequest(netlink::MessageWriter& writer);
// `flags`: the record's header flags. Messages about a link's part in a bridge are left out.
bool DecodeLink(std::span<const uint8_t> payload, RecordWriter& out, uint8_t flags = 0);
// Addresses of other families than IPv4 and IPv6 are left out (true, and nothing written).
bool DecodeAddress(std::span<const uint8_t> payload, RecordWriter& out, uint8_t flags = 0);

}  // namespace proxier::route

#endif  // IPVS_PROXIER_ROUTE_CODEC_H_
