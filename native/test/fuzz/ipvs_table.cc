// /proc/net/ip_vs in pieces of as many bytes as the first byte says: cut anywhere, it says the same
// as whole.
#include "native/ipvs/table_text.h"
#include "native/test/fuzz/fuzz.h"

using proxier::ipvs::TableParser;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const proxier::test::Exact input({data + 1, size - 1});
  const std::span<const char> text(reinterpret_cast<const char*>(input.span().data()), size - 1);
  TableParser whole;
  whole.Feed(text);
  TableParser pieces;
  const size_t length = data[0] == 0 ? 1 : data[0];
  for (size_t at = 0; at < text.size(); at += length)
    pieces.Feed(text.subspan(at, length < text.size() - at ? length : text.size() - at));
  CHECK_EQ(whole.services().size(), pieces.services().size());
  CHECK_EQ(whole.destinations().size(), pieces.destinations().size());
  for (size_t i = 0; i < whole.services().size(); i++) {
    const auto& service = whole.services()[i];
    const auto& same = pieces.services()[i];
    CHECK(service.key == same.key && service.first == same.first && service.count == same.count &&
          service.plain == same.plain);
    CHECK(service.first <= whole.destinations().size());
    CHECK(service.count <= whole.destinations().size() - service.first);
  }
  for (size_t i = 0; i < whole.destinations().size(); i++) {
    const auto& destination = whole.destinations()[i];
    const auto& same = pieces.destinations()[i];
    CHECK(destination.address == same.address && destination.port == same.port &&
          destination.weight == same.weight && destination.family == same.family &&
          destination.active == same.active && destination.inactive == same.inactive);
  }
  return 0;
}
