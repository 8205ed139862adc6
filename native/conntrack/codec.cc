#include "native/conntrack/codec.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "native/netlink/exchange.h"

namespace proxier::conntrack {
namespace {

using netlink::Attributes;
using netlink::MessageWriter;
using netlink::Value;

// CTA_FILTER_F_CTA_* of nf_conntrack_netlink.c, the bits of CTA_FILTER_ORIG_FLAGS and _REPLY_FLAGS,
// which no uapi header names.
constexpr uint32_t kMatchSource = 1U << 0;
constexpr uint32_t kMatchDestination = 1U << 1;
constexpr uint32_t kMatchProtocol = 1U << 3;
constexpr uint32_t kMatchSourcePort = 1U << 4;
constexpr uint32_t kMatchDestinationPort = 1U << 5;
// Since Linux 5.8; the distribution's header may be older.
constexpr uint16_t kCtaFilter = 25;
constexpr uint16_t kCtaFilterOriginal = 1;
constexpr uint16_t kCtaFilterReply = 2;

// Fields of a filter record: ConnectionField of lib/kernel/wire.ts.
constexpr uint16_t kOriginalSource = 0x1;
constexpr uint16_t kOriginalDestination = 0x2;
constexpr uint16_t kOriginalSourcePort = 0x4;
constexpr uint16_t kOriginalDestinationPort = 0x8;
constexpr int kReplyShift = 4;
constexpr uint16_t kMark = 0x100;
constexpr uint16_t kZone = 0x200;

constexpr uint8_t kIcmp = IPPROTO_ICMP;
constexpr uint8_t kIcmp6 = IPPROTO_ICMPV6;

bool HasPorts(uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

// Protocols whose tuples are understood, in the family they belong to.
bool Known(uint8_t protocol, bool four) {
  return HasPorts(protocol) || (four ? protocol == kIcmp : protocol == kIcmp6);
}

uint16_t TypeOf(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

void PutHeader(uint8_t family, MessageWriter& writer) {
  const nfgenmsg header = {
      .nfgen_family = static_cast<uint8_t>(family == 0   ? AF_UNSPEC
                                           : family == 4 ? AF_INET
                                                         : AF_INET6),
      .version = NFNETLINK_V0,
      .res_id = 0};
  writer.Raw(&header, sizeof header);
}

void PutAddresses(const Tuple& tuple, bool four, bool source, bool destination,
                  MessageWriter& writer) {
  const size_t nest = writer.BeginNest(CTA_TUPLE_IP);
  const size_t size = four ? 4 : 16;
  if (source) {
    writer.PutBytes(four ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, std::span(tuple.source).first(size));
  }
  if (destination) {
    writer.PutBytes(four ? CTA_IP_V4_DST : CTA_IP_V6_DST, std::span(tuple.destination).first(size));
  }
  writer.EndNest(nest);
}

// The attributes of an ICMP tuple.
struct IcmpTypes {
  uint16_t id;
  uint16_t type;
  uint16_t code;
};
IcmpTypes IcmpTypesOf(uint8_t protocol) {
  return protocol == kIcmp ? IcmpTypes{CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE}
                           : IcmpTypes{CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE,
                                       CTA_PROTO_ICMPV6_CODE};
}

void PutProtocol(const Tuple& tuple, MessageWriter& writer) {
  const size_t nest = writer.BeginNest(CTA_TUPLE_PROTO);
  writer.PutU8(CTA_PROTO_NUM, tuple.protocol);
  if (HasPorts(tuple.protocol)) {
    writer.PutBe16(CTA_PROTO_SRC_PORT, tuple.source_port);
    writer.PutBe16(CTA_PROTO_DST_PORT, tuple.destination_port);
  } else {
    const IcmpTypes types = IcmpTypesOf(tuple.protocol);
    writer.PutBe16(types.id, tuple.source_port);
    writer.PutU8(types.type, static_cast<uint8_t>(tuple.destination_port >> 8));
    writer.PutU8(types.code, static_cast<uint8_t>(tuple.destination_port & 0xff));
  }
  writer.EndNest(nest);
}

void CopyAddress(std::array<uint8_t, kAddressBytes>& to, std::span<const uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), to.begin());
}

// The tuple in a nest, when it is whole and of a known protocol.
bool ReadTuple(const Value& nest, bool four, Tuple& tuple) {
  if (!nest.present()) return false;
  const Attributes<CTA_TUPLE_ZONE + 1> parts(nest);
  const Attributes<CTA_IP_V6_DST + 1> addresses(parts[CTA_TUPLE_IP]);
  const Value& source = addresses[four ? CTA_IP_V4_SRC : CTA_IP_V6_SRC];
  const Value& destination = addresses[four ? CTA_IP_V4_DST : CTA_IP_V6_DST];
  const size_t size = four ? 4 : 16;
  if (source.bytes().size() != size || destination.bytes().size() != size) return false;
  const Attributes<CTA_PROTO_ICMPV6_CODE + 1> protocol(parts[CTA_TUPLE_PROTO]);
  if (protocol[CTA_PROTO_NUM].bytes().size() != 1) return false;
  tuple.protocol = protocol[CTA_PROTO_NUM].U8();
  if (!Known(tuple.protocol, four)) return false;
  if (HasPorts(tuple.protocol)) {
    const Value& from = protocol[CTA_PROTO_SRC_PORT];
    const Value& to = protocol[CTA_PROTO_DST_PORT];
    if (from.bytes().size() != 2 || to.bytes().size() != 2) return false;
    tuple.source_port = from.Be16();
    tuple.destination_port = to.Be16();
  } else {
    const IcmpTypes types = IcmpTypesOf(tuple.protocol);
    const Value& id = protocol[types.id];
    const Value& type = protocol[types.type];
    const Value& code = protocol[types.code];
    if (id.bytes().size() != 2 || type.bytes().size() != 1 || code.bytes().size() != 1) {
      return false;
    }
    tuple.source_port = id.Be16();
    tuple.destination_port = static_cast<uint16_t>(type.U8() << 8 | code.U8());
  }
  CopyAddress(tuple.source, source.bytes());
  CopyAddress(tuple.destination, destination.bytes());
  return true;
}

// A zone is the connection's, or of one direction of it.
uint16_t ZoneOf(const Attributes<CTA_ZONE + 1>& connection) {
  if (connection[CTA_ZONE].present()) return connection[CTA_ZONE].Be16();
  return Attributes<CTA_TUPLE_ZONE + 1>(connection[CTA_TUPLE_ORIG])[CTA_TUPLE_ZONE].Be16();
}

void TakeAddress(RecordReader& reader, std::array<uint8_t, kAddressBytes>& to) {
  CopyAddress(to, reader.Address());
}

}  // namespace

uint16_t DeleteMessageType() { return TypeOf(IPCTNL_MSG_CT_DELETE); }
uint16_t GetMessageType() { return TypeOf(IPCTNL_MSG_CT_GET); }

int32_t Probe(netlink::Transport& transport) {
  netlink::Request request(transport, TypeOf(IPCTNL_MSG_CT_GET_STATS), NLM_F_ACK);
  PutHeader(0, request.writer());
  const int32_t error =
      netlink::Ask(transport, request.bytes(), [](std::span<const uint8_t>) {});
  // nfnetlink's answer for a subsystem that is not there.
  return error == EINVAL || error == EOPNOTSUPP ? kAbsent : error;
}

bool EncodeRemoval(std::span<const uint8_t> record, MessageWriter& writer) {
  RecordReader reader(record);
  const uint8_t family = reader.U8();
  Tuple tuple;
  tuple.protocol = reader.U8();
  const uint16_t zone = reader.U16();
  const uint32_t id = reader.U32();
  const bool with_id = reader.U32() != 0;
  tuple.source_port = reader.U16();
  tuple.destination_port = reader.U16();
  TakeAddress(reader, tuple.source);
  TakeAddress(reader, tuple.destination);
  if (!reader.ok() || (family != 4 && family != 6)) return false;
  const bool four = family == 4;
  if (!Known(tuple.protocol, four)) return false;
  const size_t body = writer.length();
  PutHeader(family, writer);
  const size_t nest = writer.BeginNest(CTA_TUPLE_ORIG);
  PutAddresses(tuple, four, true, true, writer);
  PutProtocol(tuple, writer);
  writer.EndNest(nest);
  if (zone != 0) writer.PutBe16(CTA_ZONE, zone);
  if (with_id) writer.PutBe32(CTA_ID, id);
  // What counts is what would be sent.
  return !writer.overflowed() && NamesOneConnection(writer.written(body));
}

bool NamesOneConnection(std::span<const uint8_t> body) {
  nfgenmsg header;
  if (body.size() < sizeof header) return false;
  std::memcpy(&header, body.data(), sizeof header);
  if (header.nfgen_family != AF_INET && header.nfgen_family != AF_INET6) return false;
  const Attributes<CTA_ZONE + 1> connection(body.subspan(NLMSG_ALIGN(sizeof header)));
  Tuple tuple;
  return ReadTuple(connection[CTA_TUPLE_ORIG], header.nfgen_family == AF_INET, tuple);
}

bool Filter::Read(std::span<const uint8_t> record) {
  RecordReader reader(record);
  family_ = reader.U8();
  protocol_ = reader.U8();
  fields_ = reader.U16();
  original_.source_port = reader.U16();
  original_.destination_port = reader.U16();
  reply_.source_port = reader.U16();
  reply_.destination_port = reader.U16();
  zone_ = reader.U16();
  reader.U16();
  mark_ = reader.U32();
  mark_mask_ = reader.U32();
  TakeAddress(reader, original_.source);
  TakeAddress(reader, original_.destination);
  TakeAddress(reader, reply_.source);
  TakeAddress(reader, reply_.destination);
  original_.protocol = protocol_;
  reply_.protocol = protocol_;
  return reader.ok() && (family_ == 0 || family_ == 4 || family_ == 6);
}

uint32_t Filter::KernelFlags(bool original) const {
  const int shift = original ? 0 : kReplyShift;
  const auto has = [&](uint16_t field) { return Has(static_cast<uint16_t>(field << shift)); };
  uint32_t flags = 0;
  // Of IPv6 addresses the kernel keeps exactly those that are not meant: it takes ipv6_addr_cmp for
  // a test of equality (ctnetlink_filter_match_tuple, seen on 6.1). They are left to Matches.
  if (family_ == 4 && has(kOriginalSource)) flags |= kMatchSource;
  if (family_ == 4 && has(kOriginalDestination)) flags |= kMatchDestination;
  // The kernel takes ports only with their protocol. The original direction says it alone too.
  if (protocol_ != 0 && original) flags |= kMatchProtocol;
  if (!HasPorts(protocol_)) return flags;
  if (has(kOriginalSourcePort)) flags |= kMatchSourcePort | kMatchProtocol;
  if (has(kOriginalDestinationPort)) flags |= kMatchDestinationPort | kMatchProtocol;
  return flags;
}

void Filter::PutTuple(uint16_t type, const Tuple& tuple, uint32_t flags,
                      MessageWriter& writer) const {
  const size_t nest = writer.BeginNest(type);
  const bool source = (flags & kMatchSource) != 0;
  const bool destination = (flags & kMatchDestination) != 0;
  if (source || destination) PutAddresses(tuple, family_ == 4, source, destination, writer);
  if ((flags & kMatchProtocol) != 0) PutProtocol(tuple, writer);
  writer.EndNest(nest);
}

void Filter::EncodeRequest(MessageWriter& writer) const {
  PutHeader(family_, writer);
  if (Has(kMark)) {
    writer.PutBe32(CTA_MARK, mark_);
    writer.PutBe32(CTA_MARK_MASK, mark_mask_);
  }
  // CTA_FILTER is about one family.
  const uint32_t original = family_ == 0 ? 0 : KernelFlags(true);
  const uint32_t reply = family_ == 0 ? 0 : KernelFlags(false);
  if (original == 0 && reply == 0) return;
  if (original != 0) PutTuple(CTA_TUPLE_ORIG, original_, original, writer);
  if (reply != 0) PutTuple(CTA_TUPLE_REPLY, reply_, reply, writer);
  const size_t nest = writer.BeginNest(kCtaFilter);
  writer.PutU32(kCtaFilterOriginal, original);
  writer.PutU32(kCtaFilterReply, reply);
  writer.EndNest(nest);
}

bool Filter::Matches(uint8_t family, uint16_t zone, uint32_t mark, const Tuple& original,
                     const Tuple& reply) const {
  if (family_ != 0 && family_ != family) return false;
  if (protocol_ != 0 && protocol_ != original.protocol) return false;
  if (Has(kZone) && zone != zone_) return false;
  if (Has(kMark) && (mark & mark_mask_) != mark_) return false;
  const auto same = [&](int shift, const Tuple& wanted, const Tuple& tuple) {
    const auto has = [&](uint16_t field) { return Has(static_cast<uint16_t>(field << shift)); };
    return (!has(kOriginalSource) || wanted.source == tuple.source) &&
           (!has(kOriginalDestination) || wanted.destination == tuple.destination) &&
           (!has(kOriginalSourcePort) || wanted.source_port == tuple.source_port) &&
           (!has(kOriginalDestinationPort) || wanted.destination_port == tuple.destination_port);
  };
  return same(0, original_, original) && same(kReplyShift, reply_, reply);
}

bool Decode(std::span<const uint8_t> payload, const Filter& filter, RecordWriter& out) {
  nfgenmsg header;
  if (payload.size() < sizeof header) return false;
  std::memcpy(&header, payload.data(), sizeof header);
  if (header.nfgen_family != AF_INET && header.nfgen_family != AF_INET6) return true;
  const bool four = header.nfgen_family == AF_INET;
  const Attributes<CTA_ZONE + 1> connection(payload.subspan(NLMSG_ALIGN(sizeof header)));
  Tuple original;
  Tuple reply;
  if (!ReadTuple(connection[CTA_TUPLE_ORIG], four, original) ||
      !ReadTuple(connection[CTA_TUPLE_REPLY], four, reply) ||
      original.protocol != reply.protocol) {
    return false;
  }
  const uint8_t family = four ? 4 : 6;
  const uint16_t zone = ZoneOf(connection);
  const uint32_t mark = connection[CTA_MARK].Be32();
  if (!filter.Matches(family, zone, mark, original, reply)) return true;
  out.Begin(Opcode::kConnectionState);
  out.U8(family);
  out.U8(original.protocol);
  out.U16(zone);
  out.U32(connection[CTA_ID].Be32());
  out.U32(connection[CTA_STATUS].Be32());
  out.U32(connection[CTA_TIMEOUT].Be32());
  out.U32(mark);
  out.U16(original.source_port);
  out.U16(original.destination_port);
  out.U16(reply.source_port);
  out.U16(reply.destination_port);
  out.Address(original.source);
  out.Address(original.destination);
  out.Address(reply.source);
  out.Address(reply.destination);
  out.End();
  return true;
}

}  // namespace proxier::conntrack
