// The payload of one RTM_NEWROUTE message, for any owner and for one.
#include "native/route/local_route.h"

#include "native/test/fuzz/fuzz.h"

using proxier::RecordWriter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const uint8_t owner : {uint8_t{0}, uint8_t{4}}) {
    proxier::test::FuzzDecoder(data, size,
                               [owner](std::span<const uint8_t> payload, RecordWriter& writer) {
                                 return proxier::route::DecodeLocalRoute(payload, owner, writer);
                               });
  }
  return 0;
}
