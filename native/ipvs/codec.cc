#include "native/ipvs/codec.h"

#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bit>

namespace proxier::ipvs {
namespace {

using netlink::Attributes;
using netlink::MessageWriter;

// An unset prefix length in a record.
constexpr uint32_t kFull = 0;

uint16_t AddressFamily(uint8_t byte) { return byte == 4 ? AF_INET : byte == 6 ? AF_INET6 : 0; }
size_t AddressLength(uint16_t family) { return family == AF_INET ? 4 : 16; }
uint8_t FamilyByte(uint16_t family) { return family == AF_INET6 ? 6 : 4; }

struct Key {
  uint16_t family;
  uint8_t protocol;
  uint16_t port;
  uint32_t fwmark;
  std::span<const uint8_t> address;
};

Key ReadKey(RecordReader& record) {
  Key key{};
  key.family = AddressFamily(record.U8());
  key.protocol = record.U8();
  key.port = record.U16();
  key.fwmark = record.U32();
  key.address = record.Address();
  return key;
}

void PutKey(const Key& key, MessageWriter& writer) {
  writer.PutU16(IPVS_SVC_ATTR_AF, key.family);
  if (key.protocol == 0) {
    writer.PutU32(IPVS_SVC_ATTR_FWMARK, key.fwmark);
    return;
  }
  writer.PutU16(IPVS_SVC_ATTR_PROTOCOL, key.protocol);
  writer.PutBytes(IPVS_SVC_ATTR_ADDR, key.address.first(AddressLength(key.family)));
  writer.PutBe16(IPVS_SVC_ATTR_PORT, key.port);
}

bool ValidKey(const Key& key) { return key.family != 0 && (key.protocol != 0 || key.fwmark != 0); }

// The kernel wants a netmask in network order for IPv4, and the prefix length itself for IPv6.
uint32_t KernelNetmask(uint16_t family, uint32_t prefix_length) {
  if (family == AF_INET6) return prefix_length == kFull ? 128 : prefix_length;
  return prefix_length == kFull ? 0xffffffffU : htonl(0xffffffffU << (32 - prefix_length));
}

bool EncodeService(std::span<const uint8_t> bytes, MessageWriter& writer) {
  RecordReader record(bytes);
  const Key key = ReadKey(record);
  const ip_vs_flags flags = {.flags = record.U32(), .mask = ~0U};
  const uint32_t timeout = record.U32();
  const uint32_t prefix_length = record.U32();
  const std::string_view scheduler = record.String();
  const std::string_view engine = record.String();
  if (!record.ok() || !ValidKey(key) || scheduler.empty()) return false;
  if (prefix_length > (key.family == AF_INET ? 32 : 128)) return false;
  const size_t nest = writer.BeginNest(IPVS_CMD_ATTR_SERVICE);
  PutKey(key, writer);
  writer.PutString(IPVS_SVC_ATTR_SCHED_NAME, scheduler);
  if (!engine.empty()) writer.PutString(IPVS_SVC_ATTR_PE_NAME, engine);
  writer.Put(IPVS_SVC_ATTR_FLAGS, &flags, sizeof flags);
  writer.PutU32(IPVS_SVC_ATTR_TIMEOUT, timeout);
  writer.PutU32(IPVS_SVC_ATTR_NETMASK, KernelNetmask(key.family, prefix_length));
  writer.EndNest(nest);
  return true;
}

bool PutServiceKey(RecordReader& record, MessageWriter& writer) {
  const Key key = ReadKey(record);
  if (!record.ok() || !ValidKey(key)) return false;
  const size_t nest = writer.BeginNest(IPVS_CMD_ATTR_SERVICE);
  PutKey(key, writer);
  writer.EndNest(nest);
  return true;
}

void PutDestinationKey(uint16_t family, uint16_t port, std::span<const uint8_t> address,
                       MessageWriter& writer) {
  writer.PutU16(IPVS_DEST_ATTR_ADDR_FAMILY, family);
  writer.PutBytes(IPVS_DEST_ATTR_ADDR, address.first(AddressLength(family)));
  writer.PutBe16(IPVS_DEST_ATTR_PORT, port);
}

bool EncodeDestination(std::span<const uint8_t> bytes, MessageWriter& writer) {
  RecordReader record(bytes);
  if (!PutServiceKey(record, writer)) return false;
  const uint16_t family = AddressFamily(record.U8());
  const uint8_t forward = record.U8();
  const uint16_t port = record.U16();
  const uint32_t weight = record.U32();
  const uint32_t upper = record.U32();
  const uint32_t lower = record.U32();
  const std::span<const uint8_t> address = record.Address();
  const uint8_t tunnel_type = record.U8();
  const uint8_t tunnel_flags = record.U8();
  const uint16_t tunnel_port = record.U16();
  if (!record.ok() || family == 0) return false;
  const size_t nest = writer.BeginNest(IPVS_CMD_ATTR_DEST);
  PutDestinationKey(family, port, address, writer);
  writer.PutU32(IPVS_DEST_ATTR_FWD_METHOD, forward);
  // Kernels before 5.3 do not know these, and plain IPIP is what they do.
  if (tunnel_type != 0 || tunnel_flags != 0 || tunnel_port != 0) {
    writer.PutU8(IPVS_DEST_ATTR_TUN_TYPE, tunnel_type);
    writer.PutBe16(IPVS_DEST_ATTR_TUN_PORT, tunnel_port);
    writer.PutU16(IPVS_DEST_ATTR_TUN_FLAGS, tunnel_flags);
  }
  writer.PutU32(IPVS_DEST_ATTR_WEIGHT, weight);
  writer.PutU32(IPVS_DEST_ATTR_U_THRESH, upper);
  writer.PutU32(IPVS_DEST_ATTR_L_THRESH, lower);
  writer.EndNest(nest);
  return true;
}

bool EncodeTimeouts(std::span<const uint8_t> bytes, MessageWriter& writer) {
  RecordReader record(bytes);
  const uint32_t tcp = record.U32();
  const uint32_t tcp_fin = record.U32();
  const uint32_t udp = record.U32();
  if (!record.ok()) return false;
  writer.PutU32(IPVS_CMD_ATTR_TIMEOUT_TCP, tcp);
  writer.PutU32(IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, tcp_fin);
  writer.PutU32(IPVS_CMD_ATTR_TIMEOUT_UDP, udp);
  return true;
}

bool EncodeDestinationId(std::span<const uint8_t> bytes, MessageWriter& writer) {
  RecordReader record(bytes);
  if (!PutServiceKey(record, writer)) return false;
  const uint16_t family = AddressFamily(record.U8());
  record.U8();
  const uint16_t port = record.U16();
  const std::span<const uint8_t> address = record.Address();
  if (!record.ok() || family == 0) return false;
  const size_t nest = writer.BeginNest(IPVS_CMD_ATTR_DEST);
  PutDestinationKey(family, port, address, writer);
  writer.EndNest(nest);
  return true;
}

// IPVS_STATS_ATTR_CONNS to _OUTBPS, in this order. Kernels before 4.1 have only the narrow nest,
// where the bytes are 64 bits and all else is 32.
void PutStatistics(const netlink::Value& wide, const netlink::Value& narrow, RecordWriter& out) {
  const Attributes<IPVS_STATS_ATTR_MAX + 1> statistics(wide.present() ? wide : narrow);
  for (size_t type = IPVS_STATS_ATTR_CONNS; type <= IPVS_STATS_ATTR_OUTBPS; type++) {
    const netlink::Value& value = statistics[type];
    out.U64(value.bytes().size() >= sizeof(uint64_t) ? value.U64() : value.U32());
  }
}

void PutHeader(uint8_t command, MessageWriter& writer) {
  const genlmsghdr header = {.cmd = command, .version = IPVS_GENL_VERSION, .reserved = 0};
  writer.Raw(&header, sizeof header);
}

}  // namespace

bool EncodeOperation(Opcode opcode, std::span<const uint8_t> record, MessageWriter& writer) {
  switch (opcode) {
    case Opcode::kCreateService:
    case Opcode::kEnsureService:
      PutHeader(IPVS_CMD_NEW_SERVICE, writer);
      return EncodeService(record, writer);
    case Opcode::kUpdateService:
      PutHeader(IPVS_CMD_SET_SERVICE, writer);
      return EncodeService(record, writer);
    case Opcode::kRemoveService: {
      PutHeader(IPVS_CMD_DEL_SERVICE, writer);
      RecordReader reader(record);
      return PutServiceKey(reader, writer);
    }
    case Opcode::kCreateDestination:
    case Opcode::kEnsureDestination:
      PutHeader(IPVS_CMD_NEW_DEST, writer);
      return EncodeDestination(record, writer);
    case Opcode::kUpdateDestination:
      PutHeader(IPVS_CMD_SET_DEST, writer);
      return EncodeDestination(record, writer);
    case Opcode::kRemoveDestination:
      PutHeader(IPVS_CMD_DEL_DEST, writer);
      return EncodeDestinationId(record, writer);
    case Opcode::kZeroService: {
      // Without a service it would mean every one: PutServiceKey refuses what is no whole key.
      PutHeader(IPVS_CMD_ZERO, writer);
      RecordReader reader(record);
      return PutServiceKey(reader, writer);
    }
    case Opcode::kZeroServices:
      PutHeader(IPVS_CMD_ZERO, writer);
      return true;
    case Opcode::kFlushServices:
      PutHeader(IPVS_CMD_FLUSH, writer);
      return true;
    case Opcode::kSetTimeouts:
      PutHeader(IPVS_CMD_SET_CONFIG, writer);
      return EncodeTimeouts(record, writer);
    default:
      return false;
  }
}

bool EncodeServiceRequest(std::span<const uint8_t> key, MessageWriter& writer) {
  PutHeader(IPVS_CMD_GET_SERVICE, writer);
  RecordReader reader(key);
  return PutServiceKey(reader, writer);
}

void EncodeTimeoutsRequest(MessageWriter& writer) { PutHeader(IPVS_CMD_GET_CONFIG, writer); }

void EncodeInfoRequest(MessageWriter& writer) { PutHeader(IPVS_CMD_GET_INFO, writer); }

void EncodeServicesRequest(MessageWriter& writer) { PutHeader(IPVS_CMD_GET_SERVICE, writer); }

bool EncodeDestinationsRequest(std::span<const uint8_t> key, MessageWriter& writer) {
  PutHeader(IPVS_CMD_GET_DEST, writer);
  RecordReader reader(key);
  return PutServiceKey(reader, writer);
}

uint16_t KeyFamily(std::span<const uint8_t> key) { return AddressFamily(RecordReader(key).U8()); }

bool DecodeService(std::span<const uint8_t> payload, RecordWriter& out, bool statistics) {
  if (payload.size() < GENL_HDRLEN) return false;
  const Attributes<IPVS_CMD_ATTR_SERVICE + 1> message(payload.subspan(GENL_HDRLEN));
  const Attributes<IPVS_SVC_ATTR_STATS64 + 1> service(message[IPVS_CMD_ATTR_SERVICE]);
  const uint16_t family = service[IPVS_SVC_ATTR_AF].U16();
  if (family != AF_INET && family != AF_INET6) return false;
  const bool marked = service[IPVS_SVC_ATTR_FWMARK].present();
  ip_vs_flags flags{};
  const std::span<const uint8_t> flag_bytes = service[IPVS_SVC_ATTR_FLAGS].bytes();
  if (flag_bytes.size() >= sizeof flags) std::memcpy(&flags, flag_bytes.data(), sizeof flags);
  const uint32_t netmask = service[IPVS_SVC_ATTR_NETMASK].U32();

  out.Begin(Opcode::kServiceState, statistics ? kHasStatistics : 0);
  out.U8(FamilyByte(family));
  // A protocol that fits no byte is no IP protocol; 255 is reserved and stands for it.
  const uint16_t protocol = service[IPVS_SVC_ATTR_PROTOCOL].U16();
  out.U8(marked ? 0 : protocol == 0 || protocol > 255 ? 255 : static_cast<uint8_t>(protocol));
  out.U16(marked ? 0 : service[IPVS_SVC_ATTR_PORT].Be16());
  out.U32(service[IPVS_SVC_ATTR_FWMARK].U32());
  out.Address(marked ? std::span<const uint8_t>() : service[IPVS_SVC_ATTR_ADDR].bytes());
  out.U32(flags.flags);
  out.U32(service[IPVS_SVC_ATTR_TIMEOUT].U32());
  out.U32(family == AF_INET ? static_cast<uint32_t>(std::popcount(netmask)) : netmask);
  out.String(service[IPVS_SVC_ATTR_SCHED_NAME].String());
  out.String(service[IPVS_SVC_ATTR_PE_NAME].String());
  if (statistics) PutStatistics(service[IPVS_SVC_ATTR_STATS64], service[IPVS_SVC_ATTR_STATS], out);
  out.End();
  return true;
}

bool DecodeDestination(std::span<const uint8_t> payload, uint16_t service_family,
                       RecordWriter& out, bool statistics) {
  if (payload.size() < GENL_HDRLEN) return false;
  const Attributes<IPVS_CMD_ATTR_DEST + 1> message(payload.subspan(GENL_HDRLEN));
  const Attributes<IPVS_DEST_ATTR_MAX + 1> destination(message[IPVS_CMD_ATTR_DEST]);
  if (!destination[IPVS_DEST_ATTR_ADDR].present()) return false;
  const uint16_t own_family = destination[IPVS_DEST_ATTR_ADDR_FAMILY].U16();

  out.Begin(Opcode::kDestinationState, statistics ? kHasStatistics : 0);
  out.U8(FamilyByte(own_family == 0 ? service_family : own_family));
  out.U8(
      static_cast<uint8_t>(destination[IPVS_DEST_ATTR_FWD_METHOD].U32() & IP_VS_CONN_F_FWD_MASK));
  out.U16(destination[IPVS_DEST_ATTR_PORT].Be16());
  out.U32(destination[IPVS_DEST_ATTR_WEIGHT].U32());
  out.U32(destination[IPVS_DEST_ATTR_U_THRESH].U32());
  out.U32(destination[IPVS_DEST_ATTR_L_THRESH].U32());
  out.Address(destination[IPVS_DEST_ATTR_ADDR].bytes());
  out.U8(destination[IPVS_DEST_ATTR_TUN_TYPE].U8());
  out.U8(static_cast<uint8_t>(destination[IPVS_DEST_ATTR_TUN_FLAGS].U16()));
  out.U16(destination[IPVS_DEST_ATTR_TUN_PORT].Be16());
  out.U32(destination[IPVS_DEST_ATTR_ACTIVE_CONNS].U32());
  out.U32(destination[IPVS_DEST_ATTR_INACT_CONNS].U32());
  out.U32(destination[IPVS_DEST_ATTR_PERSIST_CONNS].U32());
  if (statistics) {
    PutStatistics(destination[IPVS_DEST_ATTR_STATS64], destination[IPVS_DEST_ATTR_STATS], out);
  }
  out.End();
  return true;
}

bool DecodeTimeouts(std::span<const uint8_t> payload, RecordWriter& out) {
  if (payload.size() < GENL_HDRLEN) return false;
  const Attributes<IPVS_CMD_ATTR_MAX + 1> message(payload.subspan(GENL_HDRLEN));
  if (!message[IPVS_CMD_ATTR_TIMEOUT_TCP].present()) return false;
  out.Begin(Opcode::kTimeoutsState);
  out.U32(message[IPVS_CMD_ATTR_TIMEOUT_TCP].U32());
  out.U32(message[IPVS_CMD_ATTR_TIMEOUT_TCP_FIN].U32());
  out.U32(message[IPVS_CMD_ATTR_TIMEOUT_UDP].U32());
  out.End();
  return true;
}

bool DecodeInfo(std::span<const uint8_t> payload, RecordWriter& out) {
  if (payload.size() < GENL_HDRLEN) return false;
  const Attributes<IPVS_INFO_ATTR_MAX + 1> info(payload.subspan(GENL_HDRLEN));
  if (!info[IPVS_INFO_ATTR_VERSION].present()) return false;
  out.Begin(Opcode::kInfoState);
  out.U32(info[IPVS_INFO_ATTR_VERSION].U32());
  out.U32(info[IPVS_INFO_ATTR_CONN_TAB_SIZE].U32());
  out.End();
  return true;
}

}  // namespace proxier::ipvs
