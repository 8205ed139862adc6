// A dump of any kind: the first byte says which, the second how long its argument is; the rest are
// the datagrams.
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>

#include "native/session/session.h"
#include "native/test/fake_kernel.h"
#include "native/test/fuzz/fuzz.h"

using proxier::DumpKind;
using proxier::Session;
using proxier::test::ScriptedTransport;

namespace {

// Says that ipset speaks version 7 and IPVS is family 28.
proxier::test::Reply Introduce(const nlmsghdr& header, std::span<const uint8_t>, size_t) {
  if (header.nlmsg_type == GENL_ID_CTRL) return proxier::test::FamilyReply(header, 28);
  std::array<uint8_t, 64> payload{};
  proxier::netlink::MessageWriter writer(payload);
  const nfgenmsg body{};
  writer.Raw(&body, sizeof body);
  writer.PutU8(IPSET_ATTR_PROTOCOL, 7);
  return {.datagrams = {proxier::test::Message(header.nlmsg_type, 0, header.nlmsg_seq,
                                               std::span(payload).first(writer.length()))}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t length = data[1] < size - 2 ? data[1] : size - 2;
  const proxier::test::Exact argument({data + 2, length});
  const std::span<const uint8_t> script(data + 2 + length, size - 2 - length);
  proxier::test::Kernel kernel{.handler = Introduce};
  // The session asks on its first transport, and dumps on one of its own.
  bool asked = false;
  Session session([&](int) -> proxier::netlink::Opened {
    if (std::exchange(asked, true)) return {std::make_unique<ScriptedTransport>(script), 0};
    return {std::make_unique<proxier::test::FakeTransport>(kernel), 0};
  });
  const proxier::OpenedDump opened =
      session.OpenDump(static_cast<DumpKind>(data[0]), argument.span());
  if (opened.dump == nullptr) return 0;
  // It ends: a receive takes from the script or says that there is nothing.
  for (size_t slices = 0;; slices++) {
    CHECK(slices <= 16 * size);
    std::vector<uint8_t> out;
    const int32_t error = opened.dump->Next(out);
    proxier::test::CheckRecords(out);
    if (error != 0 || out.empty()) return 0;
  }
}
