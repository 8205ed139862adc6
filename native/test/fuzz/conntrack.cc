// The payload of one message of a dump of connections, behind a filter's record: the first byte is
// the record's length, 0 for no filter.
#include "native/conntrack/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::RecordWriter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t length = data[0] < size - 1 ? data[0] : size - 1;
  const proxier::test::Exact record({data + 1, length});
  proxier::conntrack::Filter filter;
  if (length != 0 && !filter.Read(record.span())) return 0;
  std::array<uint8_t, 1024> request{};
  proxier::netlink::MessageWriter request_writer(request);
  filter.EncodeRequest(request_writer);
  CHECK(!request_writer.overflowed());
  return proxier::test::FuzzDecoder(
      data + 1 + length, size - 1 - length,
      [&filter](std::span<const uint8_t> payload, RecordWriter& writer) {
        return proxier::conntrack::Decode(payload, filter, writer);
      });
}
