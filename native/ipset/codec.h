// ipset records to nfnetlink messages and back (include/uapi/linux/netfilter/ipset/ip_set.h,
// net/netfilter/ipset/).
#ifndef IPVS_PROXIER_IPSET_CODEC_H_
#define IPVS_PROXIER_IPSET_CODEC_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "native/netlink/attributes.h"
#include "native/netlink/transport.h"
#include "native/wire.h"

namespace proxier::ipset {

struct Protocol {
  // 0, kAbsent when the kernel has no ip_set, an errno or kUnknown.
  int32_t error = 0;
  // The version to put into every message.
  uint8_t version = 0;
};
// Asks the kernel for its protocol version. An absent ip_set is an answer here, before anything
// else is sent.
Protocol ResolveProtocol(netlink::Transport& transport);

// The lowest and highest revision of a set type that the kernel has.
struct Revisions {
  // 0, IPSET_ERR_FIND_TYPE when there is no such type, another errno or kUnknown.
  int32_t error = 0;
  uint8_t lowest = 0;
  uint8_t highest = 0;
};
// Asks for it (IPSET_CMD_TYPE); the kernel loads the type's module if it has one.
Revisions ResolveRevisions(netlink::Transport& transport, uint8_t version, SetType type,
                           uint8_t family);
// The revision to create a set with: the one that first had comments, as far as the kernel goes
// there. Higher ones only add extensions that are not used here.
// False when the set cannot be had: comments asked of a kernel from before them.
bool ChooseRevision(SetType type, const Revisions& revisions, bool comment, uint8_t& revision);

// What a create-set or ensure-set record is about, for the two above. False for another record.
struct SetHead {
  SetType type = SetType::kOther;
  // 4 or 6.
  uint8_t family = 4;
  bool comment = false;
};
bool ReadSetHead(Opcode opcode, std::span<const uint8_t> record, SetHead& head);

// What of the conversation with the kernel goes into a message.
struct Dialect {
  // IPSET_ATTR_PROTOCOL.
  uint8_t version;
  // IPSET_ATTR_REVISION, for create-set and ensure-set.
  uint8_t revision;
};

// nlmsg_type of an operation; 0 when it is none of ipset's.
uint16_t MessageType(Opcode opcode);
// nlmsg_flags of it: create-set must create, everything else takes what it finds.
uint16_t MessageFlags(Opcode opcode);
uint16_t ListMessageType();

// Writes the body (nfgenmsg and attributes) of one operation. False when the record is not a whole
// one.
bool EncodeOperation(Opcode opcode, std::span<const uint8_t> record, Dialect dialect,
                     netlink::MessageWriter& writer);

// Bodies of the two dump requests: the headers of all sets, and one set with its entries.
void EncodeSetsRequest(uint8_t version, netlink::MessageWriter& writer);
bool EncodeEntriesRequest(std::string_view name, uint8_t version, netlink::MessageWriter& writer);

bool DecodeSet(std::span<const uint8_t> payload, RecordWriter& out);

// The entries of one message. Only a dump's first message says what the set is, so the reader keeps
// it.
class EntriesReader {
 public:
  // False when the message is not what it should be.
  bool Decode(std::span<const uint8_t> payload, RecordWriter& out);

 private:
  SetType type_ = SetType::kOther;
  uint8_t family_ = 4;
};

}  // namespace proxier::ipset

#endif  // IPVS_PROXIER_IPSET_CODEC_H_
