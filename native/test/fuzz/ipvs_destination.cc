// The payload of one message of an IPVS_CMD_GET_DEST dump, of a service of either family.
#include <sys/socket.h>

#include "native/ipvs/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::RecordWriter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const uint16_t family : {uint16_t{AF_INET}, uint16_t{AF_INET6}}) {
    proxier::test::FuzzDecoder(data, size,
                               [family](std::span<const uint8_t> payload, RecordWriter& writer) {
                                 return proxier::ipvs::DecodeDestination(payload, family, writer);
                               });
  }
  return 0;
}
