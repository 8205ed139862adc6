#include "native/route/local_route.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>

namespace proxier::route {
namespace {

using netlink::Attributes;
using netlink::MessageWriter;
using netlink::Value;

struct RouteRecord {
  uint8_t family;
  uint8_t prefix_length;
  uint8_t owner;
  bool with_source;
  std::span<const uint8_t> address;
  std::span<const uint8_t> source;
  std::string_view link;
  bool valid;
};

RouteRecord Read(std::span<const uint8_t> bytes) {
  RecordReader reader(bytes);
  RouteRecord record{};
  record.family = reader.U8();
  record.prefix_length = reader.U8();
  record.owner = reader.U8();
  record.with_source = reader.U8() != 0;
  record.address = reader.Address();
  record.source = reader.Address();
  record.link = reader.String();
  const bool four = record.family == 4;
  // To a delete, owner 0 is everybody's, and 2 the kernel's own routes.
  record.valid = reader.ok() && (four || record.family == 6) &&
                 record.prefix_length <= (four ? 32 : 128) && record.owner >= RTPROT_STATIC &&
                 !record.link.empty() && record.link.size() < IFNAMSIZ;
  return record;
}

rtmsg Header(uint8_t family, uint8_t prefix_length, uint8_t owner) {
  rtmsg header{};
  header.rtm_family = family;
  header.rtm_dst_len = prefix_length;
  header.rtm_table = RT_TABLE_LOCAL;
  header.rtm_protocol = owner;
  header.rtm_type = RTN_LOCAL;
  return header;
}

}  // namespace

bool IsLocalRouteOperation(Opcode opcode) {
  return opcode == Opcode::kAddLocalRoute || opcode == Opcode::kRemoveLocalRoute;
}

std::string_view LocalRouteLink(std::span<const uint8_t> record) {
  const RouteRecord route = Read(record);
  return route.valid ? route.link : std::string_view();
}

uint16_t LocalRouteType(Opcode opcode) {
  return opcode == Opcode::kAddLocalRoute ? RTM_NEWROUTE : RTM_DELROUTE;
}

// Appended, so that it stands beside the route that an address of the same prefix has brought, and
// is ours alone to remove. EEXIST is then exactly this route in IPv4; in IPv6, where next hops are
// compared and nothing else, it can be another owner's (lib/kernel/route-policy.ts asks whose).
uint16_t LocalRouteFlags(Opcode opcode) {
  return opcode == Opcode::kAddLocalRoute ? NLM_F_CREATE | NLM_F_APPEND : 0;
}

bool EncodeLocalRoute(std::span<const uint8_t> bytes, uint32_t index, MessageWriter& writer) {
  const RouteRecord record = Read(bytes);
  if (!record.valid || index == 0) return false;
  const bool four = record.family == 4;
  rtmsg header = Header(four ? AF_INET : AF_INET6, record.prefix_length, record.owner);
  header.rtm_scope = four ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  writer.Raw(&header, sizeof header);
  const size_t size = four ? 4 : 16;
  writer.PutBytes(RTA_DST, record.address.first(size));
  writer.PutU32(RTA_OIF, index);
  if (record.with_source) writer.PutBytes(RTA_PREFSRC, record.source.first(size));
  return true;
}

void EncodeLocalRoutesRequest(uint8_t owner, MessageWriter& writer) {
  const rtmsg header = Header(AF_UNSPEC, 0, owner);
  writer.Raw(&header, sizeof header);
  writer.PutU32(RTA_TABLE, RT_TABLE_LOCAL);
}

bool DecodeLocalRoute(std::span<const uint8_t> payload, uint8_t owner, RecordWriter& out) {
  rtmsg header;
  if (payload.size() < sizeof header) return false;
  std::memcpy(&header, payload.data(), sizeof header);
  if ((header.rtm_family != AF_INET && header.rtm_family != AF_INET6) ||
      header.rtm_type != RTN_LOCAL || (owner != 0 && header.rtm_protocol != owner) ||
      // Copies of routes that packets have made.
      (header.rtm_flags & RTM_F_CLONED) != 0) {
    return true;
  }
  const Attributes<RTA_TABLE + 1> route(payload.subspan(NLMSG_ALIGN(sizeof header)));
  const uint32_t table = route[RTA_TABLE].present() ? route[RTA_TABLE].U32() : header.rtm_table;
  if (table != RT_TABLE_LOCAL) return true;
  const bool four = header.rtm_family == AF_INET;
  const size_t size = four ? 4 : 16;
  const Value& address = route[RTA_DST];
  const Value& source = route[RTA_PREFSRC];
  // A prefix of no bits comes without its address.
  const bool whole = address.present() ? address.bytes().size() == size : header.rtm_dst_len == 0;
  if (!whole || header.rtm_dst_len > 8 * size || (source.present() && source.bytes().size() != size))
    return false;
  out.Begin(Opcode::kLocalRouteState);
  out.U32(route[RTA_OIF].U32());
  out.U8(four ? 4 : 6);
  out.U8(header.rtm_dst_len);
  out.U8(header.rtm_protocol);
  out.U8(source.present() ? 1 : 0);
  out.Address(address.bytes());
  out.Address(source.bytes());
  out.End();
  return true;
}

}  // namespace proxier::route
