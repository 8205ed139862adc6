// Datagrams of an IPSET_CMD_LIST dump of one set: the first message says what the set is, and the
// reader keeps it for the others.
#include "native/ipset/codec.h"
#include "native/netlink/exchange.h"
#include "native/test/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const proxier::test::Exact input({data, size});
  std::vector<uint8_t> out;
  proxier::RecordWriter writer(out);
  proxier::ipset::EntriesReader reader;
  proxier::netlink::ForEachMessage(
      input.span(),
      [&](const nlmsghdr&, std::span<const uint8_t> payload) { reader.Decode(payload, writer); });
  proxier::test::CheckRecords(out);
  return 0;
}
