// Local routes: records to rtnetlink messages and back (net/ipv4/fib_frontend.c, net/ipv6/route.c).
#ifndef IPVS_PROXIER_ROUTE_LOCAL_ROUTE_H_
#define IPVS_PROXIER_ROUTE_LOCAL_ROUTE_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "native/netlink/attributes.h"
#include "native/wire.h"

namespace proxier::route {

bool IsLocalRouteOperation(Opcode opcode);
// The interface a route record is about; empty when the record is not a whole one.
std::string_view LocalRouteLink(std::span<const uint8_t> record);
uint16_t LocalRouteType(Opcode opcode);
uint16_t LocalRouteFlags(Opcode opcode);
// Writes the body of a route operation. False when the record is not a whole one.
bool EncodeLocalRoute(std::span<const uint8_t> record, uint32_t index,
                      netlink::MessageWriter& writer);

// `owner`: the protocol number of the routes wanted, 0 = any.
void EncodeLocalRoutesRequest(uint8_t owner, netlink::MessageWriter& writer);
// Other routes than the local ones of that owner are left out (true, and nothing written): older
// kernels send every route there is.
bool DecodeLocalRoute(std::span<const uint8_t> payload, uint8_t owner, RecordWriter& out);

}  // namespace proxier::route

#endif  // IPVS_PROXIER_ROUTE_LOCAL_ROUTE_H_
