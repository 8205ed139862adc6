// The payload of one message of an IPSET_CMD_LIST dump, as a set's header.
#include "native/ipset/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::RecordWriter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return proxier::test::FuzzDecoder(data, size,
                                    [](std::span<const uint8_t> payload, RecordWriter& writer) {
                                      return proxier::ipset::DecodeSet(payload, writer);
                                    });
}
