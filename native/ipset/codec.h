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

// nlmsg_type of an operation; 0 when it is none of ipset's.
uint16_t MessageType(Opcode opcode);
// nlmsg_flags of it: create-set must create, everything else takes what it finds.
uint16_t MessageFlags(Opcode opcode);
uint16_t ListMessageType();

// Writes the body (nfgenmsg and attributes) of one operation. False when the record is not a whole
// one.
bool EncodeOperation(Opcode opcode, std::span<const uint8_t> record, uint8_t version,
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
