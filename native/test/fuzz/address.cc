// The payload of one RTM_NEWADDR message.
#include "native/route/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::RecordWriter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return proxier::test::FuzzDecoder(data, size,
                                    [](std::span<const uint8_t> payload, RecordWriter& writer) {
                                      return proxier::route::DecodeAddress(payload, writer);
                                    });
}
