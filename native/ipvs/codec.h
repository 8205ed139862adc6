// IPVS records to generic netlink messages and back (include/uapi/linux/ip_vs.h,
// net/netfilter/ipvs/ip_vs_ctl.c).
#ifndef IPVS_PROXIER_IPVS_CODEC_H_
#define IPVS_PROXIER_IPVS_CODEC_H_

#include <cstdint>
#include <span>

#include "native/netlink/attributes.h"
#include "native/wire.h"

namespace proxier::ipvs {

inline constexpr char kFamilyName[] = "IPVS";

// Writes the body (generic netlink header and attributes) of one operation. False when the record
// is not a whole one.
bool EncodeOperation(Opcode opcode, std::span<const uint8_t> record,
                     netlink::MessageWriter& writer);

// Bodies of the two dump requests. `key` is a record that starts with a service key.
void EncodeServicesRequest(netlink::MessageWriter& writer);
bool EncodeDestinationsRequest(std::span<const uint8_t> key, netlink::MessageWriter& writer);
// Bodies of the requests that have one answer: a service, the time-outs, the version and table size.
bool EncodeServiceRequest(std::span<const uint8_t> key, netlink::MessageWriter& writer);
void EncodeTimeoutsRequest(netlink::MessageWriter& writer);
void EncodeInfoRequest(netlink::MessageWriter& writer);

// One message of a dump to one record. False when the message is not what it should be; nothing is
// written then.
bool DecodeService(std::span<const uint8_t> payload, RecordWriter& out, bool statistics = false);
// `service_family`: AF_INET or AF_INET6, for kernels before 3.18, which do not say the
// destination's own.
bool DecodeDestination(std::span<const uint8_t> payload, uint16_t service_family,
                       RecordWriter& out, bool statistics = false);
bool DecodeTimeouts(std::span<const uint8_t> payload, RecordWriter& out);
bool DecodeInfo(std::span<const uint8_t> payload, RecordWriter& out);

// AF_INET or AF_INET6 of a record that starts with a service key; 0 when it is neither.
uint16_t KeyFamily(std::span<const uint8_t> key);

}  // namespace proxier::ipvs

#endif  // IPVS_PROXIER_IPVS_CODEC_H_
