// The records of a batch, as JavaScript hands them over, on a kernel that answers as it likes: the
// first byte is the seed of that. No record may be read past its end, and each gets an outcome.
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "native/session/session.h"
#include "native/test/fake_kernel.h"
#include "native/test/fuzz/fuzz.h"

using proxier::test::Random;
using proxier::test::Reply;

namespace {

constexpr int kErrors[] = {ENOENT, EEXIST, EPERM, ENOBUFS, EBUSY, ESRCH, ENODEV, EINVAL};

Reply LinkReply(const nlmsghdr& header) {
  const ifinfomsg body = {.ifi_index = 7};
  return {.datagrams = {
              proxier::test::Message(RTM_NEWLINK, 0, header.nlmsg_seq,
                                     {reinterpret_cast<const uint8_t*>(&body), sizeof body})}};
}

Reply ProtocolReply(const nlmsghdr& header) {
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
  if (size == 0) return 0;
  Random random(data[0]);
  proxier::test::Kernel kernel{
      .handler = [&random](const nlmsghdr& header, std::span<const uint8_t>, size_t) -> Reply {
        if (random.Below(4) == 0) return {.error = kErrors[random.Below(std::size(kErrors))]};
        if (header.nlmsg_type == GENL_ID_CTRL && (header.nlmsg_flags & NLM_F_CREATE) == 0)
          return proxier::test::FamilyReply(header, static_cast<uint16_t>(28 + random.Below(2)));
        if (header.nlmsg_type == (NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_PROTOCOL))
          return ProtocolReply(header);
        if (header.nlmsg_type == RTM_GETLINK) return LinkReply(header);
        return {};
      },
      .capacity = 1 + random.Below(64),
      .message_limit = 1 + random.Below(64)};
  const proxier::test::Exact records({data + 1, size - 1});
  constexpr int32_t kUntouched = INT32_MIN;
  // As many as there could be, or a few less or more than there are.
  std::vector<int32_t> results(
      random.Below(2) == 0 ? size / proxier::kHeaderBytes + 1 : random.Below(8), kUntouched);
  proxier::Session session(proxier::test::Open(kernel));
  proxier::RunReport report;
  session.Run(records.span(), results, report);
  for (const int32_t result : results) CHECK(result >= proxier::kAbsent);
  for (const auto& text : report.texts) CHECK(text.operation < results.size());
  return 0;
}
