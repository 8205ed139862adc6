// Attributes, every one of them read as every kind of value and as a nest.
#include "native/netlink/attributes.h"

#include "native/test/fuzz/fuzz.h"

namespace {

using proxier::netlink::Value;

constexpr int kDepth = 16;

// Every byte of a value is within the input.
void Visit(std::span<const uint8_t> whole, std::span<const uint8_t> bytes, int depth) {
  proxier::netlink::ForEachAttribute(bytes, [&](int type, const Value& value) {
    CHECK(type >= 0 && type <= 0x3fff && value.present());
    const std::span<const uint8_t> inside = value.bytes();
    CHECK(inside.empty() || (inside.data() >= whole.data() &&
                             inside.data() + inside.size() <= whole.data() + whole.size()));
    CHECK(value.String().size() <= inside.size());
    CHECK_EQ(ntohs(value.U16()), value.Be16());
    CHECK_EQ(ntohl(value.U32()), value.Be32());
    CHECK(inside.empty() || value.U8() == inside[0]);
    if (depth < kDepth) Visit(whole, inside, depth + 1);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const proxier::test::Exact input({data, size});
  Visit(input.span(), input.span(), 0);
  const proxier::netlink::Attributes<8> attributes(input.span());
  for (size_t type = 0; type < 8; type++) {
    if (!attributes[type].present()) CHECK(attributes[type].bytes().empty());
  }
  return 0;
}
