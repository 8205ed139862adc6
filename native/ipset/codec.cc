#include "native/ipset/codec.h"

#include <linux/netfilter.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "native/netlink/exchange.h"

namespace proxier::ipset {
namespace {

using netlink::Attributes;
using netlink::MessageWriter;
using netlink::Value;

constexpr uint16_t kNetOrder = NLA_F_NET_BYTEORDER;
// IPSET_FLAG_LIST_HEADER: no entries.
constexpr uint32_t kHeadersOnly = IPSET_FLAG_LIST_HEADER;
// IPSET_ATTR_BITMASK of Linux 6.3.
constexpr size_t kBitmask = 12;
// The versions this library speaks.
constexpr uint8_t kOldestVersion = 6;
constexpr uint8_t kNewestVersion = 7;

struct TypeInfo {
  SetType type;
  std::string_view name;
  // The first with comments: every kernel since 3.13 has it.
  uint8_t revision;
};
constexpr std::array<TypeInfo, 7> kTypes = {{
    {SetType::kHashIp, "hash:ip", 2},
    {SetType::kHashNet, "hash:net", 4},
    {SetType::kHashIpPort, "hash:ip,port", 3},
    {SetType::kHashIpPortIp, "hash:ip,port,ip", 3},
    {SetType::kHashIpPortNet, "hash:ip,port,net", 5},
    {SetType::kHashNetIface, "hash:net,iface", 4},
    {SetType::kBitmapPort, "bitmap:port", 2},
}};

const TypeInfo* FindType(SetType type) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const TypeInfo& info) { return info.type == type; });
  return found == kTypes.end() ? nullptr : found;
}

SetType TypeOf(std::string_view name) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const TypeInfo& info) { return info.name == name; });
  return found == kTypes.end() ? SetType::kOther : found->type;
}

bool HasSecondAddress(SetType type) {
  return type == SetType::kHashIpPortIp || type == SetType::kHashIpPortNet;
}
bool HasPort(SetType type) {
  return type == SetType::kHashIpPort || HasSecondAddress(type) || type == SetType::kBitmapPort;
}

uint8_t Command(Opcode opcode) {
  switch (opcode) {
    case Opcode::kCreateSet:
    case Opcode::kEnsureSet:
      return IPSET_CMD_CREATE;
    case Opcode::kRemoveSet:
      return IPSET_CMD_DESTROY;
    case Opcode::kFlushSet:
      return IPSET_CMD_FLUSH;
    case Opcode::kSwapSets:
      return IPSET_CMD_SWAP;
    case Opcode::kAddEntry:
      return IPSET_CMD_ADD;
    case Opcode::kRemoveEntry:
      return IPSET_CMD_DEL;
    case Opcode::kRenameSet:
      return IPSET_CMD_RENAME;
    case Opcode::kTestEntry:
      return IPSET_CMD_TEST;
    default:
      return IPSET_CMD_NONE;
  }
}

constexpr uint16_t TypeOfCommand(uint8_t command) {
  return static_cast<uint16_t>(NFNL_SUBSYS_IPSET << 8 | command);
}

void PutHeader(uint8_t version, MessageWriter& writer) {
  const nfgenmsg header = {.nfgen_family = AF_INET, .version = NFNETLINK_V0, .res_id = 0};
  writer.Raw(&header, sizeof header);
  writer.PutU8(IPSET_ATTR_PROTOCOL, version);
}

bool ValidName(std::string_view name) { return !name.empty() && name.size() < IPSET_MAXNAMELEN; }

void PutNumber(uint16_t type, uint32_t value, MessageWriter& writer) {
  writer.PutBe32(type | kNetOrder, value);
}

void PutAddress(uint16_t type, uint8_t family, std::span<const uint8_t> address,
                MessageWriter& writer) {
  const size_t nest = writer.BeginNest(type);
  if (family == 4) {
    writer.PutBytes(IPSET_ATTR_IPADDR_IPV4 | kNetOrder, address.first(4));
  } else {
    writer.PutBytes(IPSET_ATTR_IPADDR_IPV6 | kNetOrder, address);
  }
  writer.EndNest(nest);
}

uint8_t KernelFamily(SetType type, uint8_t family) {
  if (type == SetType::kBitmapPort) return NFPROTO_UNSPEC;
  return family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

bool EncodeSet(std::span<const uint8_t> bytes, uint8_t revision, MessageWriter& writer) {
  RecordReader record(bytes);
  const TypeInfo* type = FindType(static_cast<SetType>(record.U8()));
  const uint8_t family = record.U8();
  const uint8_t flags = record.U8();
  record.U8();
  const uint32_t hash_size = record.U32();
  const uint32_t max_elements = record.U32();
  const uint32_t timeout = record.U32();
  const std::string_view name = record.String();
  if (!record.ok() || type == nullptr || (family != 4 && family != 6) || !ValidName(name))
    return false;
  const bool bitmap = type->type == SetType::kBitmapPort;
  writer.PutString(IPSET_ATTR_SETNAME, name);
  writer.PutString(IPSET_ATTR_TYPENAME, type->name);
  writer.PutU8(IPSET_ATTR_REVISION, revision);
  writer.PutU8(IPSET_ATTR_FAMILY, KernelFamily(type->type, family));
  const size_t data = writer.BeginNest(IPSET_ATTR_DATA);
  if (bitmap) {
    writer.PutBe16(IPSET_ATTR_PORT | kNetOrder, 0);
    writer.PutBe16(IPSET_ATTR_PORT_TO | kNetOrder, 65535);
  } else {
    if (hash_size != 0) PutNumber(IPSET_ATTR_HASHSIZE, hash_size, writer);
    if (max_elements != 0) PutNumber(IPSET_ATTR_MAXELEM, max_elements, writer);
  }
  if ((flags & kSetTimeout) != 0) PutNumber(IPSET_ATTR_TIMEOUT, timeout, writer);
  if ((flags & kSetComment) != 0) PutNumber(IPSET_ATTR_CADT_FLAGS, IPSET_FLAG_WITH_COMMENT, writer);
  writer.EndNest(data);
  return true;
}

bool EncodeEntry(std::span<const uint8_t> bytes, MessageWriter& writer) {
  RecordReader record(bytes);
  const auto type = static_cast<SetType>(record.U8());
  const uint8_t family = record.U8();
  const uint8_t protocol = record.U8();
  const uint8_t prefix_length = record.U8();
  const uint16_t port = record.U16();
  record.U16();
  const bool bitmap = type == SetType::kBitmapPort;
  const std::span<const uint8_t> address = bitmap ? std::span<const uint8_t>() : record.Address();
  const std::span<const uint8_t> second =
      HasSecondAddress(type) ? record.Address() : std::span<const uint8_t>();
  const std::string_view name = record.String();
  const std::string_view interface =
      type == SetType::kHashNetIface ? record.String() : std::string_view();
  const bool has_timeout = (record.flags() & kEntryTimeout) != 0;
  const bool has_comment = (record.flags() & kEntryComment) != 0;
  const uint32_t timeout = has_timeout ? record.U32() : 0;
  const std::string_view comment = has_comment ? record.String() : std::string_view();
  if (!record.ok() || FindType(type) == nullptr || (family != 4 && family != 6) || !ValidName(name))
    return false;
  writer.PutString(IPSET_ATTR_SETNAME, name);
  const size_t data = writer.BeginNest(IPSET_ATTR_DATA);
  if (!bitmap) PutAddress(IPSET_ATTR_IP, family, address, writer);
  if (HasPort(type)) {
    writer.PutBe16(IPSET_ATTR_PORT | kNetOrder, port);
    if (!bitmap) writer.PutU8(IPSET_ATTR_PROTO, protocol);
  }
  if (HasSecondAddress(type)) PutAddress(IPSET_ATTR_IP2, family, second, writer);
  if (type == SetType::kHashNet || type == SetType::kHashNetIface)
    writer.PutU8(IPSET_ATTR_CIDR, prefix_length);
  if (type == SetType::kHashIpPortNet) writer.PutU8(IPSET_ATTR_CIDR2, prefix_length);
  if (type == SetType::kHashNetIface) writer.PutString(IPSET_ATTR_IFACE, interface);
  uint32_t flags = 0;
  if ((record.flags() & kEntryPhysdev) != 0) flags |= IPSET_FLAG_PHYSDEV;
  if ((record.flags() & kEntryNomatch) != 0) flags |= IPSET_FLAG_NOMATCH;
  if (flags != 0) PutNumber(IPSET_ATTR_CADT_FLAGS, flags, writer);
  if (has_timeout) PutNumber(IPSET_ATTR_TIMEOUT, timeout, writer);
  if (has_comment) writer.PutString(IPSET_ATTR_COMMENT, comment);
  writer.EndNest(data);
  return true;
}

std::span<const uint8_t> AddressOf(const Value& nest) {
  const Attributes<IPSET_ATTR_IPADDR_IPV6 + 1> address(nest);
  const Value& four = address[IPSET_ATTR_IPADDR_IPV4];
  return four.present() ? four.bytes() : address[IPSET_ATTR_IPADDR_IPV6].bytes();
}

}  // namespace

Protocol ResolveProtocol(netlink::Transport& transport) {
  netlink::Request request(transport, TypeOfCommand(IPSET_CMD_PROTOCOL), 0);
  PutHeader(kOldestVersion, request.writer());
  uint8_t newest = 0;
  const int32_t error =
      netlink::Ask(transport, request.bytes(), [&](std::span<const uint8_t> payload) {
        if (payload.size() < sizeof(nfgenmsg)) return;
        newest = Attributes<IPSET_ATTR_PROTOCOL + 1>(
                     payload.subspan(sizeof(nfgenmsg)))[IPSET_ATTR_PROTOCOL]
                     .U8();
      });
  // nfnetlink says EINVAL for a subsystem that is not there, EOPNOTSUPP for one that lacks the
  // command.
  if (error == EINVAL || error == EOPNOTSUPP) return {.error = kAbsent, .version = 0};
  if (error == 0 && newest < kOldestVersion) return {.error = kUnknown, .version = 0};
  return {.error = error, .version = std::min(newest, kNewestVersion)};
}

Revisions ResolveRevisions(netlink::Transport& transport, uint8_t version, SetType type,
                           uint8_t family) {
  const TypeInfo* info = FindType(type);
  if (info == nullptr) return {.error = EBADMSG};
  netlink::Request request(transport, TypeOfCommand(IPSET_CMD_TYPE), 0);
  PutHeader(version, request.writer());
  request.writer().PutString(IPSET_ATTR_TYPENAME, info->name);
  request.writer().PutU8(IPSET_ATTR_FAMILY, KernelFamily(type, family));
  Revisions revisions{.error = kUnknown};
  const int32_t error =
      netlink::Ask(transport, request.bytes(), [&](std::span<const uint8_t> payload) {
        if (payload.size() < sizeof(nfgenmsg)) return;
        const Attributes<IPSET_ATTR_CMD_MAX + 1> answer(payload.subspan(sizeof(nfgenmsg)));
        if (!answer[IPSET_ATTR_REVISION].present()) return;
        revisions = {.error = 0,
                     .lowest = answer[IPSET_ATTR_REVISION_MIN].U8(),
                     .highest = answer[IPSET_ATTR_REVISION].U8()};
      });
  if (error != 0) revisions.error = error;
  return revisions;
}

bool ChooseRevision(SetType type, const Revisions& revisions, bool comment, uint8_t& revision) {
  const TypeInfo* info = FindType(type);
  if (info == nullptr || (comment && revisions.highest < info->revision)) return false;
  revision = std::clamp(info->revision, revisions.lowest,
                        std::max(revisions.lowest, revisions.highest));
  return true;
}

bool ReadSetHead(Opcode opcode, std::span<const uint8_t> record, SetHead& head) {
  if (opcode != Opcode::kCreateSet && opcode != Opcode::kEnsureSet) return false;
  RecordReader reader(record);
  head.type = static_cast<SetType>(reader.U8());
  // The kernel has one bitmap:port for all families.
  head.family = reader.U8() == 6 && head.type != SetType::kBitmapPort ? 6 : 4;
  head.comment = (reader.U8() & kSetComment) != 0;
  return reader.ok() && FindType(head.type) != nullptr;
}

uint16_t MessageType(Opcode opcode) {
  const uint8_t command = Command(opcode);
  return command == IPSET_CMD_NONE ? 0 : TypeOfCommand(command);
}

uint16_t MessageFlags(Opcode opcode) { return opcode == Opcode::kCreateSet ? NLM_F_EXCL : 0; }

uint16_t ListMessageType() { return TypeOfCommand(IPSET_CMD_LIST); }

bool EncodeOperation(Opcode opcode, std::span<const uint8_t> record, Dialect dialect,
                     MessageWriter& writer) {
  PutHeader(dialect.version, writer);
  switch (opcode) {
    case Opcode::kCreateSet:
    case Opcode::kEnsureSet:
      return EncodeSet(record, dialect.revision, writer);
    case Opcode::kAddEntry:
    case Opcode::kRemoveEntry:
    case Opcode::kTestEntry:
      return EncodeEntry(record, writer);
    case Opcode::kRemoveSet:
    case Opcode::kFlushSet: {
      RecordReader reader(record);
      const std::string_view name = reader.String();
      // Without a name these two would mean every set there is.
      if (!reader.ok() || !ValidName(name)) return false;
      writer.PutString(IPSET_ATTR_SETNAME, name);
      return true;
    }
    case Opcode::kSwapSets:
    case Opcode::kRenameSet: {
      RecordReader reader(record);
      const std::string_view name = reader.String();
      const std::string_view other = reader.String();
      if (!reader.ok() || !ValidName(name) || !ValidName(other)) return false;
      writer.PutString(IPSET_ATTR_SETNAME, name);
      writer.PutString(IPSET_ATTR_SETNAME2, other);
      return true;
    }
    default:
      return false;
  }
}

void EncodeSetsRequest(uint8_t version, MessageWriter& writer) {
  PutHeader(version, writer);
  PutNumber(IPSET_ATTR_FLAGS, kHeadersOnly, writer);
}

bool EncodeEntriesRequest(std::string_view name, uint8_t version, MessageWriter& writer) {
  if (!ValidName(name)) return false;
  PutHeader(version, writer);
  writer.PutString(IPSET_ATTR_SETNAME, name);
  return true;
}

// Which properties beside its size a set has.
static uint8_t SetFlags(SetType type, const Attributes<IPSET_ATTR_CREATE_MAX + 1>& data) {
  constexpr uint32_t kOthers =
      IPSET_FLAG_WITH_COUNTERS | IPSET_FLAG_WITH_FORCEADD | IPSET_FLAG_WITH_SKBINFO;
  const uint32_t kernel_flags = data[IPSET_ATTR_CADT_FLAGS].Be32();
  bool other = (kernel_flags & kOthers) != 0 || data[IPSET_ATTR_NETMASK].present() ||
               data[kBitmask].present();
  if (type == SetType::kBitmapPort) {
    other = other || data[IPSET_ATTR_PORT].Be16() != 0 || data[IPSET_ATTR_PORT_TO].Be16() != 65535;
  }
  int flags = other ? kSetOther : 0;
  if (data[IPSET_ATTR_TIMEOUT].present()) flags |= kSetTimeout;
  if ((kernel_flags & IPSET_FLAG_WITH_COMMENT) != 0) flags |= kSetComment;
  return static_cast<uint8_t>(flags);
}

bool DecodeSet(std::span<const uint8_t> payload, RecordWriter& out) {
  if (payload.size() < sizeof(nfgenmsg)) return false;
  const Attributes<IPSET_ATTR_CMD_MAX + 1> set(payload.subspan(sizeof(nfgenmsg)));
  if (!set[IPSET_ATTR_SETNAME].present() || !set[IPSET_ATTR_TYPENAME].present()) return false;
  const Attributes<IPSET_ATTR_CREATE_MAX + 1> data(set[IPSET_ATTR_DATA]);
  const std::string_view type = set[IPSET_ATTR_TYPENAME].String();
  out.Begin(Opcode::kSetState);
  out.U8(static_cast<uint8_t>(TypeOf(type)));
  out.U8(set[IPSET_ATTR_FAMILY].U8() == NFPROTO_IPV6 ? 6 : 4);
  out.U8(set[IPSET_ATTR_REVISION].U8());
  out.U8(SetFlags(TypeOf(type), data));
  out.U32(data[IPSET_ATTR_HASHSIZE].Be32());
  out.U32(data[IPSET_ATTR_MAXELEM].Be32());
  out.U32(data[IPSET_ATTR_ELEMENTS].Be32());
  out.U32(data[IPSET_ATTR_REFERENCES].Be32());
  out.U32(data[IPSET_ATTR_MEMSIZE].Be32());
  out.U32(data[IPSET_ATTR_TIMEOUT].Be32());
  out.String(set[IPSET_ATTR_SETNAME].String());
  out.String(type);
  out.End();
  return true;
}

bool EntriesReader::Decode(std::span<const uint8_t> payload, RecordWriter& out) {
  if (payload.size() < sizeof(nfgenmsg)) return false;
  const Attributes<IPSET_ATTR_CMD_MAX + 1> message(payload.subspan(sizeof(nfgenmsg)));
  if (message[IPSET_ATTR_TYPENAME].present()) {
    type_ = TypeOf(message[IPSET_ATTR_TYPENAME].String());
    family_ = message[IPSET_ATTR_FAMILY].U8() == NFPROTO_IPV6 ? 6 : 4;
  }
  netlink::ForEachAttribute(message[IPSET_ATTR_ADT].bytes(), [&](int type, const Value& value) {
    if (type != IPSET_ATTR_DATA) return;
    const Attributes<IPSET_ATTR_ADT_MAX + 1> entry(value);
    const uint32_t kernel_flags = entry[IPSET_ATTR_CADT_FLAGS].Be32();
    const Value& timeout = entry[IPSET_ATTR_TIMEOUT];
    const Value& comment = entry[IPSET_ATTR_COMMENT];
    const uint8_t flags =
        static_cast<uint8_t>(((kernel_flags & IPSET_FLAG_PHYSDEV) != 0 ? kEntryPhysdev : 0) |
                             ((kernel_flags & IPSET_FLAG_NOMATCH) != 0 ? kEntryNomatch : 0) |
                             (timeout.present() ? kEntryTimeout : 0) |
                             (comment.present() ? kEntryComment : 0));
    const Value& prefix =
        type_ == SetType::kHashIpPortNet ? entry[IPSET_ATTR_CIDR2] : entry[IPSET_ATTR_CIDR];
    out.Begin(Opcode::kEntryState, flags);
    out.U8(static_cast<uint8_t>(type_));
    out.U8(family_);
    out.U8(entry[IPSET_ATTR_PROTO].U8());
    out.U8(prefix.present() ? prefix.U8() : family_ == 4 ? 32 : 128);
    out.U16(entry[IPSET_ATTR_PORT].Be16());
    out.U16(0);
    if (type_ != SetType::kBitmapPort) out.Address(AddressOf(entry[IPSET_ATTR_IP]));
    if (HasSecondAddress(type_)) out.Address(AddressOf(entry[IPSET_ATTR_IP2]));
    if (type_ == SetType::kHashNetIface) out.String(entry[IPSET_ATTR_IFACE].String());
    if (timeout.present()) out.U32(timeout.Be32());
    if (comment.present()) out.String(comment.String());
    out.End();
  });
  return true;
}

}  // namespace proxier::ipset
