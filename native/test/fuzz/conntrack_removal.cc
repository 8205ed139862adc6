// A record of a removal: what is encoded names one connection. The kernel takes a delete without a
// whole tuple for an order to forget them all, so the tuple is looked for here once more, by other
// means than the codec's own check.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "native/conntrack/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::netlink::Attributes;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const proxier::test::Exact record({data, size});
  std::array<uint8_t, 2048> bytes{};
  proxier::netlink::MessageWriter writer(bytes);
  if (!proxier::conntrack::EncodeRemoval(record.span(), writer)) return 0;
  CHECK(!writer.overflowed() && writer.length() > sizeof(nfgenmsg));
  const std::span<const uint8_t> body(bytes.data(), writer.length());
  CHECK(proxier::conntrack::NamesOneConnection(body));
  const Attributes<CTA_MAX + 1> message(body.subspan(sizeof(nfgenmsg)));
  const Attributes<CTA_TUPLE_MAX + 1> tuple(message[CTA_TUPLE_ORIG]);
  const Attributes<CTA_IP_MAX + 1> ip(tuple[CTA_TUPLE_IP]);
  const Attributes<CTA_PROTO_MAX + 1> proto(tuple[CTA_TUPLE_PROTO]);
  const bool four = ip[CTA_IP_V4_SRC].bytes().size() == 4 && ip[CTA_IP_V4_DST].bytes().size() == 4;
  const bool six = ip[CTA_IP_V6_SRC].bytes().size() == 16 && ip[CTA_IP_V6_DST].bytes().size() == 16;
  CHECK(four != six);
  CHECK(proto[CTA_PROTO_NUM].U8() != 0);
  return 0;
}
