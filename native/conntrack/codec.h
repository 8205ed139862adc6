// Connections of NETLINK_NETFILTER's subsystem 1: dumps with a filter, and deletes
// (net/netfilter/nf_conntrack_netlink.c). To the kernel a delete without a tuple is a flush of the
// whole table: no such message leaves this file.
#ifndef IPVS_PROXIER_CONNTRACK_CODEC_H_
#define IPVS_PROXIER_CONNTRACK_CODEC_H_

#include <cstdint>
#include <span>

#include "native/netlink/attributes.h"
#include "native/netlink/transport.h"
#include "native/wire.h"

namespace proxier::conntrack {

// nlmsg_type of a delete and of a dump.
uint16_t DeleteMessageType();
uint16_t GetMessageType();

// 0 when the kernel shows its connections, kAbsent when it does not, an errno or kUnknown.
int32_t Probe(netlink::Transport& transport);

// Writes the body of a removal. False, and then the message must be dropped, when the record is not
// a whole one or the body does not hold the whole tuple.
bool EncodeRemoval(std::span<const uint8_t> record, netlink::MessageWriter& writer);

// The body (nfgenmsg and attributes) of a delete names one connection: a tuple with two addresses of
// the header's family, a protocol, and that protocol's ports or ICMP fields.
bool NamesOneConnection(std::span<const uint8_t> body);

struct Tuple {
  uint8_t protocol = 0;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  std::array<uint8_t, kAddressBytes> source{};
  std::array<uint8_t, kAddressBytes> destination{};
};

// Which connections a dump is about. The kernel is asked to filter what it can (CTA_FILTER, Linux
// 5.8); everything is compared here again.
class Filter {
 public:
  // False when the record is not a whole filter.
  bool Read(std::span<const uint8_t> record);
  void EncodeRequest(netlink::MessageWriter& writer) const;
  [[nodiscard]] bool Matches(uint8_t family, uint16_t zone, uint32_t mark, const Tuple& original,
                             const Tuple& reply) const;

 private:
  [[nodiscard]] bool Has(uint16_t field) const { return (fields_ & field) != 0; }
  [[nodiscard]] uint32_t KernelFlags(bool original) const;
  void PutTuple(uint16_t type, const Tuple& tuple, uint32_t flags,
                netlink::MessageWriter& writer) const;

  uint8_t family_ = 0;
  uint8_t protocol_ = 0;
  uint16_t fields_ = 0;
  uint16_t zone_ = 0;
  uint32_t mark_ = 0;
  uint32_t mark_mask_ = 0;
  Tuple original_;
  Tuple reply_;
};

// Writes the connection of one message of a dump when the filter takes it. False when the message
// is not what it should be. Protocols without ports that are not ICMP are left out.
bool Decode(std::span<const uint8_t> payload, const Filter& filter, RecordWriter& out);

}  // namespace proxier::conntrack

#endif  // IPVS_PROXIER_CONNTRACK_CODEC_H_
