#include "native/route/codec.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include "native/netlink/exchange.h"

namespace proxier::route {
namespace {

using netlink::Attributes;
using netlink::MessageWriter;
using netlink::Request;

constexpr char kDummy[] = "dummy";
// A lifetime without an end.
constexpr uint32_t kForever = 0xffffffffU;

void PutLinkHeader(uint32_t index, MessageWriter& writer) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = static_cast<int>(index);
  writer.Raw(&header, sizeof header);
}

// Statistics are most of a link's message, and nobody here wants them.
void SkipStatistics(MessageWriter& writer) {
  writer.PutU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

std::string_view KindOf(const Attributes<IFLA_EXT_MASK + 1>& link) {
  return Attributes<IFLA_INFO_KIND + 1>(link[IFLA_LINKINFO])[IFLA_INFO_KIND].String();
}

struct AddressRecord {
  uint8_t family;
  uint8_t prefix_length;
  uint8_t scope;
  uint8_t flags;
  std::span<const uint8_t> address;
  uint32_t valid_seconds;
  uint32_t preferred_seconds;
  std::string_view link;
  bool valid;
};

AddressRecord ReadAddress(std::span<const uint8_t> bytes) {
  RecordReader reader(bytes);
  AddressRecord record{};
  record.family = reader.U8();
  record.prefix_length = reader.U8();
  record.scope = reader.U8();
  record.flags = reader.U8();
  record.address = reader.Address();
  record.valid_seconds = reader.U32();
  record.preferred_seconds = reader.U32();
  record.link = reader.String();
  const bool four = record.family == 4;
  record.valid = reader.ok() && (four || record.family == 6) &&
                 record.prefix_length <= (four ? 32 : 128) && !record.link.empty() &&
                 record.link.size() < IFNAMSIZ;
  return record;
}

uint8_t RecordFlags(uint32_t flags) {
  return static_cast<uint8_t>(((flags & IFA_F_NODAD) != 0 ? kAddressNoDad : 0) |
                              ((flags & IFA_F_NOPREFIXROUTE) != 0 ? kAddressNoPrefixRoute : 0) |
                              ((flags & IFA_F_DEPRECATED) != 0 ? kAddressDeprecated : 0) |
                              ((flags & IFA_F_TENTATIVE) != 0 ? kAddressTentative : 0) |
                              ((flags & IFA_F_DADFAILED) != 0 ? kAddressDadFailed : 0));
}

}  // namespace

Link FindLink(netlink::Transport& transport, std::string_view name) {
  Request request(transport, RTM_GETLINK, 0);
  PutLinkHeader(0, request.writer());
  request.writer().PutString(IFLA_IFNAME, name);
  SkipStatistics(request.writer());
  Link link;
  link.error = netlink::Ask(transport, request.bytes(), [&](std::span<const uint8_t> payload) {
    ifinfomsg header;
    if (payload.size() < sizeof header) return;
    std::memcpy(&header, payload.data(), sizeof header);
    link.index = static_cast<uint32_t>(header.ifi_index);
    link.kind = KindOf(Attributes<IFLA_EXT_MASK + 1>(payload.subspan(NLMSG_ALIGN(sizeof header))));
  });
  if (link.error == 0 && link.index == 0) link.error = kUnknown;
  return link;
}

int32_t CreateDummy(netlink::Transport& transport, std::string_view name, std::string* text) {
  Request request(transport, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  MessageWriter& writer = request.writer();
  PutLinkHeader(0, writer);
  writer.PutString(IFLA_IFNAME, name);
  const size_t info = writer.BeginNest(IFLA_LINKINFO);
  writer.PutString(IFLA_INFO_KIND, kDummy);
  writer.EndNest(info);
  return netlink::Ask(
      transport, request.bytes(), [](std::span<const uint8_t>) {}, text);
}

int32_t RemoveLink(netlink::Transport& transport, uint32_t index, std::string* text) {
  Request request(transport, RTM_DELLINK, NLM_F_ACK);
  PutLinkHeader(index, request.writer());
  return netlink::Ask(
      transport, request.bytes(), [](std::span<const uint8_t>) {}, text);
}

std::string_view AddressLink(std::span<const uint8_t> record) {
  const AddressRecord address = ReadAddress(record);
  return address.valid ? address.link : std::string_view();
}

uint16_t MessageType(Opcode opcode) {
  return opcode == Opcode::kRemoveAddress ? RTM_DELADDR : RTM_NEWADDR;
}

// Without NLM_F_REPLACE an address that is there answers EEXIST and stays as it is: cheaper, and
// adopted scopes are kept.
uint16_t MessageFlags(Opcode opcode) {
  if (opcode == Opcode::kAddAddress) return NLM_F_CREATE | NLM_F_EXCL;
  return opcode == Opcode::kEnsureAddress ? NLM_F_CREATE | NLM_F_REPLACE : 0;
}

bool EncodeAddress(Opcode opcode, std::span<const uint8_t> bytes, uint32_t index,
                   MessageWriter& writer) {
  const AddressRecord record = ReadAddress(bytes);
  if (!record.valid || index == 0) return false;
  const bool four = record.family == 4;
  ifaddrmsg header{};
  header.ifa_family = four ? AF_INET : AF_INET6;
  header.ifa_prefixlen = record.prefix_length;
  header.ifa_scope = record.scope;
  header.ifa_index = index;
  writer.Raw(&header, sizeof header);
  const std::span<const uint8_t> address = record.address.first(four ? 4 : 16);
  writer.PutBytes(IFA_LOCAL, address);
  writer.PutBytes(IFA_ADDRESS, address);
  if (opcode == Opcode::kRemoveAddress) return true;
  uint32_t flags = 0;
  if ((record.flags & kAddressNoDad) != 0) flags |= IFA_F_NODAD;
  if ((record.flags & kAddressNoPrefixRoute) != 0) flags |= IFA_F_NOPREFIXROUTE;
  if (flags != 0) writer.PutU32(IFA_FLAGS, flags);
  if (record.valid_seconds != kForever || record.preferred_seconds != kForever) {
    const ifa_cacheinfo lifetimes = {.ifa_prefered = record.preferred_seconds,
                                     .ifa_valid = record.valid_seconds,
                                     .cstamp = 0,
                                     .tstamp = 0};
    writer.Put(IFA_CACHEINFO, &lifetimes, sizeof lifetimes);
  }
  return true;
}

void EncodeLinksRequest(MessageWriter& writer) {
  PutLinkHeader(0, writer);
  SkipStatistics(writer);
}

void EncodeAddressesRequest(MessageWriter& writer) {
  ifaddrmsg header{};
  header.ifa_family = AF_UNSPEC;
  writer.Raw(&header, sizeof header);
}

bool DecodeLink(std::span<const uint8_t> payload, RecordWriter& out, uint8_t record_flags) {
  ifinfomsg header;
  if (payload.size() < sizeof header) return false;
  std::memcpy(&header, payload.data(), sizeof header);
  // A port that leaves its bridge is told as a removed link of the bridge's family.
  if (header.ifi_family != AF_UNSPEC) return true;
  const Attributes<IFLA_EXT_MASK + 1> link(payload.subspan(NLMSG_ALIGN(sizeof header)));
  if (!link[IFLA_IFNAME].present()) return false;
  out.Begin(Opcode::kLinkState, record_flags);
  out.U32(static_cast<uint32_t>(header.ifi_index));
  out.U32((header.ifi_flags & IFF_UP) != 0 ? 1 : 0);
  out.String(link[IFLA_IFNAME].String());
  out.String(KindOf(link));
  out.End();
  return true;
}

bool DecodeAddress(std::span<const uint8_t> payload, RecordWriter& out, uint8_t record_flags) {
  ifaddrmsg header;
  if (payload.size() < sizeof header) return false;
  std::memcpy(&header, payload.data(), sizeof header);
  if (header.ifa_family != AF_INET && header.ifa_family != AF_INET6) return true;
  const Attributes<IFA_FLAGS + 1> address(payload.subspan(NLMSG_ALIGN(sizeof header)));
  // On a point-to-point link IFA_ADDRESS is the peer; IPv6 has IFA_LOCAL only then.
  const netlink::Value& own =
      address[IFA_LOCAL].present() ? address[IFA_LOCAL] : address[IFA_ADDRESS];
  if (own.bytes().size() != (header.ifa_family == AF_INET ? 4U : 16U)) return false;
  const uint32_t flags = address[IFA_FLAGS].present() ? address[IFA_FLAGS].U32() : header.ifa_flags;
  ifa_cacheinfo lifetimes = {
      .ifa_prefered = kForever, .ifa_valid = kForever, .cstamp = 0, .tstamp = 0};
  const std::span<const uint8_t> cache = address[IFA_CACHEINFO].bytes();
  if (cache.size() >= sizeof lifetimes) std::memcpy(&lifetimes, cache.data(), sizeof lifetimes);
  out.Begin(Opcode::kAddressState, record_flags);
  out.U32(header.ifa_index);
  out.U8(header.ifa_family == AF_INET ? 4 : 6);
  out.U8(header.ifa_prefixlen);
  out.U8(header.ifa_scope);
  out.U8(RecordFlags(flags));
  out.Address(own.bytes());
  out.U32(lifetimes.ifa_valid);
  out.U32(lifetimes.ifa_prefered);
  out.End();
  return true;
}

}  // namespace proxier::route
