// The payload of an answer of IPVS that is no dump: the time-outs, the version. And of a dump with
// statistics.
#include <sys/socket.h>

#include "native/ipvs/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::RecordWriter;
using proxier::test::FuzzDecoder;
using Payload = std::span<const uint8_t>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzDecoder(data, size, [](Payload payload, RecordWriter& writer) {
    return proxier::ipvs::DecodeTimeouts(payload, writer);
  });
  FuzzDecoder(data, size, [](Payload payload, RecordWriter& writer) {
    return proxier::ipvs::DecodeInfo(payload, writer);
  });
  FuzzDecoder(data, size, [](Payload payload, RecordWriter& writer) {
    return proxier::ipvs::DecodeService(payload, writer, true);
  });
  FuzzDecoder(data, size, [](Payload payload, RecordWriter& writer) {
    return proxier::ipvs::DecodeDestination(payload, AF_INET, writer, true);
  });
  return 0;
}
