// Answers to single questions: the generic netlink family, ipset's protocol, a link by its name.
#include "native/ipset/codec.h"
#include "native/netlink/family.h"
#include "native/route/codec.h"
#include "native/test/fuzz/fuzz.h"

using proxier::test::ScriptedTransport;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> script(data, size);
  ScriptedTransport generic(script);
  const proxier::netlink::Family family = proxier::netlink::ResolveFamily(generic, "IPVS");
  CHECK((family.error == 0) == (family.id != 0));
  ScriptedTransport netfilter(script);
  proxier::ipset::ResolveProtocol(netfilter);
  ScriptedTransport route(script);
  proxier::route::FindLink(route, "kube-ipvs0");
  std::string text;
  proxier::route::CreateDummy(route, "kube-ipvs0", &text);
  proxier::route::RemoveLink(route, 7, &text);
  return 0;
}
